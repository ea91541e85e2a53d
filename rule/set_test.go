package rule

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func newRules(t *testing.T, options ...Options) []*Rule {
	t.Helper()
	var rules []*Rule
	for _, opt := range options {
		r, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// TestSetFindsWhatItsRulesWant compares the index with asking each rule.
func TestSetFindsWhatItsRulesWant(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 9))
	wanted := 0
	for range 2000 {
		var rules []*Rule
		for range 1 + rng.IntN(6) {
			r := simpleRule(rng)
			if rng.IntN(2) == 0 {
				if random := randomRule(rng); random != nil {
					r = random
				}
			}
			rules = append(rules, r)
		}
		set := NewSet(SetOptions{Rules: rules})
		for range 40 {
			path := randomPath(rng)
			if rng.IntN(2) == 0 {
				path = pruneNames[rng.IntN(5)] + "/" + pruneNames[rng.IntN(5)] + "/" + pruneNames[rng.IntN(5)]
			}
			var want []int
			for i, r := range rules {
				if r.Match(path) {
					want = append(want, i)
				}
			}
			if got := set.Match([]int{99}, path, false); !slices.Equal(got[1:], want) || got[0] != 99 {
				t.Fatalf("%s: got %v, want 99 and %v", path, got, want)
			}
			wanted += len(want)
		}
	}
	if wanted == 0 {
		t.Error("no path was wanted")
	}
}

// TestSet: rule 0 reacts to all Go files, 1 names what others may not see, 2
// re-includes for itself, 3 ignores more for itself.
func TestSet(t *testing.T) {
	rules := newRules(t,
		Options{Files: Patterns("**/*.go", "!**/*_test.go", "**/HEAD")},
		Options{Files: Patterns(".git/HEAD", "notes~", "dist/app.js")},
		Options{Files: Patterns("**"), Ignore: Patterns("!/dist/", "!*.log", "*.md")},
		Options{Files: Patterns("src/**"), Ignore: Patterns("gen/", "!gen.go")},
	)
	named := slices.Concat(rules[0].Literals(), rules[1].Literals(), rules[2].Literals())
	ig := ignoreOf(t, IgnoreOptions{Gitignore: true, Defaults: true, Named: named}, map[string]string{
		".gitignore": "dist/\n*.log\nsrc/private/\n", "dist/.gitignore": "*.map\n",
	})
	set := NewSet(SetOptions{Rules: rules, Ignore: ig, Keep: []string{".git/index.lock", "build/lock"}})
	tests := []struct {
		path string
		dir  bool
		want []int
	}{
		{"a.go", false, []int{0, 2}},
		{"a_test.go", false, []int{2}},
		{"src/a.go", false, []int{0, 2, 3}},
		{"src/gen/a.go", false, []int{0, 2}},
		{"src/gen.go", true, []int{0, 2, 3}},
		{"src/private/a.go", false, nil},
		{"a.log", false, []int{2}},
		{"src/a.log", false, []int{2}},
		{"dist/x.go", false, []int{2}},
		{"dist/app.js", false, []int{2}},
		{"dist", true, []int{2}},
		{"dist/app.map", false, nil},
		{"a.md", false, nil},
		{".git/HEAD", false, []int{1}},
		{".git/index", false, nil},
		{"notes~", false, []int{1}},
		{"src/a.go~", false, nil},
	}
	for _, tt := range tests {
		if got := set.Match(nil, tt.path, tt.dir); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.path, got, tt.want)
		}
		if got := set.Skip(tt.path); !tt.dir && got != (len(tt.want) == 0) {
			t.Errorf("Skip(%s) = %v", tt.path, got)
		}
		e := set.Explain(tt.path, tt.dir)
		for i, v := range e.Rules {
			if (v.Decision == Matched) != slices.Contains(tt.want, i) || v.Text == "" {
				t.Errorf("%s, rule %d: %+v", tt.path, i, v)
			}
		}
	}
	for _, path := range []string{".git/index.lock", "build/lock", ".gitignore", "sub/.ignore"} {
		if set.Skip(path) {
			t.Errorf("Skip(%s)", path)
		}
	}
	for dir, want := range map[string]bool{
		".": false, "src": false, "dist": false, ".git": false, ".git/objects": true, "src/private": true, "src/private/x": true, "build": false, "node_modules": false,
	} {
		if got := set.Prune(dir); got != want {
			t.Errorf("Prune(%s) = %v, want %v", dir, got, want)
		}
	}
}

func TestSetPrunesWhatNoRuleCanMatch(t *testing.T) {
	rules := newRules(t, Options{Files: Patterns("src/**/*.go")}, Options{Files: Patterns("docs/*.md")})
	set := NewSet(SetOptions{Rules: rules, Ignore: ignoreOf(t, IgnoreOptions{Gitignore: true}, map[string]string{".gitignore": "/src/gen/\n"})})
	for dir, want := range map[string]bool{"src": false, "src/a": false, "src/gen": true, "docs": false, "docs/img": true, "vendor": true, "vendor/src": true, ".": false} {
		if got := set.Prune(dir); got != want {
			t.Errorf("Prune(%s) = %v, want %v", dir, got, want)
		}
	}
	tests := map[string]Verdict{
		"src/a/x.go":   {},
		"src/gen/x.go": {Pruned, ".gitignore", 1, 0, "/src/gen/", "src/gen", `ignored by "/src/gen/" (.gitignore:1)`},
		"vendor/x/y":   {Pruned, "", 0, 0, "", "vendor", "no rule can match anything below vendor"},
	}
	for path, want := range tests {
		if got := set.Explain(path, false).Pruned; got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}

func TestExplainNamesTheGlob(t *testing.T) {
	files := []Pattern{{Text: "**/*.go", File: "flinch.toml", Line: 4, Col: 10}, {Text: "!**/x_*.go", File: "flinch.toml", Line: 4, Col: 21}}
	r := newRules(t, Options{Files: files, Ignore: []Pattern{{Text: "gen/", File: "flinch.toml", Line: 5, Col: 11}}})[0]
	tests := map[string]Verdict{
		"a.go":     {Matched, "flinch.toml", 4, 10, "**/*.go", "", `matched by "**/*.go" (flinch.toml:4:10)`},
		"x_a.go":   {Excluded, "flinch.toml", 4, 21, "!**/x_*.go", "", `excluded by "!**/x_*.go" (flinch.toml:4:21)`},
		"a.c":      {Decision: Unmatched, Text: "no glob of the rule matches"},
		"gen/a.go": {Ignored, "flinch.toml", 5, 11, "gen/", "gen", `the folder gen is ignored by "gen/" (flinch.toml:5:11)`},
	}
	for path, want := range tests {
		if got := r.Explain(path, false); got != want {
			t.Errorf("%s: got %+v\nwant %+v", path, got, want)
		}
	}
	if got := r.Explain("a.go", false).Where(); got != "flinch.toml:4:10" {
		t.Errorf("Where() = %q", got)
	}
}
