package rule

import (
	"errors"
	"fmt"
	"strings"
)

// line is one compiled line of gitignore syntax.
type line struct {
	source   *source
	number   int // from 1; 0 in a table or list without lines
	col      int
	text     string // as git shows it: without trailing spaces
	negated  bool   // "!": re-includes
	dirOnly  bool   // trailing "/"
	nameOnly bool   // no other slash: matched with the last element only
	reason   string // of a default ignore

	prefix string // literal bytes at the start
	shape  shape
	suffix string // for endsWith; for wildRest what every path that matches ends in
	rest   wildcard
}

type shape uint8

const (
	plain    shape = iota // prefix is all of it
	endsWith              // "*" and then suffix, of a name
	wildRest              // prefix, and rest for what follows
)

// source is where lines come from.
type source struct {
	name string // as Verdict.Source
}

// list is the lines of one source, which lies in the folder that they are
// relative to.
type list struct {
	lines []line
	finder
	base  string // that folder, if it is the root or below it, with a trailing slash; "" is the root
	above string // the way from that folder down to the root, with a trailing slash, if it is above
}

// parseLines reads the bytes of an ignore file as git does.
func parseLines(data string, src *source) []line {
	data = strings.TrimPrefix(data, "\ufeff")
	var lines []line
	for number := 1; data != ""; number++ {
		var text string
		text, data, _ = strings.Cut(data, "\n")
		if text == "" || text[0] == '#' {
			continue
		}
		text, _, _ = strings.Cut(strings.TrimSuffix(text, "\r"), "\x00")
		if l, ok := parseLine(trimSpaces(text)); ok {
			l.source, l.number = src, number
			lines = append(lines, l)
		}
	}
	return lines
}

// trimSpaces removes trailing spaces that no backslash stands before. Git
// counts backslashes from the left, so that `\\ ` ends in a trimmed space.
func trimSpaces(text string) string {
	end := 0 // behind the last character that stays
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
			end = i + 1
		} else if text[i] != ' ' {
			end = i + 1
		}
	}
	return text[:end]
}

// parseLine compiles a line; ok is false for one that can never match.
func parseLine(text string) (l line, ok bool) {
	l.text = text
	glob := text
	glob, l.negated = strings.CutPrefix(glob, "!")
	glob, l.dirOnly = strings.CutSuffix(glob, "/")
	l.nameOnly = !strings.Contains(glob, "/")
	anchored := strings.TrimPrefix(glob, "/")
	if anchored == "" {
		return l, false
	}
	special := strings.IndexAny(anchored, `*?[\`)
	switch {
	case special < 0:
		l.prefix = anchored
	case l.nameOnly && glob[0] == '*' && !strings.ContainsAny(glob[1:], `*?[\`):
		l.shape, l.suffix = endsWith, glob[1:]
	default:
		// Git compares the bytes before the first wildcard by themselves, and
		// takes the rest for a pattern of its own: "a**/b" matches "ax/y/b".
		l.shape, l.prefix = wildRest, anchored[:special]
		l.rest = compileWildcard(anchored[special:], !l.nameOnly)
		l.suffix = strings.TrimPrefix(anchored[strings.LastIndexAny(anchored, `*?[]\`)+1:], "/") // "**/b" matches "b"
	}
	return l, !l.rest.never
}

// compileLines compiles ignore lines of a config; nil without any.
func compileLines(patterns []Pattern) (*list, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	ls := &list{}
	var problems []error
	for _, p := range patterns {
		l, err := compileLine(p)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		ls.lines = append(ls.lines, l)
	}
	return ls.file(), errors.Join(problems...)
}

func compileLine(p Pattern) (line, error) {
	fail := func(msg, hint string) (line, error) {
		return line{}, &Error{Pattern: p, Ignore: true, Msg: msg, hint: hint}
	}
	text := trimSpaces(p.Text)
	switch {
	case text == "" || text == "!" || strings.Trim(text, "/") == "":
		return fail("matches nothing", "")
	case text[0] == '#':
		return fail("is a comment", fmt.Sprintf("for a name that begins with \"#\" write %q", `\`+text))
	case strings.ContainsAny(text, "\n\x00"):
		return fail("holds a line break or NUL", "write each ignore line as a string of its own")
	}
	bare := strings.TrimLeft(text, "!/")
	if bare == ".." || strings.HasPrefix(bare, "../") || strings.HasPrefix(bare, "./") {
		return fail("begins with a dot folder, which no path does", "ignore lines are relative to the root: leave out \"./\"")
	}
	l, ok := parseLine(text)
	if !ok {
		return fail(malformed(text), "")
	}
	l.source, l.number, l.col = &source{name: p.File}, p.Line, p.Col
	return l, nil
}

// malformed says why git takes a line for one that matches nothing.
func malformed(text string) string {
	if strings.Contains(text, "[") {
		return "holds a character class that is never closed or has an unknown name"
	}
	return `ends in a backslash that escapes nothing`
}

// last returns the last line that matches path, which is relative to the root
// and within the list's folder; nil is undecided.
func (ls *list) last(path string, dir bool) *line {
	if ls == nil {
		return nil
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	best := ls.latest(-1, ls.names[name], name, dir)
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 && len(ls.tails) > 0 {
		best = ls.latest(best, ls.tails[name[dot:]], name, dir)
	}
	best = ls.latest(best, ls.nameWild, name, dir)
	if len(ls.paths)+len(ls.pathWild) > 0 {
		below := path[len(ls.base):]
		if ls.above != "" {
			below = ls.above + path
		}
		best = ls.latest(best, ls.paths[below], below, dir)
		best = ls.latest(best, ls.pathWild, below, dir)
	}
	if best < 0 {
		return nil
	}
	return &ls.lines[best]
}

// latest returns the greatest number of numbers, which ascend, that is above
// best and whose line matches text; else best.
func (ls *list) latest(best int32, numbers []int32, text string, dir bool) int32 {
	for i := len(numbers) - 1; i >= 0 && numbers[i] > best; i-- {
		l := &ls.lines[numbers[i]]
		if (!l.dirOnly || dir) && l.match(text) {
			return numbers[i]
		}
	}
	return best
}

// finder files the numbers of lines by what the paths that they match have in common.
type finder struct {
	names    map[string][]int32 // by the last element
	tails    map[string][]int32 // by the last element from its last dot on
	nameWild []int32            // of the lines matched with the last element: the others
	paths    map[string][]int32 // by the path relative to the list's folder
	pathWild []int32            // of the lines matched with that path: the others
}

// file files all lines; it is called once, when they are complete.
func (ls *list) file() *list {
	for i := range ls.lines {
		l, n := &ls.lines[i], int32(i)
		dot := strings.LastIndexByte(l.suffix, '.')
		switch {
		case l.nameOnly && l.shape == plain:
			addNumber(&ls.names, l.prefix, n)
		case l.nameOnly && l.shape == endsWith && dot >= 0:
			addNumber(&ls.tails, l.suffix[dot:], n)
		case l.nameOnly:
			ls.nameWild = append(ls.nameWild, n)
		case l.shape == plain:
			addNumber(&ls.paths, l.prefix, n)
		default:
			ls.pathWild = append(ls.pathWild, n)
		}
	}
	return ls
}

func addNumber(m *map[string][]int32, key string, n int32) {
	if *m == nil {
		*m = make(map[string][]int32)
	}
	(*m)[key] = append((*m)[key], n)
}

// reincludes reports whether there is a "!" line.
func (ls *list) reincludes() bool {
	if ls == nil {
		return false
	}
	for i := range ls.lines {
		if ls.lines[i].negated {
			return true
		}
	}
	return false
}

func (l *line) match(text string) bool {
	switch l.shape {
	case plain:
		return text == l.prefix
	case endsWith:
		return strings.HasSuffix(text, l.suffix)
	}
	return strings.HasPrefix(text, l.prefix) && strings.HasSuffix(text, l.suffix) && l.rest.match(text[len(l.prefix):])
}

// verdict says what the line decides over path, at path or a folder above it.
func (l *line) verdict(path, at string) Verdict {
	v := Verdict{Decision: Ignored, Source: l.source.name, Line: l.number, Col: l.col, Pattern: l.text, At: at}
	verb := "ignored by"
	if l.negated {
		v.Decision, verb = Kept, "kept by"
	}
	v.Text = fmt.Sprintf("%s %s", verb, l.pattern())
	if l.reason != "" {
		v.Text += ": " + l.reason
	}
	if at != path {
		v.Text = fmt.Sprintf("the folder %s is %s", at, v.Text)
	}
	return v
}

// pattern returns the line with where it stands.
func (l *line) pattern() Pattern {
	return Pattern{Text: l.text, File: l.source.name, Line: l.number, Col: l.col}
}
