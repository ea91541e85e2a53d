package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// The TOML library decides what is valid and what a value is, but keeps no
// position of array elements, of unknown keys and of the keys of inline
// tables. So the text is walked a second time for positions only: the walk
// builds a tree of nodes, and the values of the library are hung into it.

// kind is the TOML type of a node.
type kind uint8

const (
	noKind kind = iota
	tableKind
	arrayKind
	stringKind
	intKind
	floatKind
	boolKind
	timeKind
)

// String names a type as a sentence would.
func (k kind) String() string {
	return [...]string{"nothing", "a table", "an array", "a string", "an integer", "a float", "a boolean", "a date"}[k]
}

// node is a value of the file, with its key where it stands in a table.
type node struct {
	kind   kind
	key    string
	keyPos Pos
	pos    Pos // of the value; of a table's header
	val    any // string, int64, float64, bool
	kids   []*node
	index  map[string]*node // kids of a table by key, the first of each
	// header: a [table] line or an element of [[tables]] has made it, so a
	// second such line is a duplicate.
	header bool
	inline bool // an array of [[tables]] is not inline
}

// child gives the entry of a table, or nil.
func (n *node) child(key string) *node { return n.index[key] }

// put adds an entry to a table.
func (n *node) put(kid *node) {
	if n.index == nil {
		n.index = map[string]*node{}
	}
	if n.index[kid.key] == nil {
		n.index[kid.key] = kid
	}
	n.kids = append(n.kids, kid)
}

// Bounds of what a config may be; beyond them the library takes time or
// stack that grow with the square or the depth of the text.
const (
	maxSize  = 1 << 20
	maxDepth = 32
	maxParts = 16
)

// document is the text with its tree.
type document struct {
	name  string
	text  string
	lines []int // offset of each line's start
	root  *node
	errs  Errors
	// near is the last place that was counted out: the walk asks for places
	// in order, and a line may be as long as the file.
	near struct{ at, line, col int }
	// cut: the text ends early in a syntax error, so what is missing may
	// stand in the part that was not read.
	cut bool
}

// readDocument turns the bytes of a file into a tree. What is wrong is in
// errs; the tree holds what could be read nevertheless.
func readDocument(name string, data []byte) *document {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	d := &document{name: name, text: string(data), root: &node{kind: tableKind}}
	d.lines = lineStarts(d.text)
	if !d.encoding() {
		d.cut = true
		return d
	}
	d.read(len(d.text))
	return d
}

// read builds the tree of the first end bytes. A syntax error is noted and
// the part before its statement read again.
func (d *document) read(end int) {
	s := &scanner{doc: d, src: d.text[:end], root: &node{kind: tableKind}}
	bad, values, err := s.run(), map[string]any(nil), error(nil)
	if bad == nil || !bad.limit {
		values, err = decode(s.withoutDuplicates())
	}
	if err == nil && bad == nil {
		d.root = s.root
		d.errs = append(d.errs, s.duplicates...)
		attach(d.root, values)
		return
	}
	if d.cut {
		return // the part before an error is none without it: nothing to save
	}
	d.cut = true
	d.read(s.statementAt(d.syntaxError(s, bad, err)))
}

// syntaxError notes the first thing that the library or the walk could not
// read, and gives its offset.
func (d *document) syntaxError(s *scanner, bad *scanError, err error) int {
	var parse toml.ParseError
	switch {
	case bad != nil && (bad.limit || err == nil):
		d.add(d.pos(bad.at, 1), bad.msg, "")
		return bad.at
	case errors.As(err, &parse):
		at := d.runeAt(parse.Position.Start)
		d.add(d.pos(at, parse.Position.Len), syntaxMessage(parse.Message), s.syntaxHint(at))
		return at
	}
	d.add(d.pos(0, 1), err.Error(), "")
	return 0
}

// runeAt is the start of the character that holds an offset, which the
// library takes from the end of the text backwards by bytes.
func (d *document) runeAt(at int) int {
	at = max(0, min(at, len(d.text)))
	for at > 0 && at < len(d.text) && !utf8.RuneStart(d.text[at]) {
		at--
	}
	return at
}

// syntaxMessage makes a library's message one of ours: lower case, no full
// stop, one line, and an end of the file that is called so.
func syntaxMessage(msg string) string {
	msg = strings.TrimSuffix(strings.Join(strings.Fields(msg), " "), ".")
	msg = endOfFile.Replace(msg)
	if len(msg) > 1 && 'a' <= msg[1] && msg[1] <= 'z' {
		msg = strings.ToLower(msg[:1]) + msg[1:]
	}
	return "not valid TOML: " + msg
}

var endOfFile = strings.NewReplacer(`'\x00'`, "the end of the file", `'\n'`, "the end of the line", "unexpected EOF", "unexpected end of the file", "EOF", "end of the file")

// decode asks the library. It panics with a plain string on what it thinks
// to be its own bugs; a config must not end the program that reads it.
func decode(text string) (values map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not valid TOML: %v", r)
		}
	}()
	_, err = toml.Decode(text, &values)
	return values, err
}

// encoding refuses what is not UTF-8 text, with the place.
func (d *document) encoding() bool {
	switch {
	case len(d.text) > maxSize:
		d.add(Pos{}, fmt.Sprintf("larger than %d bytes: this is no config", maxSize), "")
		return false
	case strings.HasPrefix(d.text, "\xff\xfe"), strings.HasPrefix(d.text, "\xfe\xff"):
		d.add(Pos{}, "written in UTF-16", "save it as UTF-8")
		return false
	}
	for at, r := range d.text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(d.text[at:], "\uFFFD"):
			d.add(d.pos(at, 1), fmt.Sprintf("byte 0x%02x is not UTF-8", d.text[at]), "save it as UTF-8")
			return false
		case r < ' ' && r != '\t' && r != '\n' && !strings.HasPrefix(d.text[at:], "\r\n"), r == 0x7f:
			d.add(d.pos(at, 1), fmt.Sprintf("control character 0x%02x", r), fmt.Sprintf(`in a string write \u%04x`, r))
			return false
		}
	}
	return true
}

// add notes an error.
func (d *document) add(pos Pos, msg, hint string) *Error {
	err := &Error{File: d.name, Pos: pos, Msg: msg, Help: hint, Line: d.line(pos.Line)}
	d.errs = append(d.errs, err)
	return err
}

// line gives the text of a line, from 1.
func (d *document) line(number int) string {
	if number < 1 || number > len(d.lines) {
		return ""
	}
	text := d.text[d.lines[number-1]:]
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	return strings.ToValidUTF8(strings.TrimSuffix(text, "\r"), "\uFFFD")
}

// pos turns an offset and a length in bytes into a place.
func (d *document) pos(at, length int) Pos {
	line, found := slices.BinarySearch(d.lines, at)
	if found {
		line++
	}
	from, col := d.lines[line-1], 1
	if d.near.line == line && d.near.at <= at {
		from, col = d.near.at, d.near.col
	}
	col += utf8.RuneCountInString(d.text[from:at])
	d.near.at, d.near.line, d.near.col = at, line, col
	return Pos{Line: line, Col: col, Len: d.width(at, at+length)}
}

// width counts the characters of the part of a line that begins at start;
// what goes over several lines is marked on its first.
func (d *document) width(start, end int) int {
	text := d.text[start:max(start, min(end, len(d.text)))]
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	}
	return max(1, utf8.RuneCountInString(strings.TrimRight(text, " \t\r")))
}

func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// attach hangs the library's values into the tree.
func attach(n *node, value any) {
	switch v := value.(type) {
	case map[string]any:
		n.kind = tableKind
		for _, kid := range n.kids {
			attach(kid, v[kid.key])
		}
	case []map[string]any:
		n.kind = arrayKind
		for i := range min(len(v), len(n.kids)) {
			attach(n.kids[i], v[i])
		}
	case []any:
		n.kind = arrayKind
		for i := range min(len(v), len(n.kids)) {
			attach(n.kids[i], v[i])
		}
	default:
		n.kind, n.val = scalarKind(value), value
	}
}

func scalarKind(value any) kind {
	switch value.(type) {
	case string:
		return stringKind
	case int64:
		return intKind
	case float64:
		return floatKind
	case bool:
		return boolKind
	case nil:
		return noKind
	}
	return timeKind
}
