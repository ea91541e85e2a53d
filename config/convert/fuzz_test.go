package convert

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var part = regexp.MustCompile(`(?m)^-- .+ --\n`)

// FuzzFrom: whatever stands in another tool's config, what comes of it
// parses, or there is an error; the only excuse for not parsing is size.
func FuzzFrom(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, text := range part.Split(string(data), -1) {
			for i := range tools {
				f.Add(i, text)
			}
		}
	}
	for i := range tools {
		f.Add(i, "")
		f.Add(i, "\x00\xff'\"\\")
	}
	f.Fuzz(func(t *testing.T, which int, text string) {
		if which < 0 || which >= len(tools) {
			return
		}
		for _, file := range tools[which].files {
			_, err := convert(tools[which], file, []byte(text))
			if err != nil && strings.Contains(err.Error(), "no valid config") && !strings.Contains(err.Error(), "larger than") {
				t.Error(err)
			}
		}
	})
}

// FuzzInit: the same for the files of a project.
func FuzzInit(f *testing.F) {
	names := []string{"go.mod", "main.go", "package.json", "Makefile", "pyproject.toml", "main.py", "Cargo.toml"}
	f.Add(0, "module x\n", "package main\n")
	f.Add(2, `{"scripts":{"dev":"vite","test":"x"},"main":"a.js"}`, "")
	f.Add(3, "all: x\n\nrun:\n", "")
	f.Fuzz(func(t *testing.T, which int, a, b string) {
		dir := t.TempDir()
		for i, text := range []string{a, b} {
			name := names[((which%len(names))+len(names)+i)%len(names)]
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Init(dir); err != nil {
			t.Error(err)
		}
	})
}

func TestGlobOf(t *testing.T) {
	for re, want := range map[string]string{
		`\.go$`: "**/*.go", `.*\.go$`: "**/*.go", `\.(go|html)$`: "**/*.{go,html}", `\.(?:go|html)$`: "**/*.{go,html}",
		`^src/`: "src/**", `^src/a-b/.*`: "src/a-b/**", `^src/.*\.tmpl$`: "src/**/*.tmpl", `(^|/)Makefile$`: "**/Makefile",
		`(^|/)node_modules/`: "**/node_modules/**", `_test\.go$`: "**/*_test.go", `_test.go$`: "**/*_test.go",
		`(a|b).*c`: "", `[a-z]+\.go$`: "", ``: "", `^$`: "",
	} {
		if got := globOf(re); got != want {
			t.Errorf("%s: got %q, want %q", re, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		`a b`: "a|b", `  a   'b c' "d e"`: "a|b c|d e", `a\ b`: "a b", `'a'\''b'`: "a'b", `""`: "", `a "" b`: "a||b",
		`"\.go$"`: `\.go$`, `'\.go$'`: `\.go$`, `"a\"b"`: `a"b`,
	} {
		got, ok := words(line)
		if !ok || strings.Join(got, "|") != want {
			t.Errorf("%s: got %q, %v, want %s", line, got, ok, want)
		}
	}
	for _, line := range []string{`'`, `a "b`, `"a\"`} {
		if got, ok := words(line); ok {
			t.Errorf("%s: got %q, want an open quote", line, got)
		}
	}
}

func TestDraftNames(t *testing.T) {
	for text, want := range map[string]string{
		"go test ./...": "go-test", "FOO=1 ./bin/server --x": "server", "": "run", "{}": "run",
		"ts-node src/index.ts": "index-ts", "sh -c 'x'": "sh", "/usr/local/bin/": "bin",
	} {
		if got := commandName(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
