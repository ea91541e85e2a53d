package convert

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/flinch-run/flinch/config"
)

// packageJSON is what Init wants of a package.json.
type packageJSON struct {
	Main    string
	Scripts map[string]any
}

// node: the usual scripts as tasks, dev or start as a service.
func (p project) node() bool {
	source := p.text("package.json")
	if source == "" {
		return false
	}
	var pkg packageJSON
	if err := json.Unmarshal([]byte(source), &pkg); err != nil {
		p.d.note("package.json cannot be read: %v", err)
	}
	p.ignore("node_modules/")
	npm := p.packageManager()
	for _, name := range []string{"build", "test", "lint", "typecheck"} {
		script := text(pkg.Scripts[name])
		if script == "" || strings.Contains(script, "no test specified") {
			continue
		}
		p.nodeTask(npm, name)
	}
	p.nodeService(npm, pkg)
	return true
}

func (p project) packageManager() string {
	for _, lock := range [][2]string{{"pnpm-lock.yaml", "pnpm"}, {"yarn.lock", "yarn"}, {"bun.lock", "bun"}, {"bun.lockb", "bun"}} {
		if p.has(lock[0]) {
			return lock[1]
		}
	}
	return "npm"
}

var nodeFiles = []string{"**/*.{js,mjs,cjs,jsx,ts,mts,cts,tsx,json,css,html,vue,svelte}"}

func (p project) nodeTask(npm, name string) {
	r := p.rule(config.Task, name, []string{npm, "run", name})
	r.files(nodeFiles)
	switch name {
	case "build":
		p.ignore("/dist/", "/build/", "/.next/")
	case "test":
		p.ignore("/coverage/")
		r.say("CI keeps test runners from watching by themselves.")
		r.env([][2]string{{"CI", "1"}})
		r.set("busy", "restart")
	}
}

// ownWatch finds scripts that see changes by themselves.
var ownWatch = regexp.MustCompile(`--watch|\bwatch\b|nodemon|\bvite\b|next dev|nuxt|ng serve|webpack(-dev-server| serve)|react-scripts start|astro dev|remix dev|ts-node-dev|parcel`)

// nodeService adds the program: the script dev, start or serve, or the main
// file.
func (p project) nodeService(npm string, pkg packageJSON) {
	for _, name := range []string{"dev", "start", "serve"} {
		script := text(pkg.Scripts[name])
		if script == "" {
			continue
		}
		r := p.rule(config.Service, name, []string{npm, "run", name})
		if ownWatch.MatchString(script) {
			r.say("It sees changes of the sources by itself, so only these restart it.")
			r.files([]string{"package.json", "*.config.*", ".env"})
			return
		}
		r.files(nodeFiles)
		return
	}
	for _, main := range []string{pkg.Main, "server.js", "index.js", "app.js"} {
		if main != "" && p.has(main) {
			r := p.rule(config.Service, "app", []string{"node", main})
			r.files(nodeFiles)
			return
		}
	}
	if len(p.d.rules) == 0 {
		p.generic()
	}
}
