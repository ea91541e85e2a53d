package rule

import (
	"errors"
	"flag"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

var globPairs = flag.Int("glob-pairs", 200_000, "how many (glob, path) pairs to compare with doublestar")

// agree compares one glob with doublestar: which are refused, and what matches.
func agree(t *testing.T, text string, paths []string) {
	t.Helper()
	if strings.HasPrefix(text, "!") || !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return
	}
	g, err := compileGlob(Pattern{Text: text})
	if err != nil {
		checkRefusal(t, text, err)
		return
	}
	if !doublestar.ValidatePattern(text) {
		t.Fatalf("%q is accepted, doublestar refuses it", text)
	}
	if cleaned(text) {
		return
	}
	for _, path := range paths {
		if want := doublestar.MatchUnvalidated(text, path); g.match(path) != want {
			t.Errorf("%q with %q: got %v, doublestar says %v", text, path, !want, want)
		}
	}
}

func checkRefusal(t *testing.T, text string, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Msg == "" || e.Char > utf8.RuneCountInString(text) {
		t.Fatalf("%q: error %#v", text, err)
	}
	ours := e.Char == 0 || strings.Contains(e.Msg, "backwards") || strings.Contains(e.Msg, "NUL") ||
		strings.Contains(e.Msg, `".."`) || strings.Contains(e.Msg, "spell out") || strings.Contains(e.Msg, `leading "/"`)
	if doublestar.ValidatePattern(text) && !ours {
		t.Fatalf("%q is refused (%v), doublestar accepts it", text, err)
	}
}

// cleaned reports whether compiling changes the glob beyond what doublestar would do.
func cleaned(text string) bool {
	for _, alt := range expandBraces(text, maxAlts) {
		parts := splitSlashes(alt)
		clean, err := cleanParts(Pattern{}, parts)
		if err != nil || strings.Join(clean, "/") != strings.Join(parts, "/") {
			return true
		}
	}
	return false
}

func TestGlobsAgreeWithDoublestar(t *testing.T) {
	rng := rand.New(rand.NewPCG(*gitSeed, 4))
	for n := 0; n < *globPairs && !t.Failed(); n += 20 {
		paths := make([]string, 20)
		for i := range paths {
			paths[i] = randomPath(rng)
		}
		agree(t, randomGlob(rng, 0), paths)
	}
}

func FuzzGlob(f *testing.F) {
	for _, seed := range []string{"**/*.go", "src/{a,b}/**", "a/[^b]*/?", "{**,a}/b", "**{/a,/b}", "a***", `\[a\]/**/{x,y/**}`} {
		f.Add(seed, "src/a/b.go")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		if path == "" || strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//") || !utf8.ValidString(path) || len(text) > 200 {
			return
		}
		agree(t, text, []string{path, "a", "a/b", "a/b/a.b"})
	})
}

// randomGlob makes globs over few letters; about one in ten is malformed.
func randomGlob(rng *rand.Rand, depth int) string {
	var b strings.Builder
	for range 1 + rng.IntN(5) {
		switch n := rng.IntN(24); {
		case n < 8:
			b.WriteByte("aab.b"[rng.IntN(5)])
		case n < 13:
			b.WriteByte('/')
		case n < 15:
			b.WriteString("**")
		case n < 17:
			b.WriteByte('*')
		case n == 17:
			b.WriteByte('?')
		case n == 18:
			b.WriteString([]string{"[ab]", "[^a]", "[!b]", "[a-c]", "[a/]", `[\]a]`, "[.-/]", "[{,}]", "[-a]"}[rng.IntN(9)])
		case n < 22 && depth < 3:
			b.WriteByte('{')
			for i := range 1 + rng.IntN(3) {
				if i > 0 {
					b.WriteByte(',')
				}
				if rng.IntN(5) > 0 {
					b.WriteString(randomGlob(rng, depth+1))
				}
			}
			b.WriteByte('}')
		case n == 22:
			b.WriteString([]string{`\*`, `\/`, `\a`, `\{`, "é", ","}[rng.IntN(6)])
		case rng.IntN(4) == 0:
			b.WriteString([]string{"[", "]", "{", "}", `\`, "[]", "[^]"}[rng.IntN(7)])
		}
	}
	return b.String()
}

func randomPath(rng *rand.Rand) string {
	parts := make([]string, 1+rng.IntN(4))
	for i := range parts {
		var b strings.Builder
		for range 1 + rng.IntN(3) {
			b.WriteString([]string{"a", "a", "b", "b", ".", "c", "*", "é", "{"}[rng.IntN(9)])
		}
		parts[i] = b.String()
	}
	return strings.Join(parts, "/")
}
