package convert_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/config/convert"
)

var section = regexp.MustCompile(`(?m)^-- (.+) --\n`)

// TestGolden: each file of testdata is a project, and after it the config
// that comes of it and the notes. The first word of its name says who makes
// it: "init", or a tool.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 12 {
		t.Fatalf("got %d files, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir, want, notes := unpack(t, path)
			result, err := run(filepath.Base(path), dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(result.TOML); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if got := strings.Join(result.Notes, "\n") + "\n"; got != notes {
				t.Errorf("notes: got\n%s\nwant\n%s", got, notes)
			}
			if _, err := config.Parse("flinch.toml", result.TOML, config.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func run(name, dir string) (*convert.Result, error) {
	who, _, _ := strings.Cut(strings.TrimSuffix(name, ".txt"), "-")
	if who == "init" {
		return convert.Init(dir)
	}
	return convert.From(who, dir)
}

// unpack writes the project of a file into a folder.
func unpack(t *testing.T, path string) (dir, want, notes string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	texts := section.Split(string(data), -1)[1:]
	for i, m := range section.FindAllStringSubmatch(string(data), -1) {
		switch m[1] {
		case "flinch.toml":
			want = texts[i]
		case "notes":
			notes = texts[i]
		default:
			file := filepath.Join(dir, m[1])
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(texts[i]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, want, notes
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ tool, file, text, want string }{
		{"guard", "", "", `unknown tool "guard"`},
		{"air", "", "", "no config of air in " + dir + " (looked for .air.toml, .air.conf, air.toml)"},
		{"modd", "modd.conf", "**/*.go {\n  prep: x\n", "read modd.conf: line 3: a block without }"},
		{"modd", "modd.conf", "**/*.go\n", "read modd.conf: line 2: a block without {"},
		{"modd", "modd.conf", "{\n  run: x\n}\n", `read modd.conf: line 2: unknown "run"`},
		{"modd", "modd.conf", "# nothing\n", "modd.conf: nothing in it that runs"},
		{"reflex", "reflex.conf", "# x\n-r 'a -- b\n", "read reflex.conf: line 2: a quote without its end"},
		{"reflex", "reflex.conf", "-r\n", `read reflex.conf: line 1: a value is missing after "regex"`},
		{"nodemon", "nodemon.json", "{", "read nodemon.json: unexpected end of JSON input"},
		{"air", ".air.toml", "x = ", "read .air.toml: toml: line 1 (last key \"x\"): unexpected EOF; expected value"},
	} {
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := convert.From(c.tool, dir)
		var e *convert.Error
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%s %q: got %v, want %s", c.tool, c.text, err, c.want)
		}
	}
	if _, err := convert.From("air", t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "nodemon.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := convert.From("nodemon", dir); err == nil || err.Error() != "read package.json: it has no nodemonConfig" {
		t.Errorf("got %v", err)
	}
	if _, err := convert.Init(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	if got, want := convert.Tools(), []string{"air", "modd", "nodemon", "reflex"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
