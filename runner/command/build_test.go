package command_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner/command"
)

func TestPlaceholdersInAnArray(t *testing.T) {
	root := tree(t, "a.go", "-rf", "sub/b c.go", "sub/d.go")
	req := command.Request{Root: root, Changes: changes("a.go", "-rf", "sub/b c.go", "sub/d.go")}
	tests := []struct{ in, want []string }{
		{[]string{"x", "{files}"}, []string{"x", "./a.go", "./-rf", "./sub/b c.go", "./sub/d.go"}},
		{[]string{"x", "{dirs}", "y"}, []string{"x", ".", "./sub", "y"}},
		{[]string{"x", "{file}"}, []string{"x", "./a.go"}},
		{[]string{"x", "--f={file}:{file}"}, []string{"x", "--f=./a.go:./a.go"}},
		{[]string{"x", "--d={dirs}/{file}"}, []string{"x", "--d=././a.go", "--d=./sub/./a.go"}},
		{[]string{"x", "${file}", "{{file}}", `{"files":1}`, "{}", "{Files}"}, []string{"x", "${file}", "{{file}}", `{"files":1}`, "{}", "{Files}"}},
	}
	for _, tt := range tests {
		c, err := command.New(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if res := build(t, c, req); !slices.Equal(res.Argv, tt.want) || res.Empty || res.Note != "" {
			t.Errorf("%q: got %q (empty %v, note %q), want %q", tt.in, res.Argv, res.Empty, res.Note, tt.want)
		}
	}
}

func TestOnlyFilesThatExist(t *testing.T) {
	root := tree(t, "there", "removed", "dir/x")
	if err := os.Symlink("nowhere", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	req := command.Request{Root: root, Changes: []command.Change{
		{Path: "vanished", Op: "create", Type: "file"},
		{Path: "removed", Op: "remove", Type: "file"},
		{Path: "there", Op: "write", Type: "file", Gone: true},
		{Path: "dir", Op: "create", Type: "dir"},
		{Path: "fifo", Op: "create", Type: "other"},
	}}
	c := parse(t, "x {files}")
	if res := build(t, c, req); !res.Empty {
		t.Errorf("got %q, want nothing left", res.Argv)
	}
	req.Changes = append(req.Changes, command.Change{Path: "link", Op: "create", Type: "symlink"})
	if res := build(t, c, req); res.Empty || !slices.Equal(res.Argv, []string{"x", "./link"}) {
		t.Errorf("got %q", res.Argv)
	}
	if res := build(t, parse(t, "x y"), req); res.Empty {
		t.Error("a command without placeholders cannot be empty")
	}
}

func TestAllFilesWithoutChanges(t *testing.T) {
	root := tree(t, "a", "b/c")
	calls := 0
	req := command.Request{Root: root, Reason: "start", AllFiles: func() []string {
		calls++
		return []string{"a", "b/c", "gone"}
	}}
	if res := build(t, parse(t, "x {files}"), req); !slices.Equal(res.Argv, []string{"x", "./a", "./b/c"}) {
		t.Errorf("got %q", res.Argv)
	}
	build(t, parse(t, "x"), req)
	req.Changes = changes("a")
	build(t, parse(t, "x {files}"), req)
	if calls != 1 {
		t.Errorf("AllFiles was called %d times, want 1", calls)
	}
}

// Paths are relative to where the command runs, whichever root they are of.
func TestPathsFromTheWorkingDirectory(t *testing.T) {
	root := tree(t, "web/src/a.js", "lib/b.js", "top.js")
	other := tree(t, "c.js")
	list := append(changes("web/src/a.js", "lib/b.js", "top.js"), command.Change{Root: other, Path: "c.js", Op: "write", Type: "file"})
	res := build(t, parse(t, "x {files} / {dirs}"), command.Request{Root: root, Dir: filepath.Join(root, "web"), Changes: list})
	for _, arg := range res.Argv[1:] {
		if _, err := os.Stat(filepath.Join(root, "web", arg)); err != nil && arg != "/" {
			t.Errorf("%q: %v", arg, err)
		}
	}
	if got, want := res.Argv[1:4], []string{"./src/a.js", "../lib/b.js", "../top.js"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := res.Argv[6:9], []string{"./src", "../lib", ".."}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRootThatIsAFile(t *testing.T) {
	root := tree(t, "main.go")
	list := []command.Change{{Root: filepath.Join(root, "main.go"), Path: ".", Op: "write", Type: "file"}}
	res := build(t, parse(t, "x {files} {dirs}"), command.Request{Root: root, Changes: list})
	if want := []string{"x", "./main.go", "."}; !slices.Equal(res.Argv, want) {
		t.Errorf("got %q, want %q", res.Argv, want)
	}
}

// attacks are names that would do something if a shell ever read them.
var attacks = []string{
	"$(touch PWNED)", "`touch PWNED`", "; touch PWNED", "a\ntouch PWNED\n", "' ; touch PWNED ; '",
	`" ; touch PWNED ; "`, "-rf", "--help", "a b", "a\tb", "*", "~", "#x", "!x", "$HOME", `\`, `a\`, `\'`,
	"x\xff\xfe", "ü", "{files}", "{a,b}", "$1", "$@", "a[$(touch PWNED)]", "=ls", "&", "|", "<x", ">x",
}

func TestNamesAsAttacksOnTheShell(t *testing.T) {
	root := tree(t, attacks...)
	var want []string
	for _, name := range attacks {
		want = append(want, "./"+name)
	}
	scripts := []struct {
		in   string
		want []string
	}{
		{"ARGS {files}", want},
		{"true && ARGS {files}", want},
		{"Y=1; ARGS {files} | cat", want},
		{`"$(printf %s ARGS)" {files}; :`, want},
		{"x=$(ARGS {files} | tr '\\0' '\\1'); printf %s \"$x\" | tr '\\1' '\\0'", want},
		{"(ARGS {files})", want},
		{"{ ARGS {files}; }", want},
		{"for f in {files}; do ARGS \"$f\"; done", want},
		{"f() { ARGS \"$@\"; }; f {files}", want},
		{"case {file} in x) ;; *) ARGS {files};; esac", want},
		{"set -eu -o noglob; ARGS {files}", want},
		{"true # it's {files}\nARGS {files}", want},
		{"true && ARGS {file} {files} {file}", append(append(want[:1:1], want...), want[0])},
		{"true && ARGS {dirs} {files} {dirs}", append(append([]string{"."}, want...), ".")},
		{`true && ARGS "{files}" '{file}'`, append(want[:len(want):len(want)], want[0])},
		{`true && ARGS x'{file}'y`, []string{"x" + want[0] + "y"}},
		{`ARGS '{file}' "{files}"`, append(want[:1:1], want...)},
		{"true && ARGS {dirs} {file}", []string{".", want[0]}},
		{"true && ARGS --x={file}", []string{"--x=" + want[0]}},
		{"cat >/dev/null - {file} <<E && ARGS {files}\n$(touch x)\nE\n", want},
	}
	exe := "'" + show(t) + "'"
	for _, sh := range []string{"sh", "bash"} {
		for _, tt := range scripts {
			c, err := command.Parse(strings.ReplaceAll(tt.in, "ARGS", exe), sh)
			if err != nil {
				t.Fatalf("%q: %v", tt.in, err)
			}
			res := build(t, c, command.Request{Root: root, Changes: changes(attacks...), Env: []string{"PATH=" + os.Getenv("PATH")}})
			if got := slices.DeleteFunc(run(t, res, root), isX); !slices.Equal(got, tt.want) {
				t.Errorf("%s %q:\ngot  %q\nwant %q", sh, tt.in, got, tt.want)
			}
			if _, err := os.Lstat(filepath.Join(root, "PWNED")); err == nil {
				t.Fatalf("%s %q: a name was run", sh, tt.in)
			}
		}
	}
}

// In what echo says a path may stand beside other text; it stays text.
func TestNamesAsAttacksInSpokenText(t *testing.T) {
	for _, name := range attacks {
		root := tree(t, name)
		for _, in := range []string{`echo "say {file} $((1+1))"`, `true && if true; then X=1 echo "say {file} 2"; fi`, `false || echo "say "{file}" 2"`} {
			for _, sh := range []string{"sh", "bash"} {
				c, err := command.Parse(in, sh)
				if err != nil {
					t.Fatalf("%s: %v", in, err)
				}
				got := output(t, build(t, c, command.Request{Root: root, Changes: changes(name), Env: []string{"PATH=" + os.Getenv("PATH")}}), root)
				if want := "say ./" + name + " 2\n"; got != want && !strings.Contains(name, `\`) { // which some shells' echo reads
					t.Errorf("%s %q with %q: got %q", sh, in, name, got)
				}
				if _, err := os.Lstat(filepath.Join(root, "PWNED")); err == nil {
					t.Fatalf("%s %q: the name %q was run", sh, in, name)
				}
			}
		}
	}
}

func isX(s string) bool { return s == "X=" }

// The words arrive byte for byte in any script that is accepted.
func FuzzPlaceholdersAgainstTheShell(f *testing.F) {
	for _, name := range attacks {
		f.Add(": ; ARGS ", "; :", name)
	}
	for _, s := range []string{`"a" `, `'a' `, "$(true) ", "x=${y} ", "( ARGS ", "set -e; ARGS ", "# x\nARGS ", `\`, "$'\\''", `"$(`, "case x in x) ARGS "} {
		f.Add(s, "", "a b")
	}
	exe := show(f)
	f.Fuzz(func(t *testing.T, before, after, name string) {
		if name == "" || name == "." || name == ".." || len(name) > 200 || strings.ContainsAny(name, "/\x00") || !harmless(before+after) {
			return
		}
		script := strings.ReplaceAll(before, "ARGS", "'"+exe+"'") + "{file} {files}" + after
		for _, sh := range []string{"sh", "bash"} {
			c, err := command.Parse(script, sh)
			if err != nil || c.Direct() {
				return
			}
			root := tree(t, name)
			res := build(t, c, command.Request{Root: root, Changes: changes(name)})
			plain, err := command.Parse(strings.ReplaceAll(before, "ARGS", "'"+exe+"'")+"W1 W2"+after, sh)
			if err != nil || plain.Direct() {
				return
			}
			want := strings.ReplaceAll(strings.ReplaceAll(output(t, build(t, plain, command.Request{Root: root}), root), "W1", "./"+name), "W2", "./"+name)
			if got := output(t, res, root); got != want && !strings.Contains(got, "PATH=") { // a listing of all variables has the script in it
				t.Errorf("%s -c %q with %q:\ngot  %q\nwant %q", sh, script, name, got, want)
			}
		}
	})
}

// harmless keeps the fuzzer from writing scripts that do things to the machine:
// no redirection, no loop, and no command but the one under test, since PATH is
// empty.
func harmless(script string) bool {
	return !strings.ContainsAny(script, "><\x00/&*?[~=") && !slices.ContainsFunc(
		[]string{"while", "until", "for", "exec", "kill", "cd", "read", "wait", "umask", "ulimit", "trap", "builtin", "command", "select", "coproc", "source", "printf", "echo", "time"},
		func(w string) bool { return strings.Contains(script, w) })
}

// output is what the command under test prints; a script that fails is as good.
func output(t *testing.T, res *command.Result, dir string) string {
	t.Helper()
	sh, err := exec.LookPath(res.Argv[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sh, res.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, []string{"PATH=/nowhere"}, time.Second
	out, _ := cmd.Output()
	return string(out)
}

func TestArgumentLimit(t *testing.T) {
	var names []string
	for i := range 12_000 {
		names = append(names, fmt.Sprintf("%s/%06d", strings.Repeat("d", 200+i%3), i))
	}
	root := tree(t, names...)
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err != nil {
		t.Fatal(err)
	}
	usual := unix.Rlimit{Cur: min(stack.Cur, 8<<20), Max: stack.Max}
	if err := unix.Setrlimit(unix.RLIMIT_STACK, &usual); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_STACK, &stack)
	half := int(usual.Cur / 4 / 2)
	shells := []string{"true {files}", "true && true {files}", ": && true {files} {dirs}", "exec /bin/true {files} {dirs} --x={file}"}
	for _, s := range shells {
		c := parse(t, s)
		env := []string{"BIG=" + strings.Repeat("x", 100_000)}
		res := build(t, c, command.Request{Root: root, Changes: changes(names...), Env: env})
		if !strings.HasSuffix(res.Note, "of 12000 files handed over, more do not fit into the arguments of one command; FLINCH_CHANGES_FILE names all") {
			t.Errorf("%q: note %q", s, res.Note)
		}
		cmd := exec.Command(res.Argv[0], res.Argv[1:]...)
		cmd.Env = res.Env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q with %d arguments: %v %s", s, len(res.Argv), err, out)
		}
		if total := len(strings.Join(res.Argv, "\x00")); !strings.Contains(s, "{dirs}") && total < half && half >= 1<<20 {
			t.Errorf("%q: only %d bytes used", s, total)
		}
	}
	c, err := command.New([]string{"true", "--prefix={files}"})
	if err != nil {
		t.Fatal(err)
	}
	res := build(t, c, command.Request{Root: root, Changes: changes(names...)})
	if err := exec.Command(res.Argv[0], res.Argv[1:]...).Run(); err != nil || res.Note == "" {
		t.Errorf("%d arguments: %v, note %q", len(res.Argv), err, res.Note)
	}
}

func TestEnvironment(t *testing.T) {
	root := tree(t, "a", "b")
	dir := t.TempDir()
	req := command.Request{
		Rule: "build", Run: "7", Reason: "change", Root: root, TempDir: dir, Changes: changes("a", "b"),
		Env: []string{"A=1", "FLINCH_CHANGED=outer", "FLINCH_RULE=outer", "PWD=/x", "A=2"},
	}
	res := build(t, parse(t, "x"), req)
	want := []string{"A=2", "PWD=" + root, "FLINCH_RULE=build", "FLINCH_ROOT=" + root, "FLINCH_REASON=change", "FLINCH_RUN=7", "FLINCH_CHANGED=a\nb"}
	if got := res.Env[:len(res.Env)-1]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	file, ok := strings.CutPrefix(res.Env[len(res.Env)-1], "FLINCH_CHANGES_FILE="+dir+"/")
	if !ok {
		t.Fatalf("got %q", res.Env)
	}
	if data, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.Count(string(data), "\n") != 2 {
		t.Errorf("got %q, %v", data, err)
	}
	if err := res.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left behind", left)
	}
}

func TestMakeTempDir(t *testing.T) {
	for name, dir := range map[string]string{"of its own": t.TempDir(), "missing": "/nowhere", "none": ""} {
		t.Setenv("XDG_RUNTIME_DIR", dir)
		made, err := command.MakeTempDir()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer os.Remove(made)
		if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if name == "of its own" && filepath.Dir(made) != dir {
			t.Errorf("%s is not in %s", made, dir)
		}
	}
}

func TestChangedIsLeftOutWhereItCannotBeRight(t *testing.T) {
	root := tree(t)
	long := strings.Repeat("x", 200)
	for name, list := range map[string][]command.Change{
		"newline": changes("a", "b\nc"),
		"long":    changes(slices.Repeat([]string{long}, 327)...),
	} {
		res := build(t, parse(t, "x"), command.Request{Root: root, Changes: list, Env: []string{"FLINCH_CHANGED=outer"}})
		if i := slices.IndexFunc(res.Env, func(v string) bool { return strings.HasPrefix(v, "FLINCH_CHANGED=") }); i >= 0 {
			t.Errorf("%s: it is set", name)
		}
	}
	res := build(t, parse(t, "x"), command.Request{Root: root, Changes: changes(slices.Repeat([]string{long}, 326)...)})
	if !strings.HasPrefix(res.Env[len(res.Env)-1], "FLINCH_CHANGED="+long) {
		t.Error("64 KiB are not used up")
	}
}

func TestInput(t *testing.T) {
	root := tree(t, "a\nb")
	at := time.Date(2026, 11, 21, 3, 4, 5, 6000, time.UTC)
	list := []command.Change{
		{Path: "a\nb", Op: "rename", From: "old<&>", Type: "file", Time: at},
		{Path: "x\xff", Op: "remove", Type: "file", Gone: true, Recovered: true, Time: at},
		{Path: "c", Op: "write", Type: "file", Root: "../other", RootName: "../other", Time: at},
	}
	res := build(t, parse(t, "x"), command.Request{Root: root, Changes: list, Input: command.InputPaths})
	if got, want := readAll(t, res.Stdin), "a\nb\x00x\xff\x00../other/c\x00"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	res = build(t, parse(t, "x"), command.Request{Root: root, Changes: list, Input: command.InputJSON})
	got := strings.Split(readAll(t, res.Stdin), "\n")
	want := []string{
		`{"time":"2026-11-21T03:04:05.000006Z","op":"rename","path":"a\nb","type":"file","from":"old<&>"}`,
		`{"time":"2026-11-21T03:04:05.000006Z","op":"remove","path":"x` + "\ufffd" + `","path_b64":"eP8=","type":"file","recovered":true}`,
		`{"time":"2026-11-21T03:04:05.000006Z","op":"write","path":"c","type":"file","root":"../other"}`,
		"",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, line := range got[:3] {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s is not JSON", line)
		}
	}
}

func TestStdinIsReadByTheChildFromItsBeginning(t *testing.T) {
	root := tree(t)
	res := build(t, parse(t, "cat"), command.Request{Root: root, Changes: changes("a", "b"), Input: command.InputPaths})
	if got := run(t, res, root); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q", got)
	}
}

func BenchmarkBuild(b *testing.B) {
	root := tree(b, "src/a.go")
	c, err := command.Parse("go test {dirs} && x {files}", "")
	if err != nil {
		b.Fatal(err)
	}
	dir, err := command.MakeTempDir()
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(dir)
	req := command.Request{Root: root, Changes: changes("src/a.go"), Env: os.Environ(), TempDir: dir}
	for b.Loop() {
		res, err := c.Build(req)
		if err != nil {
			b.Fatal(err)
		}
		res.Close()
	}
}
