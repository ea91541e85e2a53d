package config

import (
	"fmt"
	"strings"
)

// scanner walks TOML text for positions. It is lenient: whether the text is
// valid the library has to say; where the walk cannot go on it stops.
type scanner struct {
	doc  *document
	src  string
	off  int
	deep int // arrays and inline tables that are open

	root    *node
	current *node // the table of the last header
	// skipping: the last header was a duplicate, what follows is hidden from
	// the library and hangs in a table that nobody reads.
	skipping   bool
	statements []span
	duplicates Errors
}

// span is a statement: a header or a key with its value.
type span struct {
	start, end int
	hidden     bool
}

// scanError is where the walk stopped.
type scanError struct {
	at    int
	msg   string
	limit bool // the text is beyond a bound and must not reach the library
}

// part is one name of a dotted key.
type part struct {
	name string
	pos  Pos
}

// run walks the whole text.
func (s *scanner) run() *scanError {
	s.current = s.root
	for {
		s.blanks(true)
		if s.off >= len(s.src) {
			return nil
		}
		s.statements = append(s.statements, span{start: s.off, end: len(s.src), hidden: s.skipping})
		if err := s.statement(); err != nil {
			return err
		}
		s.statements[len(s.statements)-1].end = s.off
		if err := s.lineEnd(); err != nil {
			return err
		}
	}
}

// statementAt is the start of the statement that holds the offset.
func (s *scanner) statementAt(at int) int {
	start := 0
	for _, st := range s.statements {
		if st.start > at {
			break
		}
		start = st.start
	}
	return start
}

// withoutDuplicates is the text with the duplicates, which are reported
// already, turned into spaces: offsets and lines stay.
func (s *scanner) withoutDuplicates() string {
	text := []byte(s.src)
	for _, st := range s.statements {
		if !st.hidden {
			continue
		}
		for i := st.start; i < st.end; i++ {
			if text[i] != '\n' && text[i] != '\r' {
				text[i] = ' '
			}
		}
	}
	return string(text)
}

// syntaxHint guesses what was meant by the statement that could not be read.
func (s *scanner) syntaxHint(at int) string {
	start := s.statementAt(at)
	if line := s.doc.pos(start, 1).Line; line < s.doc.pos(at, 1).Line {
		return fmt.Sprintf("what begins on line %d has not ended here", line)
	}
	text, _, _ := strings.Cut(s.src[start:], "\n")
	key, value, found := strings.Cut(strings.TrimSpace(text), "=")
	value = strings.TrimSpace(value)
	switch {
	case !found && strings.Contains(key, ":") && !strings.HasPrefix(key, "["):
		return "TOML writes KEY = VALUE"
	case found && value == "":
		return "a value is missing after ="
	case found && isBare(value[0]) && value != "true" && value != "false":
		return "a string needs quotes: " + strings.TrimSpace(key) + " = " + quote(value)
	}
	return ""
}

func (s *scanner) stop(format string, args ...any) *scanError {
	return &scanError{at: min(s.off, len(s.src)), msg: "not valid TOML: " + fmt.Sprintf(format, args...)}
}

func (s *scanner) beyond(format string, args ...any) *scanError {
	err := s.stop(format, args...)
	err.limit = true
	return err
}

func (s *scanner) peek() byte {
	if s.off < len(s.src) {
		return s.src[s.off]
	}
	return 0
}

// blanks skips spaces, and line ends and comments too where lines is true.
func (s *scanner) blanks(lines bool) {
	for s.off < len(s.src) {
		switch c := s.src[s.off]; {
		case c == ' ' || c == '\t':
			s.off++
		case lines && (c == '\n' || c == '\r'):
			s.off++
		case lines && c == '#':
			s.comment()
		default:
			return
		}
	}
}

func (s *scanner) comment() {
	if end := strings.IndexByte(s.src[s.off:], '\n'); end >= 0 {
		s.off += end
		return
	}
	s.off = len(s.src)
}

func (s *scanner) lineEnd() *scanError {
	s.blanks(false)
	switch s.peek() {
	case '#', '\n', '\r', 0:
		return nil
	}
	return s.stop("one key or table a line")
}

func (s *scanner) statement() *scanError {
	if s.peek() == '[' {
		return s.tableHeader()
	}
	return s.entry(s.current)
}

// tableHeader reads [a.b] or [[a.b]].
func (s *scanner) tableHeader() *scanError {
	s.off++
	array := s.peek() == '['
	if array {
		s.off++
	}
	parts, err := s.parts(']')
	if err != nil {
		return err
	}
	if array {
		if s.peek() != ']' {
			return s.stop("expected ]]")
		}
		s.off++
	}
	s.open(parts, array)
	return nil
}

// open makes the table of a header the current one.
func (s *scanner) open(parts []part, array bool) {
	s.skipping = false
	s.statements[len(s.statements)-1].hidden = false
	parent, other := descend(s.root, parts[:len(parts)-1])
	last := parts[len(parts)-1]
	if other != nil {
		s.again(parts, other)
		return
	}
	found := parent.child(last.name)
	switch {
	case array && (found == nil || found.kind == arrayKind && !found.inline):
		s.current = appendTable(parent, found, last)
	case array:
		s.again(parts, found)
	case found == nil:
		s.current = parent.add(last, tableKind)
		s.current.header = true
	case found.kind == tableKind && !found.header && !found.inline:
		found.header = true
		s.current = found
	default:
		s.again(parts, found)
	}
}

// again notes a header of something that is there; what follows it hangs in
// a table that nobody reads.
func (s *scanner) again(parts []part, first *node) {
	s.duplicate(parts, first)
	s.skipping = true
	s.current = &node{kind: tableKind}
}

// appendTable adds an element to an array of tables, which it makes first
// where there is none.
func appendTable(parent, array *node, last part) *node {
	if array == nil {
		array = parent.add(last, arrayKind)
	}
	element := &node{kind: tableKind, pos: last.pos, header: true}
	array.kids = append(array.kids, element)
	return element
}

// add makes an entry of a table.
func (n *node) add(p part, k kind) *node {
	kid := &node{kind: k, key: p.name, keyPos: p.pos, pos: p.pos}
	n.put(kid)
	return kid
}

// descend walks a dotted key down, making tables on its way; in an array of
// tables it takes the last. Where a value is in the way it gives that as
// other.
func descend(n *node, parts []part) (table, other *node) {
	for _, p := range parts {
		next := n.child(p.name)
		if next == nil {
			next = n.add(p, tableKind)
		}
		at := next
		if next.kind == arrayKind && !next.inline && len(next.kids) > 0 {
			next = next.kids[len(next.kids)-1]
		}
		if next.kind != tableKind || next.inline {
			return nil, at
		}
		n = next
	}
	return n, nil
}

// duplicate notes that a key or table is there twice, and hides the second.
func (s *scanner) duplicate(parts []part, first *node) {
	last := parts[len(parts)-1]
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	s.statements[len(s.statements)-1].hidden = true
	what := "key " + quote(strings.Join(names, "."))
	if len(names) == 2 && (names[0] == "task" || names[0] == "service") && first.kind == tableKind {
		what = names[0] + " " + names[1]
	}
	s.duplicates = append(s.duplicates, &Error{
		File: s.doc.name, Pos: last.pos, Line: s.doc.line(last.pos.Line),
		Msg: fmt.Sprintf("%s is defined twice, first on line %d", what, first.keyPos.Line),
	})
}

// entry reads KEY = VALUE into a table. A duplicate within the value hides
// all of it.
func (s *scanner) entry(table *node) *scanError {
	parts, err := s.parts('=')
	if err != nil {
		return err
	}
	parent, first := descend(table, parts[:len(parts)-1])
	last := parts[len(parts)-1]
	value := &node{key: last.name, keyPos: last.pos}
	if err := s.value(value); err != nil {
		return err
	}
	if first == nil {
		first = parent.child(last.name)
	}
	hidden := s.statements[len(s.statements)-1].hidden
	switch {
	case s.skipping || hidden && s.deep == 0:
	case first != nil:
		s.duplicate(parts, first)
	default:
		parent.put(value)
	}
	return nil
}

// parts reads the names of a dotted key and the byte that ends it.
func (s *scanner) parts(end byte) ([]part, *scanError) {
	var list []part
	for {
		s.blanks(false)
		if len(list) == maxParts {
			return nil, s.beyond("a key of more than %d names", maxParts)
		}
		p, err := s.part()
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		s.blanks(false)
		switch c := s.peek(); c {
		case '.':
			s.off++
		case end:
			s.off++
			return list, nil
		default:
			return nil, s.stop("expected %q after a key", string(end))
		}
	}
}

// part reads one name, bare or quoted.
func (s *scanner) part() (part, *scanError) {
	start := s.off
	c := s.peek()
	if c == '"' || c == '\'' {
		if err := s.shortString(c); err != nil {
			return part{}, err
		}
		name, ok := unquote(s.src[start:s.off])
		if !ok {
			return part{}, s.stop("this key cannot be read")
		}
		return part{name, s.doc.pos(start, s.off-start)}, nil
	}
	for isBare(s.peek()) {
		s.off++
	}
	if s.off == start {
		return part{}, s.stop("expected a key")
	}
	return part{s.src[start:s.off], s.doc.pos(start, s.off-start)}, nil
}

func isBare(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// unquote lets the library read a quoted key.
func unquote(raw string) (string, bool) {
	values, err := decode("v = " + raw)
	name, ok := values["v"].(string)
	return name, ok && err == nil
}

// value reads a value; scalars are only measured.
func (s *scanner) value(n *node) *scanError {
	s.blanks(false)
	start := s.off
	n.pos = s.doc.pos(min(start, len(s.src)), 1)
	err := s.anyValue(n)
	n.pos.Len = s.doc.width(start, s.off)
	return err
}

func (s *scanner) anyValue(n *node) *scanError {
	switch c := s.peek(); c {
	case '[':
		n.kind, n.inline = arrayKind, true
		return s.nested(']', func() *scanError {
			element := &node{}
			n.kids = append(n.kids, element)
			return s.value(element)
		})
	case '{':
		n.kind = tableKind
		err := s.nested('}', func() *scanError { return s.entry(n) })
		n.inline = true // from here on nothing can be added to it
		return err
	case '"', '\'':
		n.kind = stringKind
		return s.anyString(c)
	}
	n.kind = intKind
	return s.bare()
}

// nested reads the items of an array or an inline table, with their commas.
func (s *scanner) nested(end byte, item func() *scanError) *scanError {
	if s.deep++; s.deep > maxDepth {
		return s.beyond("nested more than %d deep", maxDepth)
	}
	defer func() { s.deep-- }()
	s.off++
	for {
		s.blanks(true)
		if s.peek() == end {
			s.off++
			return nil
		}
		if err := item(); err != nil {
			return err
		}
		s.blanks(true)
		switch s.peek() {
		case ',':
			s.off++
		case end:
		default:
			return s.stop("expected a comma or %q", string(end))
		}
	}
}

func (s *scanner) anyString(q byte) *scanError {
	if strings.HasPrefix(s.src[s.off:], strings.Repeat(string(q), 3)) {
		return s.longString(q)
	}
	return s.shortString(q)
}

// shortString reads a string of one line.
func (s *scanner) shortString(q byte) *scanError {
	for s.off++; s.off < len(s.src); s.off++ {
		switch c := s.src[s.off]; {
		case c == q:
			s.off++
			return nil
		case c == '\n':
			return s.stop("a string without its end")
		case c == '\\' && q == '"':
			s.off++
		}
	}
	return s.stop("a string without its end")
}

// longString reads a string in three quotes; up to two more quotes may
// stand before the closing three.
func (s *scanner) longString(q byte) *scanError {
	for s.off += 3; s.off < len(s.src); s.off++ {
		switch c := s.src[s.off]; {
		case c == '\\' && q == '"':
			s.off++
		case c == q && strings.HasPrefix(s.src[s.off:], strings.Repeat(string(q), 3)):
			s.off += 3
			for range 2 {
				if s.peek() == q {
					s.off++
				}
			}
			return nil
		}
	}
	return s.stop("a string without its end")
}

// bare reads a number, a boolean or a date: up to what can follow a value.
// A date may hold one space.
func (s *scanner) bare() *scanError {
	start := s.off
	for s.off < len(s.src) && !strings.ContainsRune(",]}#\n\r", rune(s.src[s.off])) {
		s.off++
	}
	s.off = start + len(strings.TrimRight(s.src[start:s.off], " \t"))
	if s.off == start {
		return s.stop("expected a value")
	}
	return nil
}
