package rule

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// checkGlob refuses what doublestar would refuse, and what could never match.
// text is the pattern's text behind the "!", if there was one.
func checkGlob(p Pattern, text string) error {
	start := len(p.Text) - len(text)
	switch {
	case text == "" && start == 0:
		return &Error{Pattern: p, Msg: "is empty", hint: `"**" matches everything`}
	case text == "":
		return wrong(p, 0, `"!" excludes nothing`, `write what is to be excluded behind it, as in "!**/*_test.go"`)
	case text[0] == '!' && start > 0:
		return wrong(p, 1, `second "!"`, `for a name that begins with "!" write "\\!"`)
	case text[0] == '/':
		return wrong(p, start, `leading "/"`, fmt.Sprintf("globs are relative to the root: write %q", p.Text[:start]+strings.TrimLeft(text, "/")))
	}
	if nul := strings.IndexByte(text, 0); nul >= 0 {
		return wrong(p, start+nul, "NUL, which no name can hold", "")
	}
	s := scanner{pattern: p, start: start, text: text}
	return s.scan()
}

// scanner walks over a glob once to find what is wrong with it.
type scanner struct {
	pattern Pattern
	start   int    // offset of text in pattern.Text
	text    string // the glob without "!"
	at      int
	braces  []int // offsets of the braces that are open
}

func (s *scanner) scan() error {
	for ; s.at < len(s.text); s.at++ {
		if err := s.one(); err != nil {
			return err
		}
	}
	if n := len(s.braces); n > 0 {
		return s.wrong(s.braces[n-1], `"{" is never closed`, `for the character itself write "\\{"`)
	}
	return nil
}

func (s *scanner) one() error {
	switch s.text[s.at] {
	case '\\':
		if s.at++; s.at == len(s.text) {
			return s.wrong(s.at-1, `trailing "\" escapes nothing`, `for the character itself write "\\\\"; folders are separated by "/"`)
		}
	case '[':
		return s.class()
	case '{':
		s.braces = append(s.braces, s.at)
	case '}':
		if len(s.braces) == 0 {
			return s.wrong(s.at, `"}" without "{"`, `for the character itself write "\\}"`)
		}
		s.braces = s.braces[:len(s.braces)-1]
	}
	return nil
}

// class reads "[...]" and stays on its "]".
func (s *scanner) class() error {
	open := s.at
	s.at++
	if s.peek() == '^' || s.peek() == '!' {
		s.at++
	}
	if s.peek() == ']' {
		return s.wrong(open, `"[" begins an empty class`, `for "]" within a class write "\\]"`)
	}
	for s.at < len(s.text) && s.text[s.at] != ']' {
		lowAt := s.at
		low := s.classRune()
		if s.peek() != '-' || s.at+1 >= len(s.text) || s.text[s.at+1] == ']' {
			continue
		}
		s.at++
		if high := s.classRune(); high < low {
			return s.wrong(lowAt, fmt.Sprintf("range %c-%c is backwards", low, high), "")
		}
	}
	if s.at >= len(s.text) {
		return s.wrong(open, `"[" is never closed`, `for the character itself write "\\["`)
	}
	return nil
}

// classRune reads one character of a class, escaped or not.
func (s *scanner) classRune() rune {
	if s.peek() == '\\' {
		s.at++
	}
	r, size := utf8.DecodeRuneInString(s.text[min(s.at, len(s.text)):])
	s.at += size
	return r
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) wrong(at int, msg, hint string) error {
	return wrong(s.pattern, s.start+at, msg, hint)
}

// expandBraces spells out the braces of a glob that checkGlob has passed, in
// the order of the alternatives; nothing comes back when there are more than most.
func expandBraces(text string, most int) []string {
	texts := expand(text, most)
	for i, t := range texts {
		texts[i] = joinStars(t)
	}
	return texts
}

func expand(text string, most int) []string {
	open := indexMeta(text, 0, '{')
	if open < 0 {
		return []string{text}
	}
	before := endStar(text[:open])
	closing, commas := braceParts(text, open)
	var texts []string
	start := open + 1
	for _, end := range append(commas, closing) {
		more := expand(before+text[start:end]+text[closing+1:], most-len(texts))
		texts = append(texts, more...)
		if len(more) == 0 || len(texts) > most {
			return nil
		}
		start = end + 1
	}
	return texts
}

// starBrace marks where a brace opened behind a star. Doublestar has taken the
// star for a single one by then, even if the brace goes on with another or with
// the slash that would make "**" cross folders.
const starBrace = "\x00"

// endStar makes one star and a mark of the stars that text ends in.
func endStar(text string) string {
	stars := len(text) // where they begin
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '*':
			stars = min(stars, i)
			continue
		case c == '\\':
			i++
		case c == '[':
			i = classEnd(text, i)
		}
		stars = len(text)
	}
	if stars == len(text) {
		return text
	}
	return text[:stars] + "*" + starBrace
}

// joinStars removes the marks and the stars behind them.
func joinStars(text string) string {
	for {
		before, after, found := strings.Cut(text, starBrace)
		if !found {
			return text
		}
		text = before + strings.TrimLeft(after, "*"+starBrace)
	}
}

// braceParts finds the "}" of the "{" at open and the commas between them that
// belong to it.
func braceParts(text string, open int) (closing int, commas []int) {
	depth := 0
	for i := open; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			i = classEnd(text, i)
		case '{':
			depth++
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case '}':
			if depth--; depth == 0 {
				return i, commas
			}
		}
	}
}

// indexMeta finds the next c from offset i on that is neither escaped nor in a class.
func indexMeta(text string, i int, c byte) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case c:
			return i
		case '\\':
			i++
		case '[':
			i = classEnd(text, i)
		}
	}
	return -1
}

// classEnd finds the "]" of the class that begins at i.
func classEnd(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ']':
			return i
		}
	}
	return i
}

// compileAlt compiles a glob without braces.
func compileAlt(p Pattern, text string) (alt, error) {
	parts, err := cleanParts(p, splitSlashes(text))
	if err != nil {
		return alt{}, err
	}
	a := alt{text: strings.Join(parts, "/")}
	for _, part := range parts {
		s, closed := compileSegment(part)
		if !closed {
			a.open = true
			break
		}
		a.segments = append(a.segments, s)
	}
	a.classify()
	return a, nil
}

// splitSlashes splits at the slashes that separate segments for doublestar.
func splitSlashes(text string) []string {
	var parts []string
	for start := 0; ; {
		end := indexMeta(text, start, '/')
		if end < 0 {
			return append(parts, text[start:])
		}
		parts = append(parts, text[start:end])
		start = end + 1
	}
}

// cleanParts leaves out "." and empty segments, turns a trailing slash into
// "**", and refuses "..".
func cleanParts(p Pattern, parts []string) ([]string, error) {
	last := len(parts) - 1
	var clean []string
	for i, part := range parts {
		switch {
		case part == "..":
			at := max(strings.Index(p.Text, ".."), 0)
			return nil, wrong(p, at, `".." leads out of the root`, "globs are relative to the root; watch another folder as a further root")
		case part == "" && i == last && last > 0:
			clean = append(clean, "**")
		case part != "" && part != ".":
			clean = append(clean, part)
		}
	}
	if len(clean) == 0 {
		return []string{"."}, nil
	}
	return clean, nil
}

// compileSegment is not closed when doublestar could match a slash with the
// segment: an escaped slash, or a class that a slash is in.
func compileSegment(text string) (s segment, closed bool) {
	if text == "**" {
		return segment{kind: doubleStar}, true
	}
	var plain strings.Builder
	s.kind = literal
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*', '?':
			s.kind = wild
		case '[':
			s.kind = wild
			end := classEnd(text, i)
			if doublestar.MatchUnvalidated(text[i:end+1], "/") {
				return s, false
			}
			i = end
		case '\\':
			i++
			if text[i] == '/' {
				return s, false
			}
			plain.WriteByte(text[i])
		default:
			plain.WriteByte(c)
		}
	}
	if s.text = text; s.kind == literal {
		s.text = plain.String()
	}
	return s, true
}

// classify finds the cheapest kind, and the literal bytes at both ends.
func (a *alt) classify() {
	a.kind = anyOther
	n := 0 // literal segments at the start
	for n < len(a.segments) && a.segments[n].kind == literal {
		a.prefix += a.segments[n].text + "/"
		n++
	}
	if a.open {
		return
	}
	rest := a.segments[n:]
	a.findLiterals(rest)
	switch {
	case len(rest) == 0:
		a.kind, a.prefix = exact, strings.TrimSuffix(a.prefix, "/")
	case len(rest) == 1 && rest[0].kind == doubleStar && n == 0:
		a.kind = all
	case len(rest) == 1 && rest[0].kind == doubleStar:
		a.kind = under
	case rest[0].kind == wild:
		a.classifyWild(rest)
	default:
		a.classifyStars(rest[1:])
	}
}

// classifyWild takes the segments from the first with a wildcard on.
func (a *alt) classifyWild(rest []segment) {
	before, after, ok := singleStar(rest[0].text)
	end, literals := joinLiterals(rest[1:])
	if !ok || !literals {
		return
	}
	if end != "" {
		end = "/" + end
	}
	a.kind, a.prefix, a.suffix = oneStar, a.prefix+before, after+end
}

// classifyStars takes the segments behind the first "**".
func (a *alt) classifyStars(rest []segment) {
	if end, literals := joinLiterals(rest); literals {
		a.kind, a.suffix = name, end
		return
	}
	last := len(rest) - 1
	inner, literals := joinLiterals(rest[:last])
	switch {
	case last > 0 && literals && rest[last].kind == doubleStar:
		a.kind, a.inner = within, inner
	case last == 0 && rest[0].kind == wild:
		if before, after, ok := singleStar(rest[0].text); ok && before == "" {
			a.kind, a.suffix = tail, after
		}
	}
}

// findLiterals looks for literal bytes that doublestar need not be asked without.
func (a *alt) findLiterals(rest []segment) {
	for i, s := range rest {
		if s.kind == literal && len(s.text) > len(a.inner) {
			a.inner = s.text
		}
		if s.kind != doubleStar && i == len(rest)-1 {
			a.suffix = s.text[s.literalTail():]
		}
	}
}

// literalTail says where the literal bytes at the segment's end begin.
func (s *segment) literalTail() int {
	if s.kind == literal {
		return 0
	}
	if strings.Contains(s.text, `\`) {
		return len(s.text)
	}
	return strings.LastIndexAny(s.text, "*?]") + 1
}

func joinLiterals(segments []segment) (joined string, ok bool) {
	texts := make([]string, len(segments))
	for i, s := range segments {
		if s.kind != literal {
			return "", false
		}
		texts[i] = s.text
	}
	return strings.Join(texts, "/"), true
}

// singleStar splits a segment at its only wildcard, a "*". One with escapes is
// left to doublestar.
func singleStar(text string) (before, after string, ok bool) {
	before, after, ok = strings.Cut(text, "*")
	return before, after, ok && !strings.ContainsAny(before+after, `*?[\`)
}
