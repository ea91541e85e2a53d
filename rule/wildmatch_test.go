package rule

import (
	"strings"
	"testing"
)

// TestWildcard holds what the generated comparison with git rarely meets.
func TestWildcard(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"**", []string{"a", "a/b"}, nil},
		{"**/b", []string{"b", "a/b", "a/a/b"}, []string{"ab", "b/a"}},
		{"a/**", []string{"a/b", "a/b/c"}, []string{"a", "b"}},
		{"a/**/b", []string{"a/b", "a/x/b", "a/x/y/b"}, []string{"a/xb", "ab"}},
		{"a/**b", []string{"a/b", "a/xb"}, []string{"a/x/b"}},
		{"*/b", []string{"a/b"}, []string{"b", "a/a/b"}},
		{"a?b", []string{"axb"}, []string{"a/b", "ab"}},
		{"[!a]b", []string{"bb"}, []string{"ab", "/b"}},
		{"[]-]", []string{"]", "-"}, []string{"a"}},
		{"[a-c-e]", []string{"a", "b", "c", "-", "e"}, []string{"d"}},
		{"[[:upper:]a]", []string{"Q", "a"}, []string{"b", ":"}},
		{"[[:x]", []string{"[", ":", "x"}, []string{"]"}},
		{`[\]]`, []string{"]"}, []string{`\`}},
		{"[z-a]", []string{"z"}, []string{"a", "m", "-"}},
		{"[a", nil, []string{"[a", "a"}},
		{"[[:nope:]]", nil, []string{"n"}},
		{`a\`, nil, []string{"a", `a\`}},
		{`\*`, []string{"*"}, []string{"a"}},
	}
	for _, tt := range tests {
		w := compileWildcard(tt.pattern, true)
		for _, s := range tt.yes {
			if !w.match(s) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range tt.no {
			if w.match(s) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
	}
}

// TestWildcardIsNotExponential would not end if each star were tried with each
// other's places.
func TestWildcardIsNotExponential(t *testing.T) {
	for _, pattern := range []string{strings.Repeat("*a", 40) + "*b", strings.Repeat("**/*a*/", 20) + "b"} {
		w := compileWildcard(pattern, true)
		if w.match(strings.Repeat("a", 2000) + strings.Repeat("/aaa", 500)) {
			t.Errorf("%q matches", pattern)
		}
	}
	r, err := New(Options{Files: Patterns(strings.Repeat("**/*a*/", 20)+"b", strings.Repeat("*a", 40)+"*b")})
	if err != nil || r.Match(strings.Repeat("a", 2000)+strings.Repeat("/aaa", 500)) {
		t.Errorf("matches, or %v", err)
	}
}
