package rule

import "strings"

// wildcard is the compiled wildcard part of a gitignore line, with the meaning
// git's own matcher gives it: bytes, not characters; "**" crosses slashes only
// as a whole element of the path.
type wildcard struct {
	tokens []token
	never  bool // malformed in a way that matches nothing for git
}

type tokenKind uint8

const (
	oneByte    tokenKind = iota // the byte b
	anyByte                     // "?": a byte that is no slash
	classByte                   // "[...]": a byte of the set
	manyBytes                   // "*": any number of bytes without a slash
	anything                    // "**" at the end or before an escaped slash: any number of bytes
	anyFolders                  // "**/": nothing, or bytes that end in a slash
)

type token struct {
	kind tokenKind
	b    byte
	set  *[4]uint64
}

// compileWildcard compiles text. Without paths there are no slashes in what it
// will be matched with, and every "*" is the same.
func compileWildcard(text string, paths bool) wildcard {
	w := wildcard{}
	for i := 0; i < len(text) && !w.never; {
		var t token
		switch text[i] {
		case '*':
			t, i = starToken(text, i, paths)
		case '?':
			t, i = token{kind: anyByte}, i+1
		case '[':
			t, i = classToken(text, i)
			w.never = t.set == nil
		case '\\':
			w.never = i+1 == len(text)
			if !w.never {
				t = token{kind: oneByte, b: text[i+1]}
			}
			i += 2
		default:
			t, i = token{kind: oneByte, b: text[i]}, i+1
		}
		w.tokens = append(w.tokens, t)
	}
	return w
}

// starToken reads the stars at i and says where the text goes on.
func starToken(text string, i int, paths bool) (token, int) {
	end := i
	for end < len(text) && text[end] == '*' {
		end++
	}
	rest := text[end:]
	starts := i == 0 || text[i-1] == '/'
	switch {
	case !paths, end-i == 1, !starts:
		return token{kind: manyBytes}, end
	case rest == "", strings.HasPrefix(rest, `\/`):
		return token{kind: anything}, end
	case rest[0] == '/':
		return token{kind: anyFolders}, end + 1
	}
	return token{kind: manyBytes}, end
}

// match reports whether the whole of s matches. It goes back to the last "*"
// and the last "**" only: what lies before them has matched as early as it can,
// which leaves the most to the rest. So it takes no more than len(s) squared steps.
func (w *wildcard) match(s string) bool {
	if w.never {
		return false
	}
	a := attempt{tokens: w.tokens, s: s, star: retry{token: -1}, folders: retry{token: -1}}
	for a.token < len(a.tokens) || a.at < len(s) {
		if !a.step() && !a.back() {
			return false
		}
	}
	return true
}

// attempt is how far a match has come.
type attempt struct {
	tokens []token
	s      string

	token, at     int   // the next token, and what of s it is to match
	star, folders retry // the last "*" behind the last "**", and that
}

// retry is a star that may stand for more of the text, up to at so far; its
// token is -1 for none.
type retry struct{ token, at int }

// step matches one token; false if it does not match there.
func (a *attempt) step() bool {
	if a.token == len(a.tokens) {
		return false
	}
	switch t := &a.tokens[a.token]; {
	case t.kind == manyBytes:
		a.star = retry{a.token, a.at}
	case t.kind == anything && a.token == len(a.tokens)-1:
		a.at = len(a.s)
	case t.kind == anything, t.kind == anyFolders:
		a.star, a.folders = retry{token: -1}, retry{a.token, a.at}
	case a.at < len(a.s) && t.matches(a.s[a.at]):
		a.at++
	default:
		return false
	}
	a.token++
	return true
}

// back lets the last star stand for more; false if none can.
func (a *attempt) back() bool {
	last := &a.star
	if last.token < 0 || !last.grow(a.s, manyBytes) {
		last = &a.folders
		if last.token < 0 || !last.grow(a.s, a.tokens[last.token].kind) {
			return false
		}
		a.star.token = -1
	}
	a.token, a.at = last.token+1, last.at
	return true
}

// grow takes the least more of s that a star of the kind can stand for.
func (r *retry) grow(s string, kind tokenKind) bool {
	slash := strings.IndexByte(s[r.at:], '/')
	switch {
	case r.at == len(s), kind == manyBytes && slash == 0, kind == anyFolders && slash < 0:
		return false
	case kind == anyFolders:
		r.at += slash + 1
	default:
		r.at++
	}
	return true
}

func (t *token) matches(b byte) bool {
	switch t.kind {
	case oneByte:
		return b == t.b
	case anyByte:
		return b != '/'
	}
	return t.set[b>>6]&(1<<(b&63)) != 0
}

// classToken reads the class at i. Its set is nil when git would take the
// class, and so the whole line, for malformed.
func classToken(text string, i int) (token, int) {
	c := classReader{text: text, at: i + 1}
	negated := c.peek() == '!' || c.peek() == '^'
	if negated {
		c.at++
	}
	for first := true; first || c.peek() != ']'; first = false {
		if !c.one() {
			return token{}, len(text)
		}
	}
	if negated {
		for i := range c.set {
			c.set[i] = ^c.set[i]
		}
	}
	c.set['/'>>6] &^= 1 << ('/' & 63)
	return token{kind: classByte, set: &c.set}, c.at + 1
}

type classReader struct {
	text string
	at   int
	last byte // where a range may begin; 0 is nowhere
	set  [4]uint64
}

func (c *classReader) peek() byte {
	if c.at < len(c.text) {
		return c.text[c.at]
	}
	return 0
}

func (c *classReader) add(low, high byte) {
	for b := int(low); b <= int(high); b++ {
		c.set[b>>6] |= 1 << (b & 63)
	}
}

// one reads a character, a range's second half or a named class; false is malformed.
func (c *classReader) one() bool {
	b := c.peek()
	switch {
	case b == 0:
		return false
	case b == '-' && c.last != 0 && c.at+1 < len(c.text) && c.text[c.at+1] != ']':
		c.at++
		high, ok := c.char()
		c.add(c.last, high)
		c.last = 0
		return ok
	case b == '[' && c.at+1 < len(c.text) && c.text[c.at+1] == ':':
		return c.named()
	}
	char, ok := c.char()
	if ok {
		c.add(char, char)
	}
	c.last = char
	return ok
}

// char reads one byte, escaped or not.
func (c *classReader) char() (byte, bool) {
	if c.peek() == '\\' {
		c.at++
	}
	b := c.peek()
	c.at++
	return b, b != 0
}

// named reads "[:alpha:]" or the like; what does not end in ":]" is only a "[".
func (c *classReader) named() bool {
	rest := c.text[c.at+2:]
	end := strings.IndexByte(rest, ']')
	if end < 0 {
		return false
	}
	if end == 0 || rest[end-1] != ':' {
		c.add('[', '[')
		c.last = '['
		c.at++
		return true
	}
	member, ok := byteClasses[rest[:end-1]]
	if !ok {
		return false
	}
	for b := range 128 {
		if member(byte(b)) {
			c.add(byte(b), byte(b))
		}
	}
	c.last = 0
	c.at += 2 + end + 1
	return true
}

// byteClasses are the named classes, of ASCII only, as git defines them: its
// space has no vertical tab and no form feed.
var byteClasses = map[string]func(byte) bool{
	"alnum":  func(b byte) bool { return isAlpha(b) || isDigit(b) },
	"alpha":  isAlpha,
	"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
	"cntrl":  func(b byte) bool { return b < ' ' || b == 0x7f },
	"digit":  isDigit,
	"graph":  func(b byte) bool { return b > ' ' && b < 0x7f },
	"lower":  func(b byte) bool { return 'a' <= b && b <= 'z' },
	"print":  func(b byte) bool { return b >= ' ' && b < 0x7f },
	"punct":  func(b byte) bool { return b > ' ' && b < 0x7f && !isAlpha(b) && !isDigit(b) },
	"space":  func(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' },
	"upper":  func(b byte) bool { return 'A' <= b && b <= 'Z' },
	"xdigit": func(b byte) bool { return isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'f' },
}

func isAlpha(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
