package rule

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// judged is what an Ignore is to say of some paths; a trailing slash asks about a folder.
type judged map[string]bool

func (want judged) check(t *testing.T, ig *Ignore) {
	t.Helper()
	for path, ignored := range want {
		bare, dir := strings.CutSuffix(path, "/")
		v := ig.Explain(bare, dir)
		if got := ig.Match(bare, dir); got != ignored || (v.Decision == Ignored) != ignored {
			t.Errorf("%s: got %v, want %v (%s)", path, got, ignored, v.Text)
		}
	}
}

func TestIgnoreSources(t *testing.T) {
	files := map[string]string{
		".gitignore":        "*.log\n/build/\n!keep.log\n",
		"sub/.gitignore":    "!sub.log\n*.tmp\n",
		".ignore":           "*.bak\n!wanted.log\n",
		"sub/.ignore":       "!x.bak\n",
		"build/.gitignore":  "!*\n",
		"fifo/.gitignore/x": "a folder of that name is no ignore file\n",
	}
	on := IgnoreOptions{Gitignore: true, Defaults: true, Patterns: Patterns("secret/", "!forced.log", "*.gen", "!.swp.d"), Own: []string{"out/run.log", "record.flinch"}}
	off := IgnoreOptions{}
	judged{
		"a.log": true, "keep.log": false, "sub/keep.log": false, "sub/a.log": true, "sub/sub.log": false, "sub.log": true,
		"sub/a.tmp": true, "a.tmp": false, "build/": true, "build": false, "build/x": true, "build/x/y/": true, "sub/build/": false,
		"wanted.log": false, "x.bak": true, "sub/x.bak": false, "secret/": true, "secret/a": true, "secret": false, "forced.log": false,
		"a.gen": true, "build/forced.log": true, ".": false,
		".git/": true, ".git/HEAD": true, "sub/.git": true, "a~": true, ".a.swp": true, ".#a": true, "#a#": true, "4913": true, "a.c": false,
		"out/run.log": true, "record.flinch": true, "fifo/x": false,
	}.check(t, ignoreOf(t, on, files))
	judged{"a.log": false, "build/x": false, "x.bak": false, ".git/HEAD": false, "a~": false, "secret/a": false}.check(t, ignoreOf(t, off, files))
}

func TestIgnoreVerdict(t *testing.T) {
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true, Defaults: true, Patterns: []Pattern{{Text: "*.gen  ", File: "flinch.toml", Line: 3, Col: 11}}, Own: []string{"o"}}, map[string]string{
		".gitignore":   "# comment\n\n/dist/\n!a.log\n!keep.js\n",
		"a/.gitignore": "x/\n",
		"a/.ignore":    "\n*.o   \n",
	})
	tests := []struct {
		path string
		dir  bool
		want Verdict
	}{
		{"dist", true, Verdict{Ignored, ".gitignore", 3, 0, "/dist/", "dist", `ignored by "/dist/" (.gitignore:3)`}},
		{"dist/js/a", false, Verdict{Ignored, ".gitignore", 3, 0, "/dist/", "dist", `the folder dist is ignored by "/dist/" (.gitignore:3)`}},
		{"dist/keep.js", false, Verdict{Ignored, ".gitignore", 3, 0, "/dist/", "dist",
			`the folder dist is ignored by "/dist/" (.gitignore:3); "!keep.js" (.gitignore:5) does not keep what is below an ignored folder`}},
		{"a/b/x/y", false, Verdict{Ignored, "a/.gitignore", 1, 0, "x/", "a/b/x", `the folder a/b/x is ignored by "x/" (a/.gitignore:1)`}},
		{"a/f.o", false, Verdict{Ignored, "a/.ignore", 2, 0, "*.o", "a/f.o", `ignored by "*.o" (a/.ignore:2)`}},
		{"b/a.log", false, Verdict{Kept, ".gitignore", 4, 0, "!a.log", "b/a.log", `kept by "!a.log" (.gitignore:4)`}},
		{"b/a.gen", false, Verdict{Ignored, "flinch.toml", 3, 11, "*.gen", "b/a.gen", `ignored by "*.gen" (flinch.toml:3:11)`}},
		{".hg/x", false, Verdict{Ignored, "default ignores", 0, 0, ".hg/", ".hg", `the folder .hg is ignored by ".hg/" (default ignores): Mercurial's store`}},
		{"o", false, Verdict{Ignored, "", 0, 0, "", "o", "ignored: flinch itself writes it"}},
		{"c", false, Verdict{Unmatched, "", 0, 0, "", "c", "not ignored"}},
	}
	for _, tt := range tests {
		if got := ig.Explain(tt.path, tt.dir); got != tt.want {
			t.Errorf("%s: got %+v\nwant %+v", tt.path, got, tt.want)
		}
	}
}

// TestNamedPathsAreSeen: what a rule names outright is not hidden by default
// ignores, nor is the folder it is in; what lies beside it still is.
func TestNamedPathsAreSeen(t *testing.T) {
	files := map[string]string{".gitignore": "*.pid\n", "x": ""}
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true, Defaults: true, Named: []string{".git/HEAD", ".git/refs/heads/main", "notes~", "run.pid"}}, files)
	judged{
		".git/": false, ".git/HEAD": false, ".git/index": true, ".git/refs/": false, ".git/refs/heads/main": false, ".git/refs/tags/": true,
		"sub/.git/": true, "notes~": false, "other~": true, "run.pid": true,
	}.check(t, ig)
}

func TestReload(t *testing.T) {
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true}, map[string]string{".gitignore": "*.a\n", "d/e/.gitignore": "*.b\n", "d/.ignore": "*.c\n"})
	before := judged{"x.a": true, "d/e/x.b": true, "d/e/x.c": true, "d/e/x.n": false}
	before.check(t, ig)
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(ig.root, path), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(".gitignore", "*.n\n")
	write("d/e/.gitignore", "")
	if err := os.Remove(filepath.Join(ig.root, "d/.ignore")); err != nil {
		t.Fatal(err)
	}
	before.check(t, ig)
	for _, path := range []string{".gitignore", "d/e/.gitignore", "d/.ignore"} {
		if !ig.Affects(path) {
			t.Errorf("Affects(%q) = false", path)
		}
	}
	ig.Reload("d/e/.gitignore", "d/.ignore")
	judged{"x.a": true, "d/e/x.a": true, "d/e/x.b": false, "d/e/x.c": false, "d/e/x.n": false}.check(t, ig)
	ig.Reload(".gitignore")
	judged{"x.a": false, "d/e/x.n": true}.check(t, ig)

	if err := os.Rename(filepath.Join(ig.root, "d"), filepath.Join(ig.root, "m")); err != nil {
		t.Fatal(err)
	}
	write("m/e/.gitignore", "!*.n\n")
	ig.Reload("d", "m")
	judged{"d/e/x.n": true, "m/e/x.n": false}.check(t, ig)
}

func TestAffects(t *testing.T) {
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true, Patterns: Patterns("hidden/")}, nil)
	for path, want := range map[string]bool{
		".gitignore": true, "a/.gitignore": true, "a/.ignore": true, ".git/info/exclude": true, "sub/.git/info/exclude": true, ".git/config": true,
		".git": true, "sub/.git": true, ".git/HEAD": false, "hidden/.gitignore": false, "hidden/a/.ignore": false, "config": false, "exclude": false, "a.git/config": false, "x.gitignore": false, ".git/index": false,
	} {
		if got := ig.Affects(path); got != want {
			t.Errorf("Affects(%q) = %v, want %v", path, got, want)
		}
	}
	if ignoreOf(t, IgnoreOptions{}, nil).Affects(".gitignore") {
		t.Error("a .gitignore affects what does not read it")
	}
}

// TestIgnoreFilesThatAreNone: a folder, a FIFO and a symlink in the place of
// .gitignore say nothing, as for git, and hold nothing up.
func TestIgnoreFilesThatAreNone(t *testing.T) {
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true}, map[string]string{"lines": "*.a\n", "d/.gitignore/x": "", "s/x": "", "f/x": ""})
	if err := os.Symlink("../lines", filepath.Join(ig.root, "s/.gitignore")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../lines", filepath.Join(ig.root, "s/.ignore")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(ig.root, "f/.gitignore")).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v %s", err, out)
	}
	judged{"d/x.a": false, "f/x.a": false, "s/x.a": true}.check(t, ig)
	if v := ig.Explain("s/x.a", false); v.Source != "s/.ignore" {
		t.Errorf("decided by %s", v.Source)
	}
}

// gitRepo runs git commands in a new folder with a home of its own.
type gitRepo struct {
	t         *testing.T
	dir, home string
}

func newGitRepo(t *testing.T) gitRepo {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g := gitRepo{t: t, dir: filepath.Join(base, "repo"), home: filepath.Join(base, "home")}
	g.write("../home/.gitconfig", "[user]\n name = a\n email = a@example.org\n[protocol \"file\"]\n allow = always\n")
	g.write("go.mod", "")
	g.run(g.dir, "init", "-q", "-b", "main")
	return g
}

func (g gitRepo) write(path, text string) {
	g.t.Helper()
	full := filepath.Join(g.dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
		g.t.Fatal(err)
	}
}

func (g gitRepo) run(dir string, args ...string) {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+g.home, "XDG_CONFIG_HOME="+g.home+"/.config", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (g gitRepo) getenv(name string) string {
	return map[string]string{"HOME": g.home, "GIT_CONFIG_NOSYSTEM": "1"}[name]
}

// ignore returns an Ignore over dir, which compares itself with git there.
func (g gitRepo) ignore(dir string) *Ignore {
	g.t.Helper()
	ig, err := NewIgnore(dir, IgnoreOptions{Gitignore: true, Getenv: g.getenv})
	if err != nil {
		g.t.Fatal(err)
	}
	return ig
}

// agrees compares with git, run in the folder that the paths are relative to.
func (g gitRepo) agrees(dir string, ig *Ignore, paths ...string) {
	g.t.Helper()
	for _, path := range paths {
		cmd := exec.Command("git", "check-ignore", "--no-index", "-q", path)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+g.home, "XDG_CONFIG_HOME="+g.home+"/.config", "GIT_CONFIG_NOSYSTEM=1")
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code > 1 || code < 0 {
			g.t.Fatalf("git check-ignore %s: %v", path, err)
		}
		st, statErr := os.Lstat(filepath.Join(dir, path))
		isDir := statErr == nil && st.IsDir()
		if got := ig.Match(path, isDir); got != (err == nil) {
			g.t.Errorf("%s in %s: got %v, git says %v (%s)", path, filepath.Base(dir), got, err == nil, ig.Explain(path, isDir).Text)
		}
	}
}

func TestUserConfig(t *testing.T) {
	configs := map[string]string{
		"":                                      ".config/git/ignore",
		"[core]\nexcludesFile = ~/mine":         "mine",
		"[Core]\n\tEXCLUDESFILE=~/mine # x":     "mine",
		"[core]\nexcludesfile = \"~/mi\\\nne\"": "mine",
		"[core]\nexcludesfile = ~/other\n[include]\npath = more.cfg":                "mine",
		"[includeIf \"gitdir:**/repo/.git\"]\n path = more.cfg":                     "mine",
		"[includeIf \"gitdir:repo/\"]\n path = more.cfg":                            "mine",
		"[includeIf \"gitdir/i:REPO/\"]\n path = more.cfg":                          "mine",
		"[includeIf \"onbranch:ma*\"]\n path = ~/more.cfg":                          "mine",
		"[includeIf \"onbranch:x/\"]\n path = more.cfg":                             ".config/git/ignore",
		"[core \"sub\"]\nexcludesfile = ~/mine\n[other]\nexcludesfile = ~/mine\n":   ".config/git/ignore",
		"; core\n[core] excludesfile = ~/other ; x\n\texcludesfile = ~/mine\n[a.b]": "mine",
	}
	for text, decides := range configs {
		t.Run(text, func(t *testing.T) {
			g := newGitRepo(t)
			for _, file := range []string{".config/git/ignore", "mine", "other"} {
				g.write("../home/"+file, "by-"+filepath.Base(file)+"\n")
			}
			g.write("../home/.gitconfig", text)
			g.write("../home/more.cfg", "[core]\nexcludesfile = ~/mine\n")
			ig := g.ignore(g.dir)
			g.agrees(g.dir, ig, "by-ignore", "by-mine", "by-other")
			if branch := strings.Contains(text, "onbranch"); ig.Affects(".git/HEAD") != branch {
				t.Errorf("Affects(.git/HEAD) = %v", !branch)
			}
			path := "by-" + filepath.Base(decides)
			if v := ig.Explain(path, false); v.Source != filepath.Join(g.home, decides) {
				t.Errorf("%s decided by %q, want %s", path, v.Source, decides)
			}
		})
	}
}

func TestLocalConfigAndExclude(t *testing.T) {
	g := newGitRepo(t)
	g.write("../home/.config/git/ignore", "global\n")
	g.write(".git/info/exclude", "excluded\n!local\n")
	g.write("lines", "local\nlocal2\n")
	g.run(g.dir, "config", "core.excludesFile", "lines")
	g.agrees(g.dir, g.ignore(g.dir), "global", "excluded", "local", "local2", "a/excluded", "a/local2", "none")

	ig := g.ignore(filepath.Join(g.dir, "."))
	if want := filepath.Join(g.home, ".gitconfig"); !slices.Contains(ig.Outside(), want) {
		t.Errorf("Outside() = %q lacks %s", ig.Outside(), want)
	}
}

// TestFilesAboveTheRoot: a root within a repository obeys what lies above it.
func TestFilesAboveTheRoot(t *testing.T) {
	g := newGitRepo(t)
	g.write("../.gitignore", "*\n")
	g.write(".gitignore", "/svc/api/gen\n*.o\nsvc/*/x/\n/api\n/svc/api/deep/*.txt\n")
	g.write("svc/.gitignore", "!keep.o\n/api/tmp\n")
	g.write("svc/api/.gitignore", "!own.o\n")
	g.write(".git/info/exclude", "/svc/api/ex\n/ex2\n")
	g.write("svc/api/x/y", "")
	root := filepath.Join(g.dir, "svc/api")
	ig := g.ignore(root)
	g.agrees(root, ig, "gen", "sub/gen", "a.o", "keep.o", "own.o", "x", "x/y", "tmp", "sub/tmp", "api", "deep/a.txt", "deep/b/a.txt", "ex", "ex2", "go.mod")
	if v := ig.Explain("gen", false); v.Source != filepath.Join(g.dir, ".gitignore") || v.Line != 1 {
		t.Errorf("gen: %+v", v)
	}
	if got := ig.Outside(); !slices.Contains(got, filepath.Join(g.dir, "svc/.gitignore")) || !slices.Contains(got, filepath.Join(g.dir, ".git/info/exclude")) {
		t.Errorf("Outside() = %q", got)
	}

	link := filepath.Join(g.home, "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	judged{"gen": true, "keep.o": false, "go.mod": false}.check(t, g.ignore(link))
}

func TestIgnoredRootIsWatched(t *testing.T) {
	g := newGitRepo(t)
	g.write(".gitignore", "dist/\n*.map\n")
	g.write("dist/app.js", "")
	judged{"app.js": false, "app.map": true}.check(t, g.ignore(filepath.Join(g.dir, "dist")))
}

// TestWorktree: a linked worktree shares info/exclude with the main one and may
// have a config of its own.
func TestWorktree(t *testing.T) {
	g := newGitRepo(t)
	g.write(".gitignore", "*.log\n")
	g.write(".git/info/exclude", "excluded\n")
	g.run(g.dir, "add", ".gitignore")
	g.run(g.dir, "commit", "-qm", "x")
	tree := filepath.Join(filepath.Dir(g.dir), "tree")
	g.run(g.dir, "worktree", "add", "-q", tree)
	g.agrees(tree, g.ignore(tree), "a.log", "excluded", "none")

	g.write("../home/wt", "only-here\n")
	g.run(g.dir, "config", "extensions.worktreeConfig", "true")
	g.run(tree, "config", "--worktree", "core.excludesFile", "~/wt")
	g.agrees(tree, g.ignore(tree), "only-here", "excluded")
	g.agrees(g.dir, g.ignore(g.dir), "only-here", "excluded")
}

// TestNestedRepositories: within a submodule or a clone git goes by what lies
// within it; the outer repository decides only over its folder as a whole.
func TestNestedRepositories(t *testing.T) {
	g := newGitRepo(t)
	g.write(".gitignore", "*.log\n/ignored/\n")
	g.write(".ignore", "*.both\n")
	g.write("../lib/.gitignore", "*.o\n")
	lib := filepath.Join(filepath.Dir(g.dir), "lib")
	g.run(lib, "init", "-q")
	g.run(lib, "add", ".")
	g.run(lib, "commit", "-qm", "x")
	g.run(g.dir, "submodule", "--quiet", "add", lib, "third/lib")
	g.run(g.dir, "clone", "-q", lib, "ignored")
	g.write(".git/modules/third/lib/info/exclude", "*.own\n")
	g.write("fake/.git/x", "")
	ig := g.ignore(g.dir)
	sub := filepath.Join(g.dir, "third/lib")
	g.agrees(sub, g.ignore(sub), "a.log", "a.o", "a.own", "d/a.o", "d/a.log")
	judged{
		"third/lib/": false, "third/lib/a.log": false, "third/lib/a.o": true, "third/lib/d/a.own": true, "third/a.log": true, "third/a.o": false,
		"third/lib/a.both": true, "ignored/": true, "ignored/a.c": true, "fake/a.log": true,
	}.check(t, ig)
}

func TestNewIgnoreErrors(t *testing.T) {
	_, err := NewIgnore(t.TempDir(), IgnoreOptions{Patterns: []Pattern{
		{Text: "", File: "flinch.toml", Line: 1, Col: 11}, {Text: "ok"}, {Text: "#x"}, {Text: "[a"}, {Text: `a\`}, {Text: "../x"}, {Text: "a\nb"}, {Text: "!"}, {Text: "[[:nope:]]"}, {Text: "./a"},
	}})
	want := `flinch.toml:1:11: ignore line "": matches nothing
ignore line "#x": is a comment
ignore line "[a": holds a character class that is never closed or has an unknown name
ignore line "a\\": ends in a backslash that escapes nothing
ignore line "../x": begins with a dot folder, which no path does
ignore line "a\nb": holds a line break or NUL
ignore line "!": matches nothing
ignore line "[[:nope:]]": holds a character class that is never closed or has an unknown name
ignore line "./a": begins with a dot folder, which no path does`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	var e *Error
	if !errors.As(err, &e) || e.Pattern.Line != 1 {
		t.Errorf("first error: %#v", e)
	}
}

// TestRootThatDoesNotExist: it is waited for, and read when it is there.
func TestRootThatDoesNotExist(t *testing.T) {
	root := filepath.Join(t.TempDir(), "later")
	ig, err := NewIgnore(root, IgnoreOptions{Gitignore: true, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	judged{"a.log": false}.check(t, ig)
	if err := os.Mkdir(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/.gitignore", []byte("*.log"), 0o666); err != nil {
		t.Fatal(err)
	}
	ig.Reload(".")
	judged{"a.log": true}.check(t, ig)
}

// TestIgnoreConcurrently asks from many goroutines while files change and are
// reloaded; after the last Reload nothing of before is left.
func TestIgnoreConcurrently(t *testing.T) {
	files := make(map[string]string)
	for i := range 50 {
		files[fmt.Sprintf("d%d/e/f/.gitignore", i)] = "*.old\n"
	}
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true, Defaults: true}, files)
	var askers sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		askers.Go(func() {
			for i := 0; ; i = (i + 1) % 50 {
				select {
				case <-done:
					return
				default:
				}
				ig.Match(fmt.Sprintf("d%d/e/f/x.old", i), false)
				ig.Explain(fmt.Sprintf("d%d/e/f/x.new", i), false)
			}
		})
	}
	for i := range 50 {
		path := fmt.Sprintf("d%d/e/f/.gitignore", i)
		if err := os.WriteFile(filepath.Join(ig.root, path), []byte("*.new\n"), 0o666); err != nil {
			t.Error(err)
		}
		ig.Reload(path)
		if ig.Match(fmt.Sprintf("d%d/e/f/x.old", i), false) || !ig.Match(fmt.Sprintf("d%d/e/f/x.new", i), false) {
			t.Errorf("%s: what was before the change is still in force", path)
		}
	}
	close(done)
	askers.Wait()
	for i := range 50 {
		judged{fmt.Sprintf("d%d/e/f/x.old", i): false, fmt.Sprintf("d%d/e/f/x.new", i): true}.check(t, ig)
	}
}

func TestDefaultIgnores(t *testing.T) {
	litter := []string{".git", "sub/.git", ".gitx~", "4913", ".main.go.swp", ".main.go.swo", ".main.go.swx", "main.go~", ".#main.go", "#main.go#", ".x.kate-swp",
		".a.c.kak.Ab3dE9", "a.c___jb_tmp___", "a.c___jb_old___", ".goutputstream-AB12CD", "main.go.123456789", "sedAb12Cd", ".DS_Store", "._a", ".nfs000000000123abcd00000001", ".~lock.a.odt#"}
	wanted := []string{".gitignore", ".github", ".swift", ".eslintrc.sql", "swp", "#notes", "a#b", "main.go", "main.go.tmpl", "sedation.go", "sed.sh", "node_modules", "4913.txt", "x.orig",
		".env", "go.mod", "target", "a.pyc", ".hgignore", "_build", "CVS.md", "___jb", "nfs"}
	ig := ignoreOf(t, IgnoreOptions{Defaults: true}, nil)
	for _, path := range litter {
		if !ig.Match(path, false) {
			t.Errorf("%s is not ignored", path)
		}
	}
	for _, path := range wanted {
		if ig.Match(path, false) || ig.Match(path, true) {
			t.Errorf("%s: %s", path, ig.Explain(path, true).Text)
		}
	}
	for _, d := range DefaultIgnores() {
		if _, err := compileLine(Pattern{Text: d.Pattern}); err != nil || d.Reason == "" {
			t.Errorf("%+v: %v", d, err)
		}
	}
}
