package convert

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/flinch-run/flinch/config"
)

// cargo: check, test, and run where there is a program.
func (p project) cargo() bool {
	if !p.has("Cargo.toml") {
		return false
	}
	files := []string{"**/*.rs", "**/Cargo.toml", "Cargo.lock"}
	p.ignore("target/")
	check := p.rule(config.Task, "check", []string{"cargo", "check"})
	check.files(files)
	test := p.rule(config.Task, "test", []string{"cargo", "test"})
	test.say("After check: two cargos at once would wait for each other's lock.")
	test.files(files)
	test.set("needs", []string{check.name})
	test.set("busy", "restart")
	if p.has("src/main.rs") {
		app := p.rule(config.Service, "app", []string{"cargo", "run"})
		app.set("needs", []string{check.name})
	}
	return true
}

// python: tests, linter, and the program.
func (p project) python() bool {
	project := p.text("pyproject.toml")
	if project == "" && !p.has("requirements.txt", "setup.py", "setup.cfg", "manage.py", "Pipfile") {
		return false
	}
	p.ignore("__pycache__/", "*.pyc", ".venv/", "venv/", ".pytest_cache/")
	files := []string{"**/*.py", "pyproject.toml"}
	python := p.pythonCommand()
	if p.has("tests", "test") || strings.Contains(project, "pytest") {
		r := p.rule(config.Task, "test", append(slices.Clone(python), "-m", "pytest"))
		r.files(files)
		r.set("busy", "restart")
	}
	if strings.Contains(project, "[tool.ruff") || p.has("ruff.toml", ".ruff.toml") {
		r := p.rule(config.Task, "lint", append(slices.Clone(python), "-m", "ruff", "check"))
		r.files(files)
	}
	p.pythonApp(python, files)
	if len(p.d.rules) == 0 {
		r := p.rule(config.Task, "compile", append(slices.Clone(python), "-m", "compileall", "-q", "."))
		r.say("Finds syntax errors; put your own command here.")
		r.files(files)
	}
	return true
}

// pythonCommand is python as the project's tool starts it.
func (p project) pythonCommand() []string {
	switch {
	case p.has("uv.lock"):
		return []string{"uv", "run", "python"}
	case p.has("poetry.lock"):
		return []string{"poetry", "run", "python"}
	case p.has(".venv/bin/python"):
		return []string{".venv/bin/python"}
	}
	return []string{"python3"}
}

// pythonApp adds the program: Django, FastAPI, Flask or a plain script.
func (p project) pythonApp(python, files []string) {
	var args []string
	server := true
	switch {
	case p.has("manage.py"):
		args = []string{"manage.py", "runserver", "--noreload"}
	default:
		for _, file := range []string{"main.py", "app.py", "server.py"} {
			if source := p.text(file); source != "" {
				args, server = pythonArgs(file, source)
				break
			}
		}
	}
	if args == nil {
		return
	}
	r := p.rule(config.Service, "app", append(slices.Clone(python), args...))
	r.files(files)
	r.env([][2]string{{"PYTHONUNBUFFERED", "1"}})
	if !server {
		r.say("It seems to end by itself; without the restart key it is started again after a failure.")
		r.set("restart", "never")
	}
}

// pythonArgs says how a file is started, and whether it seems a server.
func pythonArgs(file, source string) ([]string, bool) {
	module := strings.TrimSuffix(path.Base(file), ".py")
	switch {
	case strings.Contains(source, "FastAPI("):
		return []string{"-m", "uvicorn", module + ":app"}, true
	case strings.Contains(source, "Flask(") && !strings.Contains(source, ".run("):
		return []string{"-m", "flask", "--app", module, "run"}, true
	case strings.Contains(source, "Flask("), strings.Contains(source, "http.server"), strings.Contains(source, "serve_forever"):
		return []string{file}, true
	}
	return []string{file}, false
}

var makeTarget = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*)\s*:([^=]|$)`)

// makefile: the usual targets as tasks, run or serve as a service; else the
// first target. What builds goes first, since two makes at once would both do it.
func (p project) makefile() bool {
	source := ""
	for _, name := range []string{"GNUmakefile", "makefile", "Makefile"} {
		if source = p.text(name); source != "" {
			break
		}
	}
	targets := makeTargets(source)
	if len(targets) == 0 {
		return false
	}
	p.ignore("*.o", "*.a", "*.d", "/bin/", "/build/")
	build := firstOf(targets, "all", "build")
	for _, name := range []string{build, firstOf(targets, "test", "check"), firstOf(targets, "lint"), firstOf(targets, "vet")} {
		if name == "" {
			continue
		}
		if r := p.makeTask(name); name != build && build != "" {
			r.set("needs", []string{build})
		}
	}
	if name := firstOf(targets, "run", "serve", "server", "start", "dev"); name != "" {
		r := p.rule(config.Service, name, []string{"make", name})
		if build != "" {
			r.set("needs", []string{build})
		}
	}
	if len(p.d.rules) == 0 {
		p.makeTask(targets[0])
	}
	return true
}

// firstOf is the first of the names that is a target; empty if none is.
func firstOf(targets []string, names ...string) string {
	for _, name := range names {
		if slices.Contains(targets, name) {
			return name
		}
	}
	return ""
}

func (p project) makeTask(name string) *ruleDraft {
	r := p.rule(config.Task, name, []string{"make", name})
	r.say("Name the sources in files: what make writes itself should not be among them.")
	r.files([]string{"**"})
	return r
}

// makeTargets lists the plain targets in order.
func makeTargets(source string) []string {
	var targets []string
	for line := range strings.Lines(source) {
		m := makeTarget.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m != nil && !slices.Contains(targets, m[1]) {
			targets = append(targets, m[1])
		}
	}
	return targets
}
