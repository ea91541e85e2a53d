package command_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flinch-run/flinch/runner/command"
)

// show makes a program that prints the variable X and its arguments, each ended by
// a zero byte.
func show(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "show args")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nprintf '%s\\0' \"X=$X\" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// tree makes the files in a new folder and returns it.
func tree(t testing.TB, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func changes(names ...string) []command.Change {
	list := make([]command.Change, len(names))
	for i, name := range names {
		list[i] = command.Change{Path: name, Op: "write", Type: "file"}
	}
	return list
}

func build(t testing.TB, c command.Command, req command.Request) *command.Result {
	t.Helper()
	res, err := c.Build(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Close() })
	return res
}

// run executes a result and returns what it printed, cut at zero bytes.
func run(t testing.TB, res *command.Result, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), res.Argv[0], res.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, res.Env, res.Stdin
	if res.Stdin == nil {
		cmd.Stdin = nil
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s", res.Argv, err, stderr.String())
	}
	return fields(string(out))
}

func fields(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
}

func parse(t testing.TB, s string) command.Command {
	t.Helper()
	c, err := command.Parse(s, "")
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return c
}

func TestParseNeedsShell(t *testing.T) {
	sh := func(s string) []string { return []string{"sh", "-c", s} }
	tests := []struct {
		in   string
		want []string
	}{
		{"go build -o bin/app ./cmd/app", []string{"go", "build", "-o", "bin/app", "./cmd/app"}},
		{"  go\ttest \n", []string{"go", "test"}},
		{`prog 'a b' "c  d" e'f'"g" ''`, []string{"prog", "a b", "c  d", "efg", ""}},
		{`prog '$x' '\' "it's"`, []string{"prog", "$x", `\`, "it's"}},
		{"naïve ünï", []string{"naïve", "ünï"}},
		{"prog ${file}", sh("prog ${file}")},
		{"X=1 cd d", sh("X=1 cd d")},
		{"X=1", sh("X=1")},
		{"X+=1 prog", sh("X+=1 prog")},
		{"cd d && cmd", sh("cd d && cmd")},
		{"! cmd", sh("! cmd")},
		{"(cmd)", sh("(cmd)")},
		{"cmd; ", sh("cmd; ")},
		{"cmd >out", sh("cmd >out")},
		{"cmd $X", sh("cmd $X")},
		{`cmd "$X"`, sh(`cmd "$X"`)},
		{`cmd a\ b`, sh(`cmd a\ b`)},
		{"cmd *.go", sh("cmd *.go")},
		{"cmd [ab]", sh("cmd [ab]")},
		{"cmd {a,b}", sh("cmd {a,b}")},
		{"cmd ~/x", sh("cmd ~/x")},
		{"cmd # not", sh("cmd # not")},
		{"cmd =ls", sh("cmd =ls")},
		{"cmd 'open", sh("cmd 'open")},
		{"a\nb", sh("a\nb")},
		{"echo -n x", sh("echo -n x")},
		{"'cd' x", sh("'cd' x")},
		{"exec cmd", sh("exec cmd")},
		{"while", sh("while")},
	}
	for _, tt := range tests {
		res := build(t, parse(t, tt.in), command.Request{Root: "/"})
		if !slices.Equal(res.Argv, tt.want) {
			t.Errorf("Parse(%q) runs %q, want %q", tt.in, res.Argv, tt.want)
		}
	}
}

func TestLeadingVariables(t *testing.T) {
	root := tree(t, "a b")
	c := parse(t, `X=1 Y='a b' Z= F={file} X=2 prog K=v`)
	if !c.Direct() {
		t.Fatal("a shell is used")
	}
	res := build(t, c, command.Request{Root: root, Changes: changes("a b"), Env: []string{"X=0", "W=w"}})
	if want := []string{"prog", "K=v"}; !slices.Equal(res.Argv, want) {
		t.Errorf("got argv %q, want %q", res.Argv, want)
	}
	for _, want := range []string{"X=2", "Y=a b", "Z=", "F=./a b", "W=w"} {
		if !slices.Contains(res.Env, want) {
			t.Errorf("%q is not in %q", want, res.Env)
		}
	}
}

// What an unquoted plain string means must be what the shell makes of it.
func FuzzPlainIsWhatTheShellReads(f *testing.F) {
	for _, s := range []string{`a 'b c' "d"`, `X=1 a`, `''a`, `a=b c=d`, `a  b'c'"d"e`, `"a=b" c`, `a%b @x +y :z`, "é \u00a0 x", `x!y`, `a "b!c"`} {
		f.Add(s)
	}
	exe := show(f)
	f.Fuzz(func(t *testing.T, s string) {
		s = "X=x '" + exe + "' " + s
		c, err := command.Parse(s, "")
		if err != nil || !c.Direct() {
			return
		}
		if c.HasPlaceholder() {
			return
		}
		direct := build(t, c, command.Request{Root: "/"})
		for _, sh := range []string{"sh", "bash"} {
			out, err := exec.Command(sh, "-c", s).Output()
			if err != nil {
				t.Fatalf("%s -c %q: %v", sh, s, err)
			}
			want := fields(string(out))
			if got := run(t, direct, ""); !slices.Equal(got, want) {
				t.Errorf("%q: direct %q, %s %q", s, got, sh, want)
			}
		}
	})
}

func TestWords(t *testing.T) {
	tests := []struct {
		in     []string
		direct bool
	}{
		{[]string{"echo", "a b"}, true},
		{[]string{"true"}, true},
		{[]string{"echo a"}, false},
		{[]string{"prog a"}, true},
		{[]string{"a&&b"}, false},
		{[]string{"a", "&&", "b"}, true},
	}
	for _, tt := range tests {
		c, err := command.Words(tt.in, "")
		if err != nil || c.Direct() != tt.direct {
			t.Errorf("Words(%q): direct %v, error %v; want %v", tt.in, c.Direct(), err, tt.direct)
		}
	}
}

func TestConfiguredShell(t *testing.T) {
	tests := []struct {
		sh   string
		want []string
	}{
		{"bash", []string{"prog", "x"}},
		{"bash -eu", []string{"bash", "-eu", "-c", "prog x"}},
		{"/bin/dash", []string{"prog", "x"}},
		{"fish", []string{"fish", "-c", "prog x"}},
		{"zsh", []string{"zsh", "-c", "prog x"}},
	}
	for _, tt := range tests {
		c, err := command.Parse("prog x", tt.sh)
		if err != nil {
			t.Fatal(err)
		}
		if res := build(t, c, command.Request{Root: "/"}); !slices.Equal(res.Argv, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.sh, res.Argv, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct{ in, sh, want string }{
		{"", "", "nothing to run"},
		{" \n", "", "nothing to run"},
		{"a\x00b", "", "a zero byte cannot be part of a command (at character 2)"},
		{"go vet '{files} '", "", "{files} cannot stand inside quotes (at character 9)"},
		{"go vet $'{files}'; x", "", "{files} cannot stand inside quotes (at character 10)"},
		{`"x "{files}" y"; x`, "", "{files} has to be a word of its own where a shell is needed (at character 5)"},
		{`go vet "x {file}"`, "", "{file} cannot stand inside quotes (at character 11)"},
		{`echo "x {files}"`, "", "{files} cannot stand inside quotes (at character 9)"},
		{`echo 'x {file}'`, "", "{file} cannot stand inside quotes (at character 9)"},
		{`sh -c "wc {file}; ls"`, "", "{file} cannot stand inside quotes (at character 11)"},
		{`ssh host echo "wc {file}; ls"`, "", "{file} cannot stand inside quotes (at character 19)"},
		{`a; sudo echo "x {file}"`, "", "{file} cannot stand inside quotes (at character 17)"},
		{`sh 2>& echo -c "x {file}"`, "", "{file} cannot stand inside quotes (at character 19)"},
		{`sh >echo -c "x {file}"`, "", "{file} cannot stand inside quotes (at character 16)"},
		{`sh -c "$(echo "x {file}")"`, "", "{file} cannot stand inside quotes (at character 18)"},
		{`$(echo sh) -c "x {file}"`, "", "{file} cannot stand inside quotes (at character 18)"},
		{`"sh" -c echo "x {file}"`, "", "{file} cannot stand inside quotes (at character 17)"},
		{`\sh -c echo "x {file}"`, "", "{file} cannot stand inside quotes (at character 16)"},
		{`echo() { sh -c "$*"; }; echo "x {file}"`, "", "{file} cannot stand inside quotes (at character 33)"},
		{"cat <<E\n{files}\nE\n", "", "{files} cannot stand after the beginning of a here-document (at character 9)"},
		{"a `b {files}`", "", "{files} cannot stand inside backquotes (at character 6)"},
		{"a ${x:-{files}}", "", "{files} cannot stand inside ${...} (at character 8)"},
		{"a $(({file}+1))", "", "{file} cannot stand inside arithmetic (at character 6)"},
		{"(( {file} ))", "", "{file} cannot stand inside arithmetic (at character 4)"},
		{"set -- x; a {files}", "", "{files} cannot stand after set has changed the parameters (at character 13)"},
		{"set -eo pipefail x; a {files}", "", "{files} cannot stand after set has changed the parameters (at character 23)"},
		{"shift; a {files}", "", "{files} cannot stand after shift (at character 10)"},
		{"eval a {files}", "", "{files} cannot stand after eval (at character 8)"},
		{"f() { a {files}; }; f", "", "{files} cannot stand inside a function (at character 9)"},
		{"function f { a {files}; }; f", "", "{files} cannot stand inside a function (at character 16)"},
		{`x "$(case a in a) b "{file}";; esac)"`, "", "{file} cannot stand after a case inside parentheses (at character 21)"},
		{`a $'x' {file}`, "", "{file} cannot stand after $'...' (at character 8)"},
		{`a "${x:-"y"}" {file}`, "", "{file} cannot stand after ${...} with quotes or parentheses in it (at character 15)"},
		{"a --x={files} && b", "", "{files} has to be a word of its own where a shell is needed (at character 7)"},
		{"a {files}x && b", "", "{files} has to be a word of its own where a shell is needed (at character 3)"},
		{"a {files} && b", "fish", `{files} cannot be handed to the shell "fish" safely (at character 3)`},
	} {
		_, err := command.Parse(tt.in, tt.sh)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%q): got %v, want %s", tt.in, err, tt.want)
		}
	}
	for _, tt := range []struct {
		in   []string
		want string
	}{
		{nil, "nothing to run"},
		{[]string{""}, "nothing to run"},
		{[]string{"a", "b\x00"}, "a zero byte cannot be part of a command (argument 2, character 2)"},
		{[]string{"a", "x={files}{dirs}"}, "only one of {files} and {dirs} may stand in one argument (argument 2, character 10)"},
	} {
		if _, err := command.New(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("New(%q): got %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestString(t *testing.T) {
	c, err := command.New([]string{"a", "b c", "it's", ""})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.String(), `a 'b c' 'it'"'"'s' ''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := parse(t, " a && b\n").String(), "a && b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestQuoteIsOneWordForTheShell(t *testing.T) {
	for _, s := range []string{"", "a", "a b", `a'b`, `a\b`, `\\'`, "a\nb", "$(x)`y`", "-x", "*"} {
		out, err := exec.Command("sh", "-c", "printf %s "+command.Quote(s)+" && printf .").Output()
		if err != nil || string(out) != s+"." {
			t.Errorf("Quote(%q) = %s reads %q, %v", s, command.Quote(s), out, err)
		}
	}
}

func readAll(t testing.TB, f *os.File) string {
	t.Helper()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
