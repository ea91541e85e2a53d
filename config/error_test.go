package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/config"
)

// report is the whole text of what Parse finds wrong.
func report(t *testing.T, source string, opt config.Options) string {
	t.Helper()
	cfg, err := config.Parse("flinch.toml", []byte(source), opt)
	var list config.Errors
	switch {
	case err == nil:
		return ""
	case cfg != nil:
		t.Errorf("a config beside an error")
	case !errors.As(err, &list):
		t.Fatalf("got a %T, want config.Errors", err)
	case len(list) == 0:
		t.Fatalf("an error without errors")
	}
	return list.Text()
}

var section = regexp.MustCompile(`(?m)^-- (.+) --\n`)

// sections splits a file at its lines "-- NAME --".
func sections(t *testing.T, path string) (names, texts []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range section.FindAllStringSubmatch(string(data), -1) {
		names = append(names, m[1])
	}
	return names, section.Split(string(data), -1)[1:]
}

func TestErrorTexts(t *testing.T) {
	names, texts := sections(t, "testdata/errors.txtar")
	if len(names) < 100 || len(names)%2 != 0 {
		t.Fatalf("%d sections: want a source and its errors each", len(names))
	}
	for i := 0; i < len(names); i += 2 {
		source, want := texts[i], texts[i+1]
		t.Run(names[i], func(t *testing.T) {
			if got := report(t, source, config.Options{}); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestErrorTextsOfBytes: what editors and other systems leave in a file.
func TestErrorTextsOfBytes(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"byte order mark", "\xef\xbb\xbf[task.a]\nrun = 5\n",
			"flinch.toml:2:7: run: must be a string or an array of strings, not an integer\n  2 | run = 5\n    |       ^\n"},
		{"carriage returns", "[task.a]\r\nrun = \"x\"\r\nfiels = [\"*\"]\r\n",
			"flinch.toml:3:1: unknown key \"fiels\" in task a, did you mean files?\n  3 | fiels = [\"*\"]\n    | ^^^^^\n"},
		{"no end of line", "[task.a]\nrun = 5",
			"flinch.toml:2:7: run: must be a string or an array of strings, not an integer\n  2 | run = 5\n    |       ^\n"},
		{"not UTF-8", "[task.a]\nrun = \"a\xffb\"\n",
			"flinch.toml:2:9: byte 0xff is not UTF-8\n  2 | run = \"a\uFFFDb\"\n    |         ^\nhint: save it as UTF-8\n"},
		{"NUL", "[task.a]\nrun = \"a\x00b\"\n",
			"flinch.toml:2:9: control character 0x00\n  2 | run = \"a\uFFFDb\"\n    |         ^\nhint: in a string write \\u0000\n"},
		{"NUL by escape", "[task.a]\nrun = \"a\\u0000b\"\n",
			"flinch.toml:2:7: run: holds a NUL byte\n  2 | run = \"a\\u0000b\"\n    |       ^^^^^^^^^^\n"},
		{"UTF-16", "\xff\xfe[\x00t\x00", "flinch.toml: written in UTF-16\nhint: save it as UTF-8\n"},
		{"escape sequence of a terminal", "# \x1b[31m\n[task.a]\nrun = 5\n",
			"flinch.toml:1:3: control character 0x1b\n  1 | # \uFFFD[31m\n    |   ^\nhint: in a string write \\u001b\n"},
		{"old Mac's line end", "[task.a]\rrun = 5\n",
			"flinch.toml:1:9: control character 0x0d\n  1 | [task.a]\uFFFDrun = 5\n    |         ^\nhint: in a string write \\u000d\n"},
		{"need that is near the rule itself", "[task.a]\nrun = \"x\"\nneeds = [\"b\"]\n[task.bb]\nrun = \"x\"\n",
			"flinch.toml:3:10: needs: no rule \"b\", did you mean bb?\n  3 | needs = [\"b\"]\n    |          ^^^\n"},
		{"key that is as near to two", "[task.a]\nrn = \"x\"\n",
			"flinch.toml:2:1: unknown key \"rn\" in task a, did you mean run?\n  2 | rn = \"x\"\n    | ^^\n"},
		{"empty file", "", "flinch.toml:1:1: no rules: nothing would ever run\n  1 | \n    | ^\nhint: write a [task.NAME] with a run key, or let flinch init do it\n"},
		{"too large", strings.Repeat("#", 1<<20+1), "flinch.toml: larger than 1048576 bytes: this is no config\n"},
		{"long line", "[task.a]\nrun = \"x\"\nfiles = [" + strings.Repeat(`"abcdefg", `, 20) + "5]\n",
			"flinch.toml:3:230: files: must be a string, not an integer\n" +
				"  3 | " + strings.Repeat(`"abcdefg", `, 20)[122:] + "5]\n" +
				"    | " + strings.Repeat(" ", 98) + "^\n" +
				"hint: write it in quotes: \"5\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := report(t, c.source, config.Options{}); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestChecksOfOthersGetPlaces(t *testing.T) {
	opt := config.Options{
		Glob: func(glob string) error {
			if at := strings.Index(glob, "["); at >= 0 {
				return &config.Problem{Msg: "bad glob " + glob, Char: at + 1, Help: "close it"}
			}
			return nil
		},
		Ignore: func(line string) error {
			if line == "[" {
				return fs.ErrInvalid
			}
			return nil
		},
		Run: func(c config.Command, shell string) error {
			if len(c.Argv) > 1 {
				return &config.Problem{Msg: "bad word for " + shell, Elem: 1, Char: 2}
			}
			return nil
		},
		NotYet: []string{"proxy"},
	}
	got := report(t, `
ignore = ["["]
[task.a]
run = ["x", "abc"]
shell = "bash"
files = [
  "ok",
  "a/[",
]
[service.b]
run = "x"
proxy = ":80"
`, opt)
	want := `flinch.toml:2:11: ignore: invalid argument
  2 | ignore = ["["]
    |           ^^^
flinch.toml:4:15: run: bad word for bash
  4 | run = ["x", "abc"]
    |               ^
flinch.toml:8:6: files: bad glob a/[
  8 |   "a/[",
    |      ^
hint: close it
flinch.toml:12:9: proxy: not yet in this version
  12 | proxy = ":80"
     |         ^^^^^
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if _, err := config.Parse("f", []byte("ignore = [\"[\"]\n[task.a]\nrun = 'x'"), opt); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the check's error is lost: %v", err)
	}
}

func TestErrorfPointsIntoTheFile(t *testing.T) {
	cfg, err := config.Parse("flinch.toml", []byte("roots = [\n  \"a\",\n  \"gone\",\n]\n[task.x]\nrun = 'x'\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	late := cfg.Errorf(cfg.Rule("x").Pos(""), "later")
	root := cfg.Errorf(cfg.Pos("roots", 1), "root gone: %w", &config.Problem{Msg: "no such folder", Help: "mkdir gone"})
	err = config.Sorted([]*config.Error{late, nil, root})
	var list config.Errors
	if !errors.As(err, &list) || len(list) != 2 {
		t.Fatalf("got %v, want two errors", err)
	}
	want := "flinch.toml:3:3: root gone: no such folder\n  3 |   \"gone\",\n    |   ^^^^^^\nhint: mkdir gone\n" +
		"flinch.toml:5:7: later\n  5 | [task.x]\n    |       ^\n"
	if got := list.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := err.Error(), "flinch.toml:3:3: root gone: no such folder\nflinch.toml:5:7: later"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if config.Sorted([]*config.Error{nil}) != nil {
		t.Errorf("no error became one")
	}
}

func TestFindAndLoad(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(filepath.Join(below, "flinch.toml"), 0o755); err != nil { // a folder of that name is no config
		t.Fatal(err)
	}
	_, err := config.Find(below)
	var file *config.FileError
	if !errors.As(err, &file) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want a FileError that is ErrNotExist", err)
	}
	if got, want := err.Error(), "no flinch.toml in "+below+" or above"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := file.Hint(), "write one with: flinch init; or run one command without it: flinch -- COMMAND"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	path := filepath.Join(dir, "flinch.toml")
	if err := os.WriteFile(path, []byte("[task.x]\nrun = 'x'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := config.Find(below)
	if err != nil || got != path {
		t.Fatalf("got %q, %v, want %q", got, err, path)
	}
	cfg, err := config.Load(path, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Dir != dir || cfg.Abs("x/../y") != filepath.Join(dir, "y") || cfg.Abs("/z") != "/z" {
		t.Errorf("got folder %q and %q", cfg.Dir, cfg.Abs("x/../y"))
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "flinch.toml")
	_, err := config.Load(missing, config.Options{})
	if got, want := err.Error(), "read config "+missing+": no such file or directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = config.Load(dir, config.Options{})
	if got, want := err.Error(), "read config "+dir+": is a directory"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.WriteFile(missing, nil, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who may read everything
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	if _, err := config.Load(missing, config.Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want a permission error", err)
	}
}
