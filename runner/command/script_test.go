package command_test

import (
	"slices"
	"testing"

	"github.com/flinch-run/flinch/runner/command"
)

func TestPathsInTheScriptOfAShell(t *testing.T) {
	root := tree(t, "a.go", "$(touch hacked)'")
	req := command.Request{Root: root, Changes: changes("a.go", "$(touch hacked)'")}
	tests := []struct{ in, want []string }{
		{[]string{"sh", "-c", "echo {files}; ls"}, []string{"sh", "-c", `echo "$@"; ls`, "sh", "./a.go", "./$(touch hacked)'"}},
		{[]string{"bash", "-euo", "pipefail", "-c", "echo '{file}'"}, []string{"bash", "-euo", "pipefail", "-c", `echo "$1"`, "bash", "./a.go"}},
		{[]string{"nice", "/bin/sh", "-ec", "echo {dirs}"}, []string{"nice", "/bin/sh", "-e", "-c", `echo "$@"`, "nice", "."}},
		{[]string{"sh", "-c", `echo "$@"`, "sh", "{files}"}, []string{"sh", "-c", `echo "$@"`, "sh", "./a.go", "./$(touch hacked)'"}},
		{[]string{"sh", "-c", `echo "got {file}!"`}, []string{"sh", "-c", `echo "got ${1}!"`, "sh", "./a.go"}},
		{[]string{"sh", "{file}"}, []string{"sh", "./a.go"}},
		{[]string{"python3", "-c", "{file}"}, []string{"python3", "-c", "./a.go"}},
		{[]string{"sh", "-c", "echo a"}, []string{"sh", "-c", "echo a"}},
	}
	for _, tt := range tests {
		c, err := command.New(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if res := build(t, c, req); !slices.Equal(res.Argv, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.in, res.Argv, tt.want)
		}
	}
}

func TestScriptsThatCannotHavePaths(t *testing.T) {
	tests := []struct {
		in   []string
		want string
	}{
		{[]string{"sh", "-c", `wc "got {file}"`}, "{file} cannot stand inside quotes (argument 3, character 9)"},
		{[]string{"sh", "-c", "x --f={files}"}, "{files} has to be a word of its own where a shell is needed (argument 3, character 7)"},
		{[]string{"sh", "-c", "echo {file}", "x", "{files}"}, "{file} cannot stand in a script that has arguments of its own (argument 3, character 6)"},
		{[]string{"{file}", "sh", "-c", "echo {file}"}, "{file} cannot stand before the script of a shell (argument 1, character 1)"},
	}
	for _, tt := range tests {
		if _, err := command.New(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%q: got %v, want %s", tt.in, err, tt.want)
		}
	}
}
