package output

import (
	"bytes"
	"strconv"
)

const (
	esc      = 0x1b
	resetSGR = "\x1b[0m"
	// escapeMax is the longest escape sequence that is waited for.
	escapeMax = 64
)

// sgr is how a stream wants its text to look ("select graphic rendition",
// ECMA-48 8.3.117): what it has switched on and not off again.
type sgr struct {
	on         [maxAttr + 1]bool // 1 bold ... 9 crossed out, 21 double underline, 53 overline
	fg, bg, ul []byte            // parameters of the colours, empty for the default
	state      []byte            // the sequence that brings it all back; empty: plain
}

const maxAttr = 53

// off says which attributes a parameter ends.
var off = [...][]int{22: {1, 2}, 23: {3}, 24: {4, 21}, 25: {5, 6}, 27: {7}, 28: {8}, 29: {9}, 55: {53}}

// scan follows the sequences in text.
func (s *sgr) scan(text []byte) {
	for {
		i := bytes.IndexByte(text, esc)
		if i < 0 {
			return
		}
		text = text[i:]
		n := sequence(text)
		if n > 0 {
			s.apply(text[2 : n-1])
		}
		text = text[max(n, 1):]
	}
}

// sequence is the length of the SGR sequence that text begins with, 0 for none.
func sequence(text []byte) int {
	if len(text) < 3 || text[1] != '[' {
		return 0
	}
	for i, c := range text[2:min(len(text), escapeMax)] {
		switch {
		case c == 'm':
			return i + 3
		case c != ';' && c != ':' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// apply changes the state by the parameters of one sequence.
func (s *sgr) apply(params []byte) {
	for more := true; more; {
		var param []byte
		param, params, more = bytes.Cut(params, []byte(";"))
		code, _, _ := bytes.Cut(param, []byte(":"))
		n, err := strconv.Atoi(string(code))
		if err != nil {
			n = 0 // an empty parameter is 0
		}
		if (n == 38 || n == 48 || n == 58) && len(code) == len(param) {
			param, params, more = colour(param, params)
		}
		s.set(n, param)
	}
	s.compose()
}

// colour takes what belongs to 38, 48 or 58 from the parameters after it: 5;N or
// 2;R;G;B.
func colour(param, rest []byte) (whole, left []byte, more bool) {
	take := 0
	switch {
	case bytes.HasPrefix(rest, []byte("5;")):
		take = 2
	case bytes.HasPrefix(rest, []byte("2;")):
		take = 4
	}
	whole = bytes.Clone(param)
	more = len(rest) > 0
	for range take {
		var p []byte
		p, rest, more = bytes.Cut(rest, []byte(";"))
		whole = append(append(whole, ';'), p...)
	}
	return whole, rest, more
}

// set applies one parameter with its number n.
func (s *sgr) set(n int, param []byte) {
	switch {
	case n == 0:
		s.on = [maxAttr + 1]bool{}
		s.fg, s.bg, s.ul = s.fg[:0], s.bg[:0], s.ul[:0]
	case n >= 1 && n <= 9, n == 21, n == 53:
		s.on[n] = true
	case n >= 30 && n <= 38, n >= 90 && n <= 97:
		s.fg = append(s.fg[:0], param...)
	case n >= 40 && n <= 48, n >= 100 && n <= 107:
		s.bg = append(s.bg[:0], param...)
	case n == 58:
		s.ul = append(s.ul[:0], param...)
	case n == 39:
		s.fg = s.fg[:0]
	case n == 49:
		s.bg = s.bg[:0]
	case n == 59:
		s.ul = s.ul[:0]
	case n > 0 && n < len(off):
		for _, attr := range off[n] {
			s.on[attr] = false
		}
	}
}

// compose writes the state as one sequence.
func (s *sgr) compose() {
	s.state = s.state[:0]
	add := func(param []byte) {
		if len(s.state) == 0 {
			s.state = append(s.state, esc, '[')
		} else {
			s.state = append(s.state, ';')
		}
		s.state = append(s.state, param...)
	}
	var digits [2]byte
	for n, on := range s.on {
		if on {
			add(strconv.AppendInt(digits[:0], int64(n), 10))
		}
	}
	for _, c := range [...][]byte{s.fg, s.bg, s.ul} {
		if len(c) > 0 {
			add(c)
		}
	}
	if len(s.state) > 0 {
		s.state = append(s.state, 'm')
	}
}

// complete reports whether the escape sequence that b begins with is whole.
func complete(b []byte) bool {
	switch {
	case len(b) < 2:
		return false
	case b[1] != '[':
		return true
	}
	for _, c := range b[2:] {
		if c >= 0x40 && c <= 0x7e {
			return true
		}
	}
	return len(b) >= escapeMax
}
