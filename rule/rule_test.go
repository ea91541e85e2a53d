package rule

import "testing"

func TestQuick(t *testing.T) {
	r, err := New(Options{Files: Patterns("**/*.go", "!**/*_test.go", "src/{a,b}/**"), Ignore: Patterns("gen/")})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{"a.go": true, "x/y/a.go": true, "a_test.go": false, "src/a/x": true, "src/c/x": false, "gen/a.go": false} {
		if got := r.Match(p); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
	t.Log(New(Options{Files: Patterns("src/[a", "ü{a,b", "/x", "!", "[z-a]", "a/../b")}))
}
