package command

import (
	"path"
	"slices"
	"strings"
)

// blanks separate words, and at the ends of a string mean nothing.
const blanks = " \t\r\n"

// syntax is what makes a single word on the command line a shell string.
const syntax = blanks + "|&;<>()$`\\\"'*?[]#~!"

// literal are the bytes that no shell gives a meaning to outside quotes,
// besides letters, digits and everything beyond ASCII.
const literal = "_-./,:=+@%"

// builtins are the words that a shell of any kind may answer itself when they
// come first: the POSIX ones, and those of bash, dash, ksh and zsh.
var builtins = strings.Fields(`
	! . : [ [[ ]] { } alias autoload bg bind bindkey break builtin bye caller case cd chdir
	command compgen complete compopt continue coproc declare dirs disable disown do done
	echo echotc elif else emulate enable end esac eval exec exit export false fc fg fi
	float for foreach function functions getln getopts hash help history if in integer
	jobs kill let limit local log logout mapfile newgrp nocorrect noglob popd print printf
	pushd pushln pwd read readarray readonly rehash repeat return sched select set setopt shift
	shopt source stat suspend test then time times trap true ttyctl type typeset ulimit
	umask unalias unfunction unhash unlimit unset unsetopt until wait whence where which
	while zcompile zmodload zparseopts zstyle
`)

// transparent reports whether the shell adds nothing to a command of plain
// words: no flags that change it, no startup file that defines functions.
func transparent(sh []string) bool {
	return len(sh) == 1 && slices.Contains([]string{"sh", "dash", "bash", "ash", "ksh", "mksh"}, path.Base(sh[0]))
}

// plain splits s as a shell would, and reports false when only a shell can.
func plain(s string) (vars []assign, words []word, ok bool) {
	l := lexer{src: strings.TrimRight(s, blanks)}
	for l.skip(); l.pos < len(l.src); l.skip() {
		w, ok := l.word()
		if !ok {
			return nil, nil, false
		}
		name, value, isVar := w.assignment()
		switch _, two := w.secondList(); {
		case two:
			return nil, nil, false
		case !isVar || words != nil:
			words = append(words, w.parts)
		case value.listKind() != text:
			return nil, nil, false
		default:
			vars = append(vars, assign{name, value})
		}
	}
	return vars, words, len(words) > 0 && !answered(words[0])
}

// answered reports whether the shell itself would answer to the first word.
func answered(first word) bool {
	if len(first) > 1 || first[0].kind != text {
		return false
	}
	s := first[0].text
	return s == "" || slices.Contains(builtins, s) || strings.Contains(s, "+=")
}

// lexer reads words of a string that uses nothing but words and quotes.
type lexer struct {
	src string
	pos int
}

// lexeme is a word with how much of its beginning stood outside quotes.
type lexeme struct {
	parts word
	bare  int // bytes of the first part that were not quoted
}

func (w lexeme) secondList() (part, bool) { return w.parts.secondList() }

// assignment splits NAME=value, where NAME= was not quoted.
func (w lexeme) assignment() (name string, value word, ok bool) {
	if len(w.parts) == 0 || w.parts[0].kind != text {
		return "", nil, false
	}
	first := w.parts[0]
	name, rest, found := strings.Cut(first.text, "=")
	if !found || len(name) >= w.bare || !isName(name) {
		return "", nil, false
	}
	value = append(word{{text: rest, pos: first.pos}}, w.parts[1:]...)
	return name, value, true
}

func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && !letter(c) && (i == 0 || !digit(c)) {
			return false
		}
	}
	return s != ""
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

func (l *lexer) skip() {
	for l.pos < len(l.src) && strings.IndexByte(" \t", l.src[l.pos]) >= 0 {
		l.pos++
	}
	if l.pos == 0 { // newlines before the first word are as good as spaces
		l.pos = len(l.src) - len(strings.TrimLeft(l.src, blanks))
	}
}

// word reads up to the next blank; false where a shell is needed.
func (l *lexer) word() (lexeme, bool) {
	var (
		b     strings.Builder
		w     lexeme
		start = l.pos
		quote bool
	)
	flush := func() {
		if b.Len() > 0 {
			w.parts = append(w.parts, part{text: b.String(), pos: start})
			b.Reset()
		}
	}
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		k, n := placeholder(l.src, l.pos)
		if n == 0 && (c == '\'' || c == '"') {
			k, n = aloneInQuotes(l.src, l.pos)
		}
		switch {
		case n > 0:
			flush()
			w.parts = append(w.parts, part{kind: k, pos: l.pos, end: l.pos + n})
			l.pos += n
			continue
		case c == ' ' || c == '\t':
			flush()
			return w.orEmpty(start), true
		case c == '\'' || c == '"':
			inner, ok := l.quoted(c)
			if !ok {
				return lexeme{}, false
			}
			b.WriteString(inner)
			quote = true
			continue
		case !bare(c) || c == '=' && l.pos == start: // zsh reads =cmd as a path
			return lexeme{}, false
		}
		b.WriteByte(c)
		l.pos++
		if !quote && len(w.parts) == 0 {
			w.bare++
		}
	}
	flush()
	return w.orEmpty(start), true
}

// orEmpty makes "" an argument of its own.
func (w lexeme) orEmpty(pos int) lexeme {
	if len(w.parts) == 0 {
		w.parts = word{{pos: pos}}
	}
	return w
}

// bare reports whether c stands for itself outside quotes in every shell.
func bare(c byte) bool {
	return letter(c) || digit(c) || c >= 0x80 || strings.IndexByte(literal, c) >= 0
}

// quoted reads from an opening quote to after the closing one.
func (l *lexer) quoted(q byte) (string, bool) {
	rest := l.src[l.pos+1:]
	end := strings.IndexByte(rest, q)
	if end < 0 {
		return "", false
	}
	inner := rest[:end]
	if slices.ContainsFunc(split(inner, quotes{}), isPlaceholder) {
		return "", false
	}
	if q == '"' && strings.ContainsAny(inner, "$`\\!") {
		return "", false
	}
	l.pos += end + 2
	return inner, true
}

// Quote makes one word of s for sh, bash, ksh, zsh and fish. It is meant for
// display: nothing in this package runs what it returns.
func Quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x80 && !bare(byte(r)) }) {
		return s
	}
	var b strings.Builder
	for s != "" {
		n := strings.IndexAny(s, `'\`)
		if n < 0 {
			n = len(s)
		}
		if n > 0 {
			b.WriteString("'" + s[:n] + "'")
		}
		if n == len(s) {
			break
		}
		b.WriteString(map[byte]string{'\'': `"'"`, '\\': `"\\"`}[s[n]])
		s = s[n+1:]
	}
	if b.Len() == 0 {
		return "''"
	}
	return b.String()
}
