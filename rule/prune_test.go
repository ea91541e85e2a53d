package rule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var pruneNames = []string{"a", "b", "c", "ab", "a.b"}

// TestPruneIsSound looks at every path of few letters up to four folders deep:
// a folder in which one matches is never pruned.
func TestPruneIsSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 6))
	pruned, _ := prunedAndMissed(t, 3000, func() *Rule { return randomRule(rng) })
	if pruned == 0 {
		t.Error("nothing was pruned")
	}
}

// TestPruneIsExact takes globs of which every part can match one of the names:
// then a folder in which no path matches is always pruned.
func TestPruneIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 8))
	pruned, missed := prunedAndMissed(t, 3000, func() *Rule { return simpleRule(rng) })
	if pruned == 0 || missed != 0 {
		t.Errorf("%d folders pruned, %d that could be were not", pruned, missed)
	}
}

func prunedAndMissed(t *testing.T, rules int, next func() *Rule) (pruned, missed int) {
	t.Helper()
	universe := pathsOf(pruneNames, 4)
	for range rules {
		r := next()
		if r == nil {
			continue
		}
		matching := foldersWithMatches(r, universe)
		for _, dir := range pathsOf(pruneNames, 2) {
			switch got := r.Prune(dir); {
			case got && matching[dir]:
				t.Fatalf("%v prunes %s, in which a path matches", r.globs, dir)
			case got:
				pruned++
			case !matching[dir]:
				missed++
			}
		}
	}
	return pruned, missed
}

func TestPruneTable(t *testing.T) {
	tests := []struct {
		globs  []Pattern
		ignore []Pattern
		dir    string
		want   bool
	}{
		{globs: Patterns("src/**/*.go"), dir: "vendor/x", want: true},
		{globs: Patterns("src/**/*.go"), dir: "src/x/y"},
		{globs: Patterns("src/**/*.go"), dir: "."},
		{globs: Patterns("src/*.go"), dir: "src"},
		{globs: Patterns("src/*.go"), dir: "src/x", want: true},
		{globs: Patterns("{src,lib}/{a,b}/*.go"), dir: "lib"},
		{globs: Patterns("{src,lib}/{a,b}/*.go"), dir: "lib/b"},
		{globs: Patterns("{src,lib}/{a,b}/*.go"), dir: "lib/c", want: true},
		{globs: Patterns("*/x/go.mod"), dir: "y/z", want: true},
		{globs: Patterns("*/x/go.mod"), dir: "y/x"},
		{globs: Patterns("go.mod"), dir: "src", want: true},
		{globs: Patterns("**", "!**/testdata/**"), dir: "a/testdata", want: true},
		{globs: Patterns("**", "!**/testdata/**"), dir: "a/testdata/b", want: true},
		{globs: Patterns("**", "!**/testdata/*"), dir: "a/testdata"},
		{globs: Patterns("!vendor/"), dir: "vendor", want: true},
		{globs: Patterns("!vendor/"), dir: "src"},
		{globs: Patterns("**", "!vendor/**/*"), dir: "vendor", want: true},
		{globs: Patterns("**", "!vendor/*/*"), dir: "vendor"},
		{globs: Patterns("a[^b]c"), dir: "a"},
		{globs: Patterns("x/a[^b]c"), dir: "y", want: true},
		{globs: Patterns("**"), ignore: Patterns("dist/"), dir: "dist/js", want: true},
		{globs: Patterns("**"), ignore: Patterns("dist/"), dir: "src"},
		{globs: nil, dir: "src", want: true},
	}
	for _, tt := range tests {
		r, err := New(Options{Files: tt.globs, Ignore: tt.ignore})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Prune(tt.dir); got != tt.want {
			t.Errorf("%v ignore %v: Prune(%q) = %v, want %v", tt.globs, tt.ignore, tt.dir, got, tt.want)
		}
		if v := r.ExplainPrune(tt.dir); (v.Decision == Pruned || v.Decision == Ignored) != tt.want || v.Text == "" {
			t.Errorf("%v ignore %v: ExplainPrune(%q) = %+v", tt.globs, tt.ignore, tt.dir, v)
		}
	}
}

func foldersWithMatches(r *Rule, universe []string) map[string]bool {
	matching := make(map[string]bool)
	for _, path := range universe {
		if !r.Match(path) {
			continue
		}
		for at, above := range ancestors(path) {
			if above {
				matching[at] = true
			}
		}
	}
	return matching
}

// randomRule is nil when a glob is malformed.
func randomRule(rng *rand.Rand) *Rule {
	var opt Options
	for range 1 + rng.IntN(3) {
		text := randomGlob(rng, 1)
		if rng.IntN(4) == 0 {
			text = "!" + text
		}
		opt.Files = append(opt.Files, Pattern{Text: text})
	}
	if rng.IntN(3) == 0 {
		opt.Ignore = Patterns([]string{"a/", "!b", "/c/*", "ab", "**/a.b/"}[rng.IntN(5)])
	}
	r, err := New(opt)
	if err != nil {
		return nil
	}
	return r
}

func simpleRule(rng *rand.Rand) *Rule {
	parts := []string{"a", "b", "**", "**", "*", "?", "[ab]", "{a,b/c,ab}", "*.b", "{**,c}"}
	var opt Options
	for range 1 + rng.IntN(2) {
		text := parts[rng.IntN(len(parts))]
		for range rng.IntN(3) {
			text += "/" + parts[rng.IntN(len(parts))]
		}
		opt.Files = append(opt.Files, Pattern{Text: text})
	}
	if rng.IntN(3) == 0 {
		opt.Files = append(opt.Files, Pattern{Text: "!b/**"}, Pattern{Text: "!**/ab/**/*"})
	}
	r, err := New(opt)
	if err != nil {
		panic(err)
	}
	return r
}

// pathsOf returns every path of the names with up to depth elements.
func pathsOf(names []string, depth int) []string {
	all := append([]string(nil), names...)
	last := all
	for range depth - 1 {
		var next []string
		for _, up := range last {
			for _, name := range names {
				next = append(next, up+"/"+name)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// TestSetPrunesNothingThatItMatches puts globs, ignore files, a rule's own
// ignore lines and default ignores together: a folder in which any rule
// reacts to a path is neither pruned nor is the path skipped.
func TestSetPrunesNothingThatItMatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 12))
	lines := []string{"a", "/b/", "!a", "c/**", "!/b/", "ab/", "a.b", "!*.b", "/a/b", "!c", "**/ab", "!**/a/", ".git", "!.git/"}
	pick := func(most int) (some []string) {
		for range rng.IntN(most + 1) {
			some = append(some, lines[rng.IntN(len(lines))])
		}
		return some
	}
	universe := pathsOf(append(pruneNames, ".git"), 3)
	matched, pruned := 0, 0
	for range 150 {
		var rules []*Rule
		for range 1 + rng.IntN(3) {
			r := simpleRule(rng)
			if rng.IntN(3) == 0 {
				r = newRules(t, Options{Files: Patterns(".git/a", "b/ab/c", "**/a")})[0]
			}
			r.ignore, _ = compileLines(Patterns(pick(2)...))
			r.reincludes = r.ignore.reincludes()
			rules = append(rules, r)
		}
		files := map[string]string{".gitignore": strings.Join(pick(4), "\n"), "b/.gitignore": strings.Join(pick(3), "\n"), "a/.ignore": strings.Join(pick(2), "\n")}
		opt := IgnoreOptions{Gitignore: true, Defaults: true, Patterns: Patterns(pick(1)...)}
		for _, r := range rules {
			opt.Named = append(opt.Named, r.Literals()...)
		}
		set := NewSet(SetOptions{Rules: rules, Ignore: ignoreOf(t, opt, files)})
		for _, path := range universe {
			e := set.Explain(path, false)
			hits := set.Match(nil, path, false)
			for i, v := range e.Rules {
				if (v.Decision == Matched) != slices.Contains(hits, i) {
					t.Fatalf("%s, rule %d: %+v, but Match says %v", path, i, v, hits)
				}
			}
			if e.Pruned.Decision != Unmatched {
				pruned++
			}
			if len(hits) == 0 {
				continue
			}
			matched++
			if e.Pruned.Decision != Unmatched || set.Skip(path) {
				t.Fatalf("%s matches %v, but is skipped or %+v; files %q, patterns %v", path, hits, e.Pruned, files, opt.Patterns)
			}
		}
	}
	t.Logf("%d matches, %d paths in pruned folders", matched, pruned)
	if matched == 0 || pruned == 0 {
		t.Error("nothing was tried")
	}
}
