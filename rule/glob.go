package rule

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// glob is one compiled entry of Options.Files.
type glob struct {
	pattern Pattern
	negated bool
	alts    []alt // its braces spelt out; any of them matching is a match

	// whole is the glob without "!" if it has braces and alts are what they spell
	// out to and no more. Doublestar matches with it where alts alone do not
	// decide: see alt.settles.
	whole string
}

// maxAlts bounds what the braces of one glob may spell out to.
const maxAlts = 4096

// kind is the cheapest exact way to match an alternative.
type kind uint8

const (
	exact    kind = iota // prefix is the path
	all                  // every path
	name                 // prefix + "**/" + suffix: suffix is the last elements of a path below prefix
	tail                 // prefix + "**/*" + suffix: the last element ends in suffix
	under                // prefix + "**": prefix is "a/b/"; a/b itself matches too
	oneStar              // prefix + "*" + suffix, the star without a slash
	within               // prefix + "**/" + inner + "/**": inner are elements of the path, anywhere below prefix
	anyOther             // doublestar, after a look at prefix, suffix and inner
)

// alt is a glob without braces.
type alt struct {
	kind           kind
	text           string // what doublestar would match
	prefix, suffix string // literal bytes at the start and end of every path that matches
	inner          string // literal bytes within every path that matches; for within and anyOther
	segments       []segment
	open           bool // segments end before the text does: anything may follow
}

// segment is what stands between two slashes of an alternative.
type segment struct {
	kind segmentKind
	text string // literal: without escapes; wild: for doublestar
}

type segmentKind uint8

const (
	literal segmentKind = iota
	wild
	doubleStar
)

func compileGlob(p Pattern) (glob, error) {
	g := glob{pattern: p}
	text := p.Text
	if strings.HasPrefix(text, "!") {
		g.negated, text = true, text[1:]
	}
	if err := checkGlob(p, text); err != nil {
		return g, err
	}
	brace := indexMeta(text, 0, '{')
	texts := expandBraces(text, maxAlts)
	if len(texts) == 0 {
		return g, wrong(p, len(p.Text)-len(text)+brace, fmt.Sprintf("braces spell out to more than %d globs", maxAlts), "write several globs, or * in the place of a brace")
	}
	settled := brace < 0
	for _, t := range texts {
		a, err := compileAlt(p, t)
		if err != nil {
			return g, err
		}
		settled = settled || a.text != t
		g.alts = append(g.alts, a)
	}
	if !settled {
		g.whole = text
	}
	return g, nil
}

func (g *glob) match(path string) bool {
	doubt := false
	for i := range g.alts {
		a := &g.alts[i]
		if !a.match(path) {
			continue
		}
		if g.whole == "" || a.settles(path) {
			return true
		}
		doubt = true
	}
	return doubt && doublestar.MatchUnvalidated(g.whole, path)
}

// reaches reports whether a path below dir could match.
func (g *glob) reaches(dir string) bool {
	for i := range g.alts {
		if g.alts[i].reaches(dir) {
			return true
		}
	}
	return false
}

// covers reports whether every path below dir matches.
func (g *glob) covers(dir string) bool {
	for i := range g.alts {
		if g.alts[i].covers(dir) {
			return true
		}
	}
	return false
}

func (g *glob) verdict(d Decision, text string) Verdict {
	p := g.pattern
	return Verdict{Decision: d, Source: p.File, Line: p.Line, Col: p.Col, Pattern: p.Text, Text: text}
}

func (a *alt) match(path string) bool {
	switch a.kind {
	case all:
		return true
	case exact:
		return path == a.prefix
	case under:
		return strings.HasPrefix(path, a.prefix) || path == a.prefix[:len(a.prefix)-1]
	}
	if len(path) < len(a.prefix)+len(a.suffix) || !strings.HasSuffix(path, a.suffix) || !strings.HasPrefix(path, a.prefix) {
		return false
	}
	middle := path[len(a.prefix) : len(path)-len(a.suffix)]
	switch a.kind {
	case tail:
		return true
	case name:
		return middle == "" || middle[len(middle)-1] == '/'
	case oneStar:
		return strings.IndexByte(middle, '/') < 0
	case within:
		return hasElements(middle, a.inner)
	}
	return strings.Contains(path, a.inner) && doublestar.MatchUnvalidated(a.text, path)
}

// folder returns the literal folders that every match is in or is, with a
// trailing slash; empty if there are none.
func (a *alt) folder() string {
	return a.prefix[:strings.LastIndexByte(a.prefix, '/')+1]
}

// wholeName reports whether suffix ends in a whole element.
func (a *alt) wholeName() bool {
	last := len(a.segments) - 1
	return !a.open && last >= 0 && a.segments[last].kind == literal
}

// hasElements reports whether inner stands in path between slashes or ends.
func hasElements(path, inner string) bool {
	for from := 0; ; from++ {
		i := strings.Index(path[from:], inner)
		if i < 0 {
			return false
		}
		from += i
		end := from + len(inner)
		if (from == 0 || path[from-1] == '/') && (end == len(path) || path[end] == '/') {
			return true
		}
	}
}

// settles reports whether a match is one with the braces in place too. Where the
// path ends before the glob does, doublestar lets a trailing "*" or "/**" stand
// for nothing only if no brace opens behind it.
func (a *alt) settles(path string) bool {
	switch a.kind {
	case under:
		return len(path) >= len(a.prefix)
	case within:
		return !strings.HasSuffix(path, a.inner)
	case oneStar:
		return len(path) > len(a.prefix)+len(a.suffix)
	}
	return a.kind != anyOther
}

// reaches reports whether a path below dir could match.
func (a *alt) reaches(dir string) bool {
	folder := a.folder()
	switch {
	case dir == ".", strings.HasPrefix(folder, dir) && folder[len(dir)] == '/':
		return true
	case !isWithin(dir, folder), a.kind == exact:
		return false
	case a.kind != oneStar && a.kind != anyOther:
		return true
	}
	states, exact := a.walk(dir)
	return !exact || states&(1<<len(a.segments)-1) != 0
}

// covers reports whether every path below dir matches: the glob ends in "**" or
// "**/*", and dir leads to there.
func (a *alt) covers(dir string) bool {
	last := len(a.segments) - 1
	if last > 0 && a.segments[last].text == "*" && a.segments[last].kind == wild {
		last--
	}
	if a.open || last < 0 || a.segments[last].kind != doubleStar || !isWithin(dir, a.folder()) {
		return false
	}
	states, exact := a.walk(dir)
	return exact && states&(1<<last) != 0
}

// isWithin reports whether dir is folder, which ends in a slash, or below it.
func isWithin(dir, folder string) bool {
	if folder == "" {
		return true
	}
	end := len(folder) - 1
	return strings.HasPrefix(dir, folder[:end]) && (len(dir) == end || dir[end] == '/')
}

// walk follows dir through the segments. Bit i of states is set when segment i
// may be the next one below dir; bit len(segments) when dir itself matches.
// It is not exact when dir leads to where the segments end before the text.
func (a *alt) walk(dir string) (states uint64, exact bool) {
	const most = 62 // bits of states
	if len(a.segments) > most {
		return 0, false
	}
	states = a.skipStars(1)
	for start := 0; dir != "." && start < len(dir); {
		if a.open && states&(1<<len(a.segments)) != 0 {
			return 0, false
		}
		end := nextSlash(dir, start)
		states = a.step(states, dir[start:end])
		start = end + 1
	}
	return states, !a.open || states&(1<<len(a.segments)) == 0
}

func (a *alt) step(states uint64, name string) uint64 {
	var next uint64
	for i := range a.segments {
		s := &a.segments[i]
		switch {
		case states&(1<<i) == 0:
		case s.kind == doubleStar:
			next |= 1 << i
		case s.kind == literal && s.text == name, s.kind == wild && s.matchFolder(name):
			next |= 1 << (i + 1)
		}
	}
	return a.skipStars(next)
}

// matchFolder matches a name that more of the path follows. The slash matters:
// at the end of a path doublestar takes some stars for nothing and others not.
func (s *segment) matchFolder(name string) bool {
	return doublestar.MatchUnvalidated(s.text+"/-", name+"/-")
}

// skipStars adds the states that a "**" for no folder at all leads to.
func (a *alt) skipStars(states uint64) uint64 {
	for i := range a.segments {
		if a.segments[i].kind == doubleStar && states&(1<<i) != 0 {
			states |= 1 << (i + 1)
		}
	}
	return states
}
