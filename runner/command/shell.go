package command

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// bourne reports whether sh reads POSIX syntax and takes positional parameters
// after -c, which is how paths reach it.
func bourne(sh []string) bool {
	name := path.Base(sh[0])
	if name == "busybox" && len(sh) > 1 {
		name = sh[1]
	}
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "oksh", "yash", "zsh"}, name)
}

// checkScript refuses placeholders where a reference to a positional parameter
// would not stand for the path: in quotes, where another program may read the
// text once more, and wherever this reading of the shell's grammar is not sure.
// That is not what keeps a path from being run (it never becomes script text);
// it keeps a placeholder from silently meaning something else.
func checkScript(s string) (quotes, error) {
	r := reader{src: s}
	for r.pos < len(s) && r.err == nil {
		r.step()
	}
	if r.err != nil {
		return quotes{}, r.err
	}
	return r.quotes, nil
}

// quotes says which placeholders of a script stand in quotes, by their offsets.
type quotes struct {
	alone  []int // nothing else is in them
	within []int // beside other text, in double ones
}

// speakers are commands that only say what they are given. To anything else a path
// in the middle of a quoted text may be script, as in `sh -c "wc {file}; ls"`.
var speakers = []string{"echo", "notify-send", "logger"}

// leaders are words after which a command begins.
var leaders = []string{"if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"}

// frame is a construct that the reader is inside of.
type frame byte

const (
	inDouble  frame = '"'
	inParen   frame = '('
	inCommand frame = '$' // $( )
)

// reader follows a shell string just closely enough to know which bytes are
// words. Where it cannot, why says so for the rest of the string.
type reader struct {
	src   string
	pos   int
	stack []frame
	err   *Error

	quotes quotes

	why       string // why nothing from here on can hold a placeholder
	hereDoc   bool   // a here-document begins at the next newline
	hasCase   bool   // a case inside $( ): its ) are not ours to count
	hasFunc   bool
	braces    int
	word      []byte // the unquoted word being read
	first     string // the first word of the command that is being read; "?": not sure
	inSet     bool   // after the word `set`
	setOption bool   // after `set -o`
}

func (r *reader) step() {
	c := r.src[r.pos]
	if k, n := placeholder(r.src, r.pos); n > 0 {
		r.placeholder(k)
		r.pos += n
		return
	}
	if r.top() == inDouble {
		r.double(c)
		return
	}
	if k, n := aloneInQuotes(r.src, r.pos); n > 0 && (c == '"' || c == '\'') && !r.afterDollar() {
		r.quotes.alone = append(r.quotes.alone, r.pos+1)
		r.placeholder(k)
		r.pos += n
		return
	}
	switch {
	case c == '\\':
		r.word = append(r.word, '\\')
		r.pos += 2
	case c == '\'':
		r.single()
	case c == '"':
		r.word = append(r.word, c)
		r.push(inDouble, 1)
	case c == '`':
		r.until("`", "inside backquotes", "use $( ) in their place")
	case c == '$':
		r.dollar()
	case c == '#' && len(r.word) == 0:
		r.pos = r.index("\n", r.pos)
	case strings.IndexByte(blanks+";&|()<>", c) >= 0:
		r.endWord()
		r.operator(c)
	default:
		r.word = append(r.word, c)
		r.pos++
	}
}

func (r *reader) placeholder(k kind) {
	why, hint := r.why, ""
	switch {
	case why != "":
	case k == file && r.spoken():
		r.quotes.within = append(r.quotes.within, r.pos)
	case r.top() == inDouble:
		why, hint = "inside quotes", "take it out of the quotes: it is quoted by itself"
	case r.hasFunc && (r.braces > 0 || len(r.stack) > 0):
		why, hint = "inside a function", "hand it to the function as an argument"
	}
	r.word = append(r.word, 'p')
	if why != "" {
		r.refuse(r.pos, k, why, hint)
	}
}

// spoken tells whether the reader is within the quotes of a command that only says
// what it is given, and nothing is done with what that writes but to show it.
func (r *reader) spoken() bool {
	return len(r.stack) == 1 && r.top() == inDouble && !r.hasFunc && slices.Contains(speakers, r.first)
}

func (r *reader) refuse(pos int, k kind, why, hint string) {
	if r.err != nil {
		return
	}
	if hint == "" {
		hint = "write the command as an array, or read FLINCH_CHANGES_FILE"
	}
	r.err = &Error{Elem: -1, Pos: pos, Msg: fmt.Sprintf("%s cannot stand %s", k, why), hint: hint}
}

// double reads a byte inside double quotes.
func (r *reader) double(c byte) {
	switch c {
	case '\\':
		r.pos += 2
	case '"':
		r.pop()
	case '`':
		r.until("`", "inside backquotes", "use $( ) in their place")
	case '$':
		r.dollar()
	default:
		r.pos++
	}
}

// single reads '...'; $'...' has escapes in some shells and none in others.
func (r *reader) single() {
	if r.afterDollar() {
		r.why = "after $'...'"
	}
	r.word = append(r.word, '\'')
	r.until("'", "inside quotes", "take it out of the quotes: it is quoted by itself")
}

func (r *reader) afterDollar() bool {
	n := len(r.word)
	return n > 0 && r.word[n-1] == '$'
}

// dollar reads what a $ begins.
func (r *reader) dollar() {
	rest := r.src[r.pos:]
	switch {
	case strings.HasPrefix(rest, "$(("):
		r.opaque("))", "inside arithmetic")
	case strings.HasPrefix(rest, "$("):
		r.endWord()
		r.first = ""
		r.push(inCommand, 2)
	case strings.HasPrefix(rest, "${"):
		r.opaque("}", "inside ${...}")
	default:
		r.word = append(r.word, '$')
		r.pos++
	}
}

// operator reads a byte that ends a word.
func (r *reader) operator(c byte) {
	rest := r.src[r.pos:]
	r.newCommand(c)
	switch {
	case strings.HasPrefix(rest, "<<<"):
		r.pos += 3
	case strings.HasPrefix(rest, "<<"):
		r.hereDoc = true
		r.pos += 2
	case c == '\n' && r.hereDoc:
		r.why = "after the beginning of a here-document"
		r.pos++
	case strings.HasPrefix(rest, "(("):
		r.opaque("))", "inside arithmetic")
	case c == '(':
		r.hasFunc = r.hasFunc || strings.HasPrefix(strings.TrimLeft(rest[1:], " \t"), ")")
		r.push(inParen, 1)
	case c == ')':
		r.closeParen()
	default:
		r.inSet = r.inSet && (c == ' ' || c == '\t')
		r.pos++
	}
}

// newCommand notes what an operator makes of the command being read.
func (r *reader) newCommand(c byte) {
	switch {
	case c == '<', c == '>', c == ')':
		r.first = "?"
	case c == ' ', c == '\t', c == '\r':
	case r.pos > 0 && strings.IndexByte("<>", r.src[r.pos-1]) >= 0: // ">&" and ">|" end no command
	default:
		r.first = ""
	}
}

func (r *reader) closeParen() {
	switch {
	case len(r.stack) == 0:
		r.pos++ // of a case
	case r.hasCase:
		r.why = "after a case inside parentheses"
		r.pos++
	default:
		r.pop()
	}
}

// endWord looks at the word that has just ended for those that change what the
// positional parameters are, or read text as script.
func (r *reader) endWord() {
	w := string(r.word)
	r.word = r.word[:0]
	if name, _, isVar := strings.Cut(w, "="); r.first == "" && !slices.Contains(leaders, w) && !(isVar && isName(name)) {
		r.first = w
	}
	switch {
	case w == "":
	case r.setOption:
		r.setOption = false
	case r.inSet:
		r.afterSet(w)
	case w == "set":
		r.inSet = true
	case w == "shift", w == "eval":
		r.why = "after " + w
	case w == "function":
		r.hasFunc = true
	case w == "case":
		r.hasCase = r.hasCase || len(r.stack) > 0
	case w == "{":
		r.braces++
	case w == "}":
		r.braces--
	}
}

func (r *reader) afterSet(w string) {
	switch {
	case w == "--" || w[0] != '-' && w[0] != '+':
		r.why = "after set has changed the parameters"
	case strings.HasSuffix(w, "o"):
		r.setOption = true
	}
}

// until skips to after the closing byte, refusing placeholders on the way.
func (r *reader) until(end, why, hint string) {
	from := r.pos + 1
	to := r.index(end, from)
	if end == "`" {
		for to < len(r.src) && r.src[to-1] == '\\' {
			to = r.index(end, to+1)
		}
	}
	r.pos = min(to+1, len(r.src))
	r.scan(from, to, why, hint)
}

// opaque skips a construct whose inside is not read: simple ones to their end,
// and with quotes or nesting inside nothing after it is sure.
func (r *reader) opaque(end, why string) {
	from := r.pos
	to := r.index(end, from)
	inner := r.src[min(from+2, to):to]
	r.pos = min(to+len(end), len(r.src))
	r.word = append(r.word, 'x')
	r.scan(from, to, why, "")
	if r.why == "" && strings.ContainsAny(strings.TrimPrefix(inner, "("), "'\"`\\$({") {
		r.why = "after " + strings.TrimPrefix(why, "inside ") + " with quotes or parentheses in it"
	}
}

func (r *reader) scan(from, to int, why, hint string) {
	for i := from; i < to; i++ {
		if k, n := placeholder(r.src, i); n > 0 {
			r.refuse(i, k, why, hint)
			return
		}
	}
}

// index is where end first stands from there on, or the end of the string.
func (r *reader) index(end string, from int) int {
	from = min(from, len(r.src))
	if n := strings.Index(r.src[from:], end); n >= 0 {
		return from + n
	}
	return len(r.src)
}

func (r *reader) top() frame {
	if len(r.stack) == 0 {
		return 0
	}
	return r.stack[len(r.stack)-1]
}

func (r *reader) push(f frame, width int) {
	r.stack = append(r.stack, f)
	r.pos += width
}

func (r *reader) pop() {
	r.stack = r.stack[:len(r.stack)-1]
	r.pos++
}
