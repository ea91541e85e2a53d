package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flinch-run/flinch/runner/command"
)

func TestParseEnv(t *testing.T) {
	const src = "\ufeff# comment\n\nA=1\r\nexport B = two words # comment\nC=a#b\nD='$x ${A} \\n' # c\n" +
		"E=\"a\\nb\\t\\\"\\$\\\\ \\q ${A}\"\nF=\nG=\"multi\nline\"\nH=${A}-${OUT}-${NONE}$A\nA=2\nI=${A}\nJ.k-l=\t'x'\nK=  \nL=\"x\"\nM=#c\nN=last"
	lookup := func(name string) (string, bool) { return "out", name == "OUT" }
	got, err := command.ParseEnv(".env", []byte(src), lookup)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"A=1", "B=two words", "C=a#b", `D=$x ${A} \n`, "E=a\nb\t\"$\\ \\q 1", "F=", "G=multi\nline",
		"H=1-out-$A", "A=2", "I=2", "J.k-l=x", "K=", "L=x", "M=", "N=last",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestParseEnvErrors(t *testing.T) {
	const src = "A=1\n1B=2\n  ü=2\nC\nD='x' y\nE=${A\nF=\"${A:-b}\"\nG=\x00\nH='open\n"
	_, err := command.ParseEnv("my.env", []byte(src), nil)
	want := []string{
		"my.env:2:1: a name must begin with a letter or _",
		"my.env:3:3: a name must begin with a letter or _",
		"my.env:4:2: expected = after C",
		"my.env:5:7: unexpected text after the closing quote",
		"my.env:6:3: ${ without }",
		`my.env:7:6: only a plain name may stand in ${}, not "A:-b"`,
		"my.env:8:3: a zero byte cannot be part of a value",
		"my.env:9:3: this quote is never closed",
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	var pos *command.EnvError
	if !errors.As(err, &pos) || pos.Line != 2 {
		t.Errorf("got %v", pos)
	}
}

func TestReadEnvFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	if _, err := command.ReadEnvFile(path, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("A=b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if env, err := command.ReadEnvFile(path, nil); err != nil || !slices.Equal(env, []string{"A=b"}) {
		t.Errorf("got %q, %v", env, err)
	}
}

func TestEnviron(t *testing.T) {
	got := command.Environ([]string{"A=1", "B=1", "junk", "=x"}, nil, []string{"B=2", "C=", "A=3"})
	if want := []string{"A=3", "B=2", "C="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseEnv(f *testing.F) {
	for _, s := range []string{"A=1", "export A='x'", "A=\"${B}\\", "A=${", "\"", "A='\n'", "A=\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		env, err := command.ParseEnv("x", []byte(s), nil)
		if err != nil && env != nil {
			t.Errorf("%q: both an environment and an error", s)
		}
		for _, v := range env {
			if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.Contains(v, "\x00") {
				t.Errorf("%q: got %q", s, v)
			}
		}
	})
}
