package rule

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	gitPairs = flag.Int("git-pairs", 20_000, "how many (ignore files, path) pairs to compare with git")
	gitSeed  = flag.Uint64("git-seed", 1, "seed of the pairs")
)

// TestGitDecides compares decision, source, line and pattern of generated
// ignore files and paths with what git check-ignore says.
func TestGitDecides(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 0))
	pairs, decided := 0, 0
	for round := 0; pairs < *gitPairs; round++ {
		g := newGitRound(t, rng, min(200, *gitPairs/50+1))
		n, hits := g.compare(t)
		pairs, decided = pairs+n, decided+hits
		if err := os.RemoveAll(g.root); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: %d pairs compared, %d of them decided by a line, differences: %v", *gitSeed, pairs, decided, t.Failed())
	if decided == 0 {
		t.Error("no pair was decided by any line: the generator is broken")
	}
}

// gitRound is a repository with many folders, each with its own ignore files
// and paths, so that one process of git judges them all.
type gitRound struct {
	rng   *rand.Rand
	glued bool // git takes the "**" of "a**/b" for one that crosses folders
	root  string
	env   []string
	paths []string
	dirs  map[string]bool
}

func newGitRound(t *testing.T, rng *rand.Rand, folders int) *gitRound {
	t.Helper()
	g := &gitRound{rng: rng, dirs: make(map[string]bool)}
	base := t.TempDir()
	g.root = filepath.Join(base, "repo")
	home := filepath.Join(base, "home")
	g.write(t, "../home/git/ignore", g.globalLines())
	g.write(t, ".keep", "")
	g.env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := g.git("init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	g.glued = g.takesGluedStars(t)
	g.write(t, ".git/info/exclude", g.globalLines())
	g.write(t, ".gitignore", g.globalLines())
	for i := range folders {
		g.folder(t, fmt.Sprintf("%d", i))
	}
	return g
}

// folder fills one folder with sub-folders, ignore files and questions.
func (g *gitRound) folder(t *testing.T, top string) {
	t.Helper()
	dirs := []string{top}
	for range 3 {
		dirs = append(dirs, dirs[g.rng.IntN(len(dirs))]+"/"+g.name())
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(g.root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		for at := range ancestors(dir) {
			g.dirs[at] = true
		}
		if dir == top || g.rng.IntN(3) == 0 {
			g.write(t, dir+"/.gitignore", g.lines(8))
		}
	}
	for range 50 {
		path := dirs[g.rng.IntN(len(dirs))]
		for range g.rng.IntN(4) {
			path += "/" + g.name()
		}
		g.paths = append(g.paths, path)
	}
}

func (g *gitRound) write(t *testing.T, path, text string) {
	t.Helper()
	full := filepath.Join(g.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// name makes names of few letters, so that patterns often match.
func (g *gitRound) name() string {
	special := []string{"a b", "a ", " a", "#a", "!a", "[a]", "a*", "a\\", "é", "a-b", "A", "]", "-", "a,b", "{a,b}", ".a", "a.b", "ab.c", "\xff", "a\tb", "**", "abba"}
	if g.rng.IntN(6) == 0 {
		return special[g.rng.IntN(len(special))]
	}
	var b strings.Builder
	for range 1 + g.rng.IntN(3) {
		b.WriteByte("aabbc."[g.rng.IntN(6)])
	}
	if name := b.String(); name != "." && name != ".." {
		return name
	}
	return "a"
}

func (g *gitRound) lines(most int) string {
	var b strings.Builder
	if g.rng.IntN(30) == 0 {
		b.WriteString("\ufeff")
	}
	for range g.rng.IntN(most + 1) {
		b.WriteString(g.line())
		b.WriteString([]string{"\n", "\n", "\n", "\n", "\r\n", "\n\n", " \n", "  \r\n", "\t\n"}[g.rng.IntN(9)])
	}
	b.WriteString(g.line())
	return b.String()
}

// globalLines are few, so that the files of the folders decide most.
func (g *gitRound) globalLines() string {
	if g.rng.IntN(2) == 0 {
		return ""
	}
	return g.line() + "\n" + g.line() + "a\n"
}

// takesGluedStars asks git about the one thing in which its versions differ:
// since 2.52 stars behind literal characters are ordinary ones.
func (g *gitRound) takesGluedStars(t *testing.T) bool {
	t.Helper()
	g.write(t, ".gitignore", "foo**/bar\n")
	return g.git("check-ignore", "--no-index", "-q", "foobar").Run() == nil
}

// line is without such stars for a git that would take them otherwise.
func (g *gitRound) line() string {
	for {
		if line := g.anyLine(); g.glued || !gluedStars.MatchString(line) {
			return line
		}
	}
}

var gluedStars = regexp.MustCompile(`^!?/?[^*?[\\]*[^*?[\\/]\*\*`)

func (g *gitRound) anyLine() string {
	var b strings.Builder
	if g.rng.IntN(4) == 0 {
		b.WriteByte('!')
	}
	if g.rng.IntN(4) == 0 {
		b.WriteByte('/')
	}
	for i := range 1 + g.rng.IntN(3) {
		if i > 0 && g.rng.IntN(5) > 0 {
			b.WriteByte('/')
		}
		g.element(&b)
	}
	if g.rng.IntN(4) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func (g *gitRound) element(b *strings.Builder) {
	switch g.rng.IntN(10) {
	case 0, 1:
		b.WriteString("**")
	case 2, 3:
		b.WriteString(g.name())
	default:
		for range 1 + g.rng.IntN(3) {
			b.WriteString(g.piece())
		}
	}
}

func (g *gitRound) piece() string {
	pieces := []string{"a", "b", "c", "*", "*", "?", "ab", ".", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[!]]", "[a-]", "[-a]", `[\a]`, `[\]]`, `[a\]b]`,
		"[[:alpha:]]", "[![:digit:]]", "[[:space:]-a]", "[[:foo:]]", "[[:]", "[[:a]", "[[a]", "[a", "[", "]", `\a`, `\*`, `\`, `\\`, `\ `, " ", "#", "!", "{a,b}",
		"***", "**", "é", "\xff", "[\xf0-\xff]", "[é]", "\t", "[a/b]", "[!/]", `\/`, "-", "[c-a]", "[a-b-c]", "[[:upper:][:lower:]]", "[[:punct:]]", "\x00", `[\`, `[a-\b]`, "//"}
	if g.rng.IntN(2) == 0 {
		return pieces[g.rng.IntN(8)]
	}
	return pieces[g.rng.IntN(len(pieces))]
}

func (g *gitRound) git(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = g.root, g.env
	return cmd
}

func (g *gitRound) compare(t *testing.T) (pairs, decided int) {
	t.Helper()
	cmd := g.git("check-ignore", "--no-index", "--stdin", "-z", "-v", "-n")
	cmd.Stdin = strings.NewReader(strings.Join(g.paths, "\x00") + "\x00")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("git check-ignore: %v\n%s", err, stderr.String())
	}
	fields := strings.Split(string(out), "\x00")
	if len(fields) != 4*len(g.paths)+1 {
		t.Fatalf("git answered %d fields for %d paths: %s", len(fields), len(g.paths), stderr.String())
	}
	ig := g.ignore(t)
	differences := 0
	for i, path := range g.paths {
		want := slices.Clone(fields[4*i : 4*i+3])
		v := ig.Explain(path, g.dirs[path])
		got := []string{v.Source, strconv.Itoa(v.Line), v.Pattern}
		if v.Decision == Unmatched {
			got = []string{"", "", ""}
		} else {
			decided++
		}
		if !slices.Equal(got, want) {
			if differences++; differences > 20 {
				t.FailNow()
			}
			t.Errorf("%q (folder: %v): got %q, git says %q", path, g.dirs[path], got, want)
		}
		if ignored := want[2] != "" && want[2][0] != '!'; ig.Match(path, g.dirs[path]) != ignored {
			t.Errorf("%q: Match says %v, git %v", path, !ignored, ignored)
		}
	}
	return len(g.paths), decided
}

func (g *gitRound) ignore(t *testing.T) *Ignore {
	t.Helper()
	getenv := func(name string) string {
		for _, kv := range slices.Backward(g.env) {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value
			}
		}
		return ""
	}
	ig, err := NewIgnore(g.root, IgnoreOptions{Gitignore: true, Getenv: getenv})
	if err != nil {
		t.Fatal(err)
	}
	return ig
}
