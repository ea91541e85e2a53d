package command

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

// EnvError tells what is wrong with an environment file, and where.
type EnvError struct {
	File      string
	Line, Col int // from 1; Col in characters
	Msg       string
}

func (e *EnvError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// ReadEnvFile reads and parses an environment file, see [ParseEnv].
func ReadEnvFile(path string, lookup func(name string) (string, bool)) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("env_file: %w", err)
	}
	return ParseEnv(path, data, lookup)
}

// ParseEnv parses lines of NAME=value as "NAME=value" strings, in file order.
//
// Empty lines and those that begin with # mean nothing; `export ` may stand in
// front. An unquoted value ends at the end of the line or before " #", without
// the blanks around it. '...' is taken as it is, "..." knows \n \r \t \" \\ \$;
// both may go over several lines. ${NAME} outside '...' is an earlier variable
// of the file or else lookup's (nil: none), empty where neither knows it; a $
// before anything else is a $.
//
// All errors of the file come joined, each an [*EnvError].
func ParseEnv(name string, data []byte, lookup func(name string) (string, bool)) ([]string, error) {
	p := envParser{file: name, src: string(bytes.TrimPrefix(data, []byte("\ufeff"))), lookup: lookup}
	for p.pos < len(p.src) {
		p.line()
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.env, nil
}

type envParser struct {
	file   string
	src    string
	pos    int
	lookup func(string) (string, bool)
	env    []string
	errs   []error
}

// line reads one assignment, a comment or nothing, to after its newline.
func (p *envParser) line() {
	defer p.nextLine()
	p.blanks()
	if strings.HasPrefix(p.src[p.pos:], "export ") || strings.HasPrefix(p.src[p.pos:], "export\t") {
		p.pos += len("export ")
		p.blanks()
	}
	if p.end() {
		return
	}
	start := p.pos
	for p.pos < len(p.src) && nameByte(p.src[p.pos], p.pos == start) {
		p.pos++
	}
	name := p.src[start:p.pos]
	p.blanks()
	switch {
	case name == "":
		p.fail(p.pos, "a name must begin with a letter or _")
	case p.pos == len(p.src) || p.src[p.pos] != '=':
		p.fail(p.pos, fmt.Sprintf("expected = after %s", name))
	default:
		p.pos++
		p.blanks()
		if value, ok := p.value(); ok {
			p.env = append(p.env, name+"="+value)
		}
	}
}

func nameByte(c byte, first bool) bool {
	return c == '_' || letter(c) || !first && (digit(c) || c == '.' || c == '-')
}

// end reports whether nothing but a comment is left of the line.
func (p *envParser) end() bool {
	return p.pos == len(p.src) || strings.IndexByte("\n#", p.src[p.pos]) >= 0 || strings.HasPrefix(p.src[p.pos:], "\r\n")
}

func (p *envParser) blanks() {
	for p.pos < len(p.src) && (p.src[p.pos] == ' ' || p.src[p.pos] == '\t') {
		p.pos++
	}
}

func (p *envParser) nextLine() {
	if n := strings.IndexByte(p.src[p.pos:], '\n'); n >= 0 {
		p.pos += n + 1
		return
	}
	p.pos = len(p.src)
}

func (p *envParser) fail(pos int, msg string) {
	before := p.src[:pos]
	bol := strings.LastIndexByte(before, '\n') + 1
	p.errs = append(p.errs, &EnvError{
		File: p.file, Line: 1 + strings.Count(before, "\n"),
		Col: 1 + utf8.RuneCountInString(before[bol:]), Msg: msg,
	})
}

func (p *envParser) value() (string, bool) {
	if p.pos == len(p.src) {
		return "", true
	}
	if q := p.src[p.pos]; q == '\'' || q == '"' {
		return p.quoted(q)
	}
	return p.unquoted()
}

func (p *envParser) unquoted() (string, bool) {
	rest := p.src[p.pos:]
	if n := strings.IndexByte(rest, '\n'); n >= 0 {
		rest = rest[:n]
	}
	for i := range len(rest) {
		if rest[i] == '#' && (i == 0 || rest[i-1] == ' ' || rest[i-1] == '\t') {
			rest = rest[:i]
			break
		}
	}
	if n := strings.IndexByte(rest, 0); n >= 0 {
		p.fail(p.pos+n, "a zero byte cannot be part of a value")
		return "", false
	}
	return p.expand(strings.TrimRight(rest, " \t\r"), p.pos)
}

// quoted reads a value in quotes, and checks that nothing follows it.
func (p *envParser) quoted(q byte) (string, bool) {
	start := p.pos
	var b strings.Builder
	ok := true
	for p.pos++; p.pos < len(p.src) && p.src[p.pos] != q; {
		switch c := p.src[p.pos]; {
		case c == 0:
			p.fail(p.pos, "a zero byte cannot be part of a value")
			ok = false
			p.pos++
		case q == '"' && c == '\\' && p.pos+1 < len(p.src):
			b.WriteString(unescape(p.src[p.pos+1]))
			p.pos += 2
		case q == '"' && strings.HasPrefix(p.src[p.pos:], "${"):
			value, n := p.variable(p.pos)
			ok = ok && n > 0
			b.WriteString(value)
			p.pos += max(n, 2)
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	if p.pos == len(p.src) {
		p.fail(start, "this quote is never closed")
		return "", false
	}
	p.pos++
	p.blanks()
	if !p.end() {
		p.fail(p.pos, "unexpected text after the closing quote")
		return "", false
	}
	return b.String(), ok
}

func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case '"', '\\', '$':
		return string(c)
	}
	return "\\" + string([]byte{c})
}

// expand replaces the variables of an unquoted value that begins at pos.
func (p *envParser) expand(s string, pos int) (string, bool) {
	var b strings.Builder
	ok := true
	for i := 0; i < len(s); {
		if !strings.HasPrefix(s[i:], "${") {
			b.WriteByte(s[i])
			i++
			continue
		}
		value, n := p.variable(pos + i)
		ok = ok && n > 0
		b.WriteString(value)
		i += max(n, 2)
	}
	return b.String(), ok
}

// variable reads ${NAME} at pos; the length is 0 if that is not what is there.
func (p *envParser) variable(pos int) (value string, n int) {
	line, _, _ := strings.Cut(p.src[pos:], "\n")
	end := strings.IndexByte(line, '}')
	if end < 0 {
		p.fail(pos, "${ without }")
		return "", 0
	}
	name := line[2:end]
	if !isName(name) {
		p.fail(pos+2, fmt.Sprintf("only a plain name may stand in ${}, not %q", name))
		return "", 0
	}
	return p.get(name), end + 1
}

func (p *envParser) get(name string) string {
	for i := len(p.env) - 1; i >= 0; i-- {
		if n, v, _ := strings.Cut(p.env[i], "="); n == name {
			return v
		}
	}
	if p.lookup == nil {
		return ""
	}
	if v, ok := p.lookup(name); ok {
		return v
	}
	return ""
}
