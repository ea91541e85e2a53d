package output

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// smallChunk is how much is read at once before there is reason to read more.
const smallChunk = 4 << 10

// partialAfter is how long a line may stay unfinished before it is shown: a
// prompt has no newline.
const partialAfter = 100 * time.Millisecond

// flowAfter is the same for a line that is already longer than what is kept
// together: no prompt, so the rest is waited for, and others wait with it.
const flowAfter = time.Second

// StuckAfter is how long Drain waits while the printer takes nothing.
const StuckAfter = 250 * time.Millisecond

// lostAfter is how long a stream that was closed waits likewise before the rest
// of it is dropped.
const lostAfter = 10 * time.Second

// patience is StuckAfter and lostAfter, but in tests.
type patience struct{ stuck, lost time.Duration }

// reader reads one file until it is closed. Only the goroutine of run touches
// what is not under mu.
type reader struct {
	stream  *Stream
	file    *os.File
	src     *source
	lines   assembler
	barrier *barrier // of a pseudo-terminal
	buf     []byte
	carry   []byte          // the unfinished line of StreamOptions.File
	show    time.Time       // when the unfinished line is to be shown; zero: there is none
	pending []chan struct{} // who is told when all was read
	free    chan struct{}   // closed when Close need not wait for us any more
	freed   bool
	lost    bool          // nobody takes anything any more
	asks    chan struct{} // something is under mu; one reader: waitForRoom

	mu      sync.Mutex
	waiting []chan struct{} // new ones for pending
	closing bool
	ended   bool
}

func newReader(s *Stream, f *os.File, to *dest) *reader {
	p := s.printer
	r := &reader{stream: s, file: f, buf: make([]byte, smallChunk), asks: make(chan struct{}, 1), free: make(chan struct{})}
	r.lines = assembler{color: p.opts.Color, terminal: p.terminal, emit: r.put}
	if s.opts.Prefix {
		r.lines.prefix = p.prefix(s.opts.Name)
	}
	if s.opts.Tap != nil {
		isErr := to == p.err && p.out != p.err
		r.lines.tap = func(text []byte, more bool) {
			s.opts.Tap(Line{Rule: s.opts.Name, Text: text, Err: isErr, More: more, Time: time.Now()})
		}
	}
	r.src = p.queue.source(to, r.lines.prefix, Budget)
	return r
}

// run reads until Close, or until the last writer has gone.
func (r *reader) run() {
	defer r.finish()
	for {
		r.deadline()
		if r.obey() {
			return
		}
		n, err := r.file.Read(r.buf)
		r.got(r.buf[:n])
		switch {
		case n == len(r.buf) && n < chunk:
			r.buf = make([]byte, chunk) // a busy one; most services hardly say a thing
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.idle()
		default: // the end, or EIO of a terminal that nobody has open
			return
		}
	}
}

// drain asks for everything to be read; the answer is a closed channel.
func (r *reader) drain() <-chan struct{} {
	answer := make(chan struct{})
	r.mu.Lock()
	if r.ended {
		close(answer)
	} else {
		r.waiting = append(r.waiting, answer)
	}
	r.mu.Unlock()
	r.wake()
	return answer
}

func (r *reader) close() {
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	r.wake()
}

// wake gets the goroutine out of a read or out of its wait for room.
func (r *reader) wake() {
	r.file.SetReadDeadline(time.Unix(1, 0))
	select {
	case r.asks <- struct{}{}:
	default:
	}
}

// deadline makes Read return when the unfinished line is to be shown. It comes
// before obey, so that it cannot undo the wake-up of a later request.
func (r *reader) deadline() {
	switch {
	case !r.lines.waiting():
		r.show = time.Time{}
	case r.show.IsZero() && r.lines.flows:
		r.show = time.Now().Add(flowAfter)
	case r.show.IsZero():
		r.show = time.Now().Add(partialAfter)
	}
	r.file.SetReadDeadline(r.show)
}

// obey does what was asked for, and reports whether this was to end.
func (r *reader) obey() (closing bool) {
	closing = r.requests()
	if !closing && len(r.pending) == 0 {
		return false
	}
	if r.barrier != nil {
		r.readToBarrier()
	} else {
		r.readWhatIsThere()
	}
	r.lines.flush()
	r.answer()
	return closing
}

// requests takes over those who wait for an answer.
func (r *reader) requests() (closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, r.waiting...)
	r.waiting = nil
	return r.closing
}

func (r *reader) answer() {
	for _, c := range r.pending {
		close(c)
	}
	r.pending = nil
}

// readWhatIsThere reads what is in the pipe, and not what comes while it does: a
// process that writes without end must not keep us here.
func (r *reader) readWhatIsThere() {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		left, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		for err == nil && left > 0 {
			var n int
			n, err = unix.Read(int(fd), r.buf[:min(left, len(r.buf))])
			if err == unix.EINTR {
				n, err = 0, nil
				continue
			}
			if n <= 0 {
				return
			}
			r.got(r.buf[:n])
			left -= n
		}
	})
}

// readToBarrier reads up to a mark of our own: what is written to a terminal
// reaches the other side by way of a kernel thread, so that "nothing to read"
// does not mean that nothing was written.
func (r *reader) readToBarrier() {
	limit := time.Now().Add(barrierMax)
	raised := r.barrier.raise()
	for time.Now().Before(limit) {
		if raised && !r.barrier.up() {
			return
		}
		r.file.SetReadDeadline(limit)
		n, err := r.file.Read(r.buf)
		r.got(r.buf[:n])
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if !raised {
			raised = r.barrier.raise()
		}
	}
}

// idle shows an unfinished line when its time has come.
func (r *reader) idle() {
	if r.show.IsZero() || time.Now().Before(r.show) {
		return
	}
	r.lines.flush()
	r.show = time.Time{}
}

// got passes on what was read.
func (r *reader) got(b []byte) {
	if r.barrier != nil {
		b = r.barrier.filter(b)
	}
	if len(b) == 0 {
		return
	}
	if r.stream.opts.File != nil {
		r.toFile(b)
	}
	r.lines.write(b)
}

// toFile writes whole lines, since two readers may share the file.
func (r *reader) toFile(b []byte) {
	r.carry = append(r.carry, b...)
	n := bytes.LastIndexByte(r.carry, '\n') + 1
	if len(r.carry)-n >= lineMax {
		n = len(r.carry)
	}
	r.writeFile(r.carry[:n])
	r.carry = append(r.carry[:0], r.carry[n:]...)
}

func (r *reader) writeFile(b []byte) {
	if len(b) == 0 {
		return
	}
	if err := r.stream.opts.File.write(b); err != nil {
		r.log("output of %s: %v\n", r.stream.opts.Name, err)
	}
}

func (r *reader) log(format string, args ...any) {
	logWriter{r.stream.printer.log}.Write(fmt.Appendf(nil, format, args...))
}

// put hands a piece to the printer, when there is room.
func (r *reader) put(p piece) {
	if r.stream.opts.Quiet {
		return
	}
	for !r.lost && !r.src.offer(p) {
		r.waitForRoom()
	}
}

// waitForRoom waits until the printer has taken something. Whoever waits for us
// meanwhile is let go when it takes nothing, and a stream that was closed ends.
func (r *reader) waitForRoom() {
	closing := r.requests()
	limit := r.stream.printer.patience.stuck
	waited := closing && !r.freed || len(r.pending) > 0
	if !waited {
		limit = r.stream.printer.patience.lost
	}
	var expired <-chan time.Time
	if waited || closing {
		t := time.NewTimer(limit)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-r.src.space:
	case <-r.asks:
	case <-expired:
		r.lost = !waited
		r.answer()
		if closing {
			r.release()
		}
	}
}

// release lets Close's channel be closed.
func (r *reader) release() {
	if !r.freed {
		r.freed = true
		close(r.free)
	}
}

// finish ends the last line and answers whoever still waits.
func (r *reader) finish() {
	if r.stream.opts.File != nil && len(r.carry) > 0 {
		r.writeFile(append(r.carry, '\n'))
	}
	r.lines.end()
	if r.lost {
		r.log("(the end of the output of %s was dropped: nobody read it)\n", r.stream.opts.Name)
	}
	r.src.queue.leave(r.src)
	r.closeFile()
	r.mu.Lock()
	r.pending = append(r.pending, r.waiting...)
	r.waiting, r.ended = nil, true
	r.mu.Unlock()
	r.answer()
	r.release()
}

func (r *reader) closeFile() {
	r.file.Close()
	if r.barrier != nil {
		r.barrier.close()
	}
}
