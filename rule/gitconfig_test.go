package rule

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// settings reads all of a config text as "key\nvalue", as git config --list -z
// prints them; a name without a value has no second line there.
func settings(text string) []string {
	p := configParser{text: strings.TrimPrefix(text, "\ufeff")}
	var all []string
	for {
		key, value, ok := p.next()
		if !ok {
			return all
		}
		all = append(all, key+"\n"+value)
	}
}

// TestConfigAgainstGit compares generated config files with git's own reading
// of those that git takes for well-formed. A tab within a value is a space for
// older ones and stays one for newer ones, so it counts as either.
func TestConfigAgainstGit(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 11))
	file, compared := filepath.Join(t.TempDir(), "config"), 0
	for range 300 {
		text := randomConfig(rng)
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("git", "config", "-f", file, "--list", "-z").Output()
		if err != nil {
			continue
		}
		compared++
		var want []string
		for setting := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			if !strings.Contains(setting, "\n") {
				setting += "\ntrue"
			}
			want = append(want, setting)
		}
		if got := settings(text); len(out) > 0 && !equalButTabs(got, want) {
			t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
		}
	}
	t.Logf("%d texts compared", compared)
	if compared < 50 {
		t.Errorf("git took only %d of 300 texts", compared)
	}
}

func equalButTabs(a, b []string) bool {
	return slices.EqualFunc(a, b, func(x, y string) bool {
		return strings.ReplaceAll(x, "\t", " ") == strings.ReplaceAll(y, "\t", " ")
	})
}

func randomConfig(rng *rand.Rand) string {
	var b strings.Builder
	b.WriteString("[core]\n")
	for range rng.IntN(6) {
		b.WriteString([]string{"[a]\n", "[A.b]", "[x \"Y z\"]", "[x \"q\\\"\\\\r\"] ", "  [c]  # note\n", "; note\n", "# note\n", "\n", "\t\n"}[rng.IntN(9)])
		for range rng.IntN(3) {
			b.WriteString([]string{"key", " Key-2 ", "\tk9\t", "excludesFile"}[rng.IntN(4)])
			if rng.IntN(6) > 0 {
				b.WriteString([]string{"=", " = ", "=\t"}[rng.IntN(3)])
				for range rng.IntN(5) {
					b.WriteString([]string{"v", " ", "  w", `"q r"`, `" # "`, `\"`, `\\`, `\t`, `\n`, "\\\n", "#c", ";c", "~/x", "é", "\t", "=", "]"}[rng.IntN(17)])
				}
			}
			b.WriteString([]string{"\n", "\n", "\r\n", " \n"}[rng.IntN(4)])
		}
	}
	return b.String()
}

func FuzzConfig(f *testing.F) {
	f.Add("[core]\nexcludesfile = \"~/a\" # x\n[includeIf \"gitdir:~/x/\"]\npath=y\\\n z\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, setting := range settings(text) {
			if key, _, _ := strings.Cut(setting, "\n"); !strings.Contains(key, ".") && !strings.Contains(setting, ".") {
				t.Errorf("%q: setting %q without a section", text, setting)
			}
		}
	})
}

// FuzzLines reads anything as an ignore file, and matches; what matters is
// that nothing panics and that filing the lines, or a look at how a path ends,
// changes no answer.
func FuzzLines(f *testing.F) {
	f.Add("*.log\n!a/**/b/\n[[:alpha:]-z]\\ \n/x\\", "a/b/c.log")
	f.Add("**/b\na/**\nx*[]]y\nx\\*/?\\ab\n**/c*/d", "b")
	f.Fuzz(func(t *testing.T, text, path string) {
		if path == "" || strings.HasPrefix(path, "/") {
			return
		}
		ls := (&list{lines: parseLines(text, &source{name: "f"})}).file()
		for _, dir := range []bool{false, true} {
			if got, want := ls.last(path, dir), lastOf(ls.lines, path, dir); got != want {
				t.Errorf("%q with %q (folder: %v): got %+v, want %+v", text, path, dir, got, want)
			}
		}
	})
}

// lastOf asks line by line.
func lastOf(lines []line, path string, dir bool) (last *line) {
	for i := range lines {
		l, text := &lines[i], path
		if l.nameOnly {
			text = path[strings.LastIndexByte(path, '/')+1:]
		}
		matches := l.match(text)
		if l.shape == wildRest {
			matches = strings.HasPrefix(text, l.prefix) && l.rest.match(text[len(l.prefix):])
		}
		if (dir || !l.dirOnly) && matches {
			last = l
		}
	}
	return last
}
