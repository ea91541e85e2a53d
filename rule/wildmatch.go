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
	star, folders := retry{token: -1}, retry{token: -1}
	t, i := 0, 0
	for {
		if t == len(w.tokens) && i == len(s) {
			return true
		}
		if t < len(w.tokens) {
			switch w.tokens[t].kind {
			case manyBytes:
				star = retry{t, i}
				t++
				continue
			case anything, anyFolders:
				if t == len(w.tokens)-1 && w.tokens[t].kind == anything {
					return true
				}
				star, folders = retry{token: -1}, retry{t, i}
				t++
				continue
			default:
				if i < len(s) && w.tokens[t].matches(s[i]) {
					t, i = t+1, i+1
					continue
				}
			}
		}
		switch {
		case star.token >= 0 && star.at < len(s) && s[star.at] != '/':
			star.at++
			t, i = star.token+1, star.at
		case folders.token >= 0 && folders.grow(s, w.tokens[folders.token].kind):
			star.token = -1
			t, i = folders.token+1, folders.at
		default:
			return false
		}
	}
}

// retry is a star that may stand for more of the text, up to at so far.
type retry struct{ token, at int }

func (r *retry) grow(s string, kind tokenKind) bool {
	if r.at >= len(s) {
		return false
	}
	if kind == anything {
		r.at++
		return true
	}
	slash := strings.IndexByte(s[r.at:], '/')
	r.at += slash + 1
	return slash >= 0
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
