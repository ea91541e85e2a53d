package output

import (
	"bytes"
)

// assembler cuts a stream into lines and heads each with the prefix. Only the
// stream's reader touches it.
type assembler struct {
	prefix   []byte
	color    bool // track the colour, close it at line ends and open it again
	terminal bool // \r goes back to before the prefix, so print that again
	pty      bool // lines end in \r\n
	emit     func(piece)
	tap      func(text []byte, more bool) // a line without its newline; more: it goes on

	line   []byte // the unfinished line, or what is left of it after lineMax
	shown  int    // how much of line was emitted
	fresh  bool   // there is more of it than at the last flush
	inLine bool   // something of the line was emitted, so its prefix too
	flows  bool   // the last piece said that more is on its way
	sgr    sgr

	out  []byte // what the next piece will be
	cont bool   // out begins inside a line
	from []byte // the colour at out's beginning
}

// lineMax is how long an unfinished line is kept together.
const lineMax = 64 << 10

// write takes what was read, and emits all whole lines.
func (a *assembler) write(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			break
		}
		a.finish(p[:n])
		p = p[n+1:]
		if len(a.out) >= chunk {
			a.push(false, false)
		}
	}
	if len(a.out) > 0 {
		a.push(false, false)
	}
	if len(p) > 0 {
		a.line = append(a.line, p...)
		a.fresh = true
		if len(a.line) >= lineMax {
			a.overflow()
		}
	}
}

// waiting reports whether flush would show something.
func (a *assembler) waiting() bool { return a.flows || a.fresh }

// flush shows what there is of an unfinished line.
func (a *assembler) flush() {
	a.fresh = false
	cut := len(a.line) - a.incomplete(a.line[a.shown:])
	a.render(a.line[a.shown:cut], false)
	a.shown = cut
	if len(a.out) > 0 || a.flows {
		a.push(true, false)
	}
}

// end finishes the last line of the stream.
func (a *assembler) end() {
	if len(a.line) > 0 || a.inLine {
		a.finish(nil)
		a.push(false, false)
	}
}

// finish renders the rest of a line, and its newline.
func (a *assembler) finish(rest []byte) {
	text := rest
	if len(a.line) > 0 {
		a.line = append(a.line, rest...)
		text = a.line
	}
	if a.pty && len(text) > a.shown && text[len(text)-1] == '\r' {
		text = text[:len(text)-1]
	}
	if a.tap != nil {
		a.tap(text, false)
	}
	a.render(text[a.shown:], !a.pty)
	if !a.inLine {
		a.begin()
	}
	if a.color && len(a.sgr.state) > 0 {
		a.out = append(a.out, resetSGR...)
	}
	a.out = append(a.out, '\n')
	a.line, a.shown, a.inLine, a.fresh = a.line[:0], 0, false, false
}

// overflow lets go of a line that is too long to be kept.
func (a *assembler) overflow() {
	cut := len(a.line) - a.incomplete(a.line[a.shown:])
	if a.tap != nil {
		a.tap(a.line[:cut], true)
	}
	a.render(a.line[a.shown:cut], false)
	a.line = append(a.line[:0], a.line[cut:]...)
	a.shown = 0
	a.push(true, true)
}

// push emits what was rendered.
func (a *assembler) push(open, flow bool) {
	a.emit(piece{data: a.out, cont: a.cont, open: open, flow: flow, sgr: a.from})
	a.out = a.out[:0]
	a.flows, a.cont = flow, open
	a.from = append(a.from[:0], a.sgr.state...)
}

// begin starts a line.
func (a *assembler) begin() {
	a.inLine = true
	a.out = append(a.out, a.prefix...)
	a.out = append(a.out, a.sgr.state...)
}

// render appends text that holds no newline; last: one follows, to which a \r at
// the end belongs.
func (a *assembler) render(text []byte, last bool) {
	if len(text) == 0 {
		return
	}
	if !a.inLine {
		a.begin()
	}
	if !a.terminal || len(a.prefix) == 0 {
		a.body(text)
		return
	}
	for {
		n := bytes.IndexByte(text, '\r')
		if n < 0 || last && n == len(text)-1 {
			a.body(text)
			return
		}
		a.body(text[:n])
		if a.color && len(a.sgr.state) > 0 {
			a.out = append(a.out, resetSGR...)
		}
		a.out = append(append(a.out, '\r'), a.prefix...)
		a.out = append(a.out, a.sgr.state...)
		text = text[n+1:]
	}
}

func (a *assembler) body(text []byte) {
	a.out = append(a.out, text...)
	if a.color {
		a.sgr.scan(text)
	}
}

// incomplete is how many bytes at the end of text mean nothing before the next
// ones are known: a \r that may belong to a newline, or the beginning of an
// escape sequence. The first of a redraw is kept too: what follows decides.
func (a *assembler) incomplete(text []byte) int {
	n := len(text)
	if n > 0 && text[n-1] == '\r' && (a.pty || a.terminal) {
		return 1
	}
	if !a.color {
		return 0
	}
	tail := text[max(0, n-escapeMax):]
	i := bytes.LastIndexByte(tail, esc)
	if i < 0 || complete(tail[i:]) {
		return 0
	}
	return len(tail) - i
}
