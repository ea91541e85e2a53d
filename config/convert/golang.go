package convert

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/flinch-run/flinch/config"
)

var goFiles = []string{"**/*.go", "go.{mod,sum}"}

// golang: vet, test and build, and a service for each main package.
func (p project) golang() bool {
	if !p.has("go.mod") {
		return false
	}
	vet := p.rule(config.Task, "vet", []string{"go", "vet", "./..."})
	vet.files(goFiles)
	test := p.rule(config.Task, "test", []string{"go", "test", "./..."})
	test.say("{dirs} in place of ./... tests the folders that have changed only.")
	test.files([]string{"**/{*.go,testdata/**}", goFiles[1]})
	test.set("busy", "restart")
	p.goBuild(p.mains())
	return true
}

// goBuild adds the build, with the programs it makes.
func (p project) goBuild(mains []goMain) {
	run := []string{"go", "build", "./..."}
	switch len(mains) {
	case 0:
	case 1:
		run = []string{"go", "build", "-o", "bin/" + mains[0].name, mains[0].dir}
	default:
		run = []string{"go", "build", "-o", "bin/", "./..."}
	}
	build := p.rule(config.Task, "build", run)
	build.files(append(slices.Clone(goFiles), "!**/*_test.go"))
	if len(mains) > 0 {
		p.ignore("/bin/")
	}
	for _, m := range mains {
		app := p.rule(config.Service, m.name, []string{"bin/" + m.name})
		app.set("needs", []string{build.name})
		if !m.server {
			app.say("It seems to end by itself; without the restart key it is started again after a failure.")
			app.set("restart", "never")
		}
	}
}

// goMain is a main package.
type goMain struct {
	dir, name string
	server    bool // it seems to listen
}

// maxMains is how many programs become services; a repository with more has
// a tool for each of many purposes.
const maxMains = 4

// mains finds the main packages.
func (p project) mains() []goMain {
	found := map[string]*goMain{}
	var order []string
	p.walk(4, func(file string) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return
		}
		source := p.text(file)
		dir := path.Dir(file)
		if !isMain(source) {
			return
		}
		if found[dir] == nil {
			found[dir] = &goMain{dir: "./" + dir, name: p.binary(dir)}
			order = append(order, dir)
		}
		found[dir].server = found[dir].server || listens(source)
	})
	if len(order) > maxMains {
		p.d.note("%s: add a service for those that you want to run", plural(len(order), "main package"))
		return nil
	}
	slices.Sort(order)
	mains := make([]goMain, len(order))
	for i, dir := range order {
		mains[i] = *found[dir]
		if dir == "." {
			mains[i].dir = "."
		}
	}
	return mains
}

// binary is the name that go build gives to the program of a folder.
func (p project) binary(dir string) string {
	name := path.Base(dir)
	if dir == "." {
		name = p.module()
	}
	if name = ruleName(name); name == "run" {
		return "app"
	}
	return name
}

var (
	moduleLine  = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)`)
	versionPart = regexp.MustCompile(`/v[0-9]+$`)
	packageLine = regexp.MustCompile(`(?m)^package\s+(\w+)`)
	ignoreLine  = regexp.MustCompile(`(?m)^//\s?(go:build|\+build)\s+ignore\b`)
)

// module is the last part of the module's path.
func (p project) module() string {
	m := moduleLine.FindStringSubmatch(p.text("go.mod"))
	if m == nil {
		return ""
	}
	return path.Base(versionPart.ReplaceAllString(m[1], ""))
}

// isMain reports whether a Go file belongs to a main package that is built.
func isMain(source string) bool {
	m := packageLine.FindStringSubmatch(source)
	return m != nil && m[1] == "main" && !ignoreLine.MatchString(source)
}

// listens guesses whether a main package is a server.
func listens(source string) bool {
	for _, sign := range []string{`"net/http"`, "ListenAndServe", "net.Listen", "grpc.NewServer", "gin-gonic/gin", "labstack/echo", "gofiber/fiber", "go-chi/chi"} {
		if strings.Contains(source, sign) {
			return true
		}
	}
	return false
}
