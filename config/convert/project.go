package convert

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flinch-run/flinch/config"
)

// project is a folder that Init looks at.
type project struct {
	dir string
	tag string // short name of the language that adds rules, for names that are taken
	d   *draft
}

// languages are tried in this order; each that is found adds its rules.
var languages = []struct {
	tag, name string
	find      func(p project) bool // adds the rules, and says whether it was there
}{
	{"go", "a Go module", project.golang},
	{"cargo", "a Cargo package", project.cargo},
	{"node", "a Node package", project.node},
	{"python", "a Python project", project.python},
}

// Init looks at the project in dir and writes a commented flinch.toml for it:
// Go, Cargo, Node and Python by their own files, else the targets of a
// Makefile, else an example. The error is one of reading the folder.
func Init(dir string) (*Result, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, &Error{Msg: err.Error(), Err: err}
	}
	p := project{dir: dir, d: &draft{}}
	p.d.head("Written by flinch init: change it as you like, flinch picks it up while it runs.")
	p.d.head("flinch check shows what it means, flinch explain FILE which rules react to a file.")
	found := false
	for _, language := range languages {
		p.tag = language.tag
		if language.find(p) {
			found = true
			p.d.note("found %s", language.name)
		}
	}
	switch {
	case found:
	case p.makefile():
		p.d.note("found a Makefile")
	default:
		p.generic()
		p.d.note("found nothing known: fill in your own command")
	}
	return p.d.checked(dir)
}

// rule adds a rule; a name that another language has gets the tag in front.
func (p project) rule(kind config.Kind, name string, run any) *ruleDraft {
	if p.tag != "" && p.d.has(name) {
		name = p.tag + "-" + name
	}
	return p.d.rule(kind, name, run)
}

// text is a file of the project, "" where it is not there.
func (p project) text(name string) string {
	data, err := read(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return string(data)
}

// has reports whether a file or folder is there.
func (p project) has(names ...string) bool {
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(p.dir, name)); err == nil {
			return true
		}
	}
	return false
}

// ignore adds patterns that are ignored everywhere.
func (p project) ignore(lines ...string) {
	p.d.ignored = append(p.d.ignored, lines...)
	p.d.set("ignore", p.d.ignored)
}

// generic is an example to fill in.
func (p project) generic() {
	r := p.d.rule(config.Task, "example", "echo changed: {files}")
	r.say("Put your own command here. It runs now, and again when a file changes.")
	r.files([]string{"**"})
	p.d.tail = []string{
		`[service.app]                 # a program that is kept running, restarted on a change`,
		`run = ["./app"]`,
		`needs = ["example"]           # only after a success of that task`,
	}
}

// skipped are folders that hold no program of the project.
func skipped(name string) bool {
	switch name {
	case "vendor", "testdata", "node_modules", "third_party", "target", "dist", "build":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// maxLooked bounds how many files a search looks at.
const maxLooked = 5000

// walk calls a function for each file down to a depth of folders.
func (p project) walk(depth int, visit func(path string)) {
	looked := 0
	// What cannot be read is not there for this purpose.
	_ = filepath.WalkDir(p.dir, func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(p.dir, path)
		switch {
		case err != nil:
			return nil
		case looked > maxLooked:
			return fs.SkipAll
		case entry.IsDir() && rel != "." && (skipped(entry.Name()) || strings.Count(rel, "/") >= depth || p.has(filepath.Join(rel, "go.mod"))):
			return fs.SkipDir // the last: another module
		case entry.Type().IsRegular():
			looked++
			visit(filepath.ToSlash(rel))
		}
		return nil
	})
}
