package rule

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRuleMatch(t *testing.T) {
	tests := []struct {
		files, ignore []Pattern
		yes, no       []string
	}{
		{files: Patterns("**"), yes: []string{"a", "a/b", ".", ".env"}},
		{files: nil, no: []string{"a", "a/b"}},
		{files: Patterns("**/*.go", "!**/*_test.go"), yes: []string{"a.go", "x/y/a.go", ".go"}, no: []string{"a_test.go", "x/a_test.go", "a.go.txt", "A.GO"}},
		{files: Patterns("!**/*_test.go", "**/*.go"), yes: []string{"a.go"}, no: []string{"a_test.go"}},
		{files: Patterns("!vendor/", "!*.md"), yes: []string{"a", "src/a.md"}, no: []string{"vendor", "vendor/a/b", "a.md"}},
		{files: Patterns("src/"), yes: []string{"src", "src/a", "src/a/b"}, no: []string{"a/src", "srcs"}},
		{files: Patterns("./src/./*.go", "a//b"), yes: []string{"src/a.go", "a/b"}, no: []string{"src/a/b.go"}},
		{files: Patterns("*.{go,mod}", "cmd/{a,b/{c,d}}/main.go"), yes: []string{"a.go", "go.mod", "cmd/a/main.go", "cmd/b/d/main.go"}, no: []string{"x/a.go", "cmd/b/main.go"}},
		{files: Patterns(`\!a`, `b\*`, `[\]]c`), yes: []string{"!a", "b*", "]c"}, no: []string{"a", "bb", "c"}},
		{files: Patterns("?.go", "[a-c]?[!x]"), yes: []string{"é.go", "ab1"}, no: []string{"ab.go", "abx", "d11"}},
		{files: Patterns("a/**/z", "**/testdata/**"), yes: []string{"a/z", "a/b/c/z", "testdata", "x/testdata/y/z", "testdata/q"}, no: []string{"z", "xtestdata/y", "x/testdatay"}},
		{files: Patterns("**"), ignore: Patterns("dist/", "!keep.log", "*.log", "!b.log"), yes: []string{"dist", "b.log", "a/b.log"}, no: []string{"dist/a", "a/dist/b", "keep.log"}},
	}
	for _, tt := range tests {
		r, err := New(Options{Files: tt.files, Ignore: tt.ignore})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range tt.yes {
			if !r.Match(path) {
				t.Errorf("%v ignore %v does not match %s", tt.files, tt.ignore, path)
			}
		}
		for _, path := range tt.no {
			if r.Match(path) {
				t.Errorf("%v ignore %v matches %s", tt.files, tt.ignore, path)
			}
		}
	}
}

// TestManyAlternatives: braces may spell out to many globs, but not to endless ones.
func TestManyAlternatives(t *testing.T) {
	r, err := New(Options{Files: Patterns("x/"+strings.Repeat("{a,b}", 10)+"/", "!x/"+strings.Repeat("{a,b}", 10)+"/*.o")})
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("ab", 5)
	for path, want := range map[string]bool{"x/" + name + "/f": true, "x/" + name: true, "x/" + name + "/f.o": false, "x/abc/f": false} {
		if got := r.Match(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
		if got := NewSet(SetOptions{Rules: []*Rule{r}}).Match(nil, path, false); (len(got) == 1) != want {
			t.Errorf("%s: the set says %v", path, got)
		}
	}
	if _, err := New(Options{Files: Patterns("!x/" + strings.Repeat("{a,a}", 60))}); err == nil || !strings.HasSuffix(err.Error(), ": braces spell out to more than 4096 globs at character 4") {
		t.Errorf("got %v", err)
	}
}

func TestGlobErrors(t *testing.T) {
	tests := map[string]string{
		"":              `is empty`,
		"!":             `"!" excludes nothing at character 1`,
		"!!a":           `second "!" at character 2`,
		"/src/**":       `leading "/" at character 1`,
		"!/src":         `leading "/" at character 2`,
		"a/../b":        `".." leads out of the root at character 3`,
		"{a,../b}":      `".." leads out of the root at character 4`,
		"src/[a-":       `"[" is never closed at character 5`,
		"ü[]":           `"[" begins an empty class at character 2`,
		"[!]":           `"[" begins an empty class at character 1`,
		"a[9-0]":        `range 9-0 is backwards at character 3`,
		"{a,{b,c}":      `"{" is never closed at character 1`,
		"a}b":           `"}" without "{" at character 2`,
		`dir\`:          `trailing "\" escapes nothing at character 4`,
		"a\x00b":        "NUL, which no name can hold at character 2",
		"{[a,b}":        `"[" is never closed at character 2`,
		`[a\`:           `"[" is never closed at character 1`,
		"x/{a,b}/[é-a]": `range é-a is backwards at character 10`,
	}
	for text, want := range tests {
		_, err := New(Options{Files: []Pattern{{Text: text, File: "flinch.toml", Line: 2, Col: 9}}})
		if want = fmt.Sprintf("flinch.toml:2:9: glob %q: %s", text, want); err == nil || err.Error() != want {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
	_, err := New(Options{Files: Patterns("/src/*.go")})
	var e *Error
	if !errors.As(err, &e) || e.Hint() != `globs are relative to the root: write "src/*.go"` {
		t.Errorf("hint %q", e.Hint())
	}
	if _, err = New(Options{Files: Patterns("[", "ok", "{"), Ignore: Patterns("[z")}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not one error a line for each of the three: %v", err)
	}
}

func TestOps(t *testing.T) {
	tests := map[string]string{
		"create,write": "create,write", "attrib": "attrib", " rename , remove ": "remove,rename",
		"modify": `unknown kind of change "modify": did you mean "write"?`,
		"wirte":  `unknown kind of change "wirte": did you mean "write"?`,
		"DELETE": `unknown kind of change "DELETE": did you mean "remove"?`,
		"chmod":  `unknown kind of change "chmod": did you mean "attrib"?`,
		"xyzzyx": `unknown kind of change "xyzzyx"`,
		"":       `unknown kind of change ""`,
	}
	for text, want := range tests {
		ops, err := ParseOps(text)
		got := ops.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if r, _ := New(Options{}); r.On() != DefaultOps || r.On().Has(Attrib) || !AllOps.Has(DefaultOps) {
		t.Errorf("defaults: %v", r.On())
	}
	var e *OpError
	if _, err := ParseOps("write", "nope"); !errors.As(err, &e) || !strings.Contains(e.Hint(), "create,write,remove,rename,attrib") {
		t.Errorf("%v", err)
	}
}
