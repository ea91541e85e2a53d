// Package output brings what commands print to where flinch prints.
//
// One rule alone may have the terminal itself ([Inherit]). Several rules each
// write into a pipe or a pseudo-terminal of their own; one goroutine a stream
// cuts that into lines, one [Printer] writes them, each line whole and headed by
// its rule's name. flinch's own log goes through the same printer
// ([Printer.Log]), so that no line tears another.
//
// Who blocks on whom: a command on its reader when that is behind, a reader on
// the printer when [Budget] bytes wait, the printer on the terminal. Nobody else
// ever blocks here: all methods return at once, and those that take time return
// a channel. The goroutine of a stream ends after [Stream.Close], the printer's
// after [Printer.Close].
//
// This package writes with plain write(2), so a reader that has gone is an error
// (EPIPE) and never the end of the program. For whatever else writes to standard
// output or error, main has to call signal.Notify for SIGPIPE with a channel that
// nobody reads. It must not call signal.Ignore: every command would inherit that.
package output

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a printer. Stdout and Stderr stay the caller's.
type Options struct {
	Stdout, Stderr *os.File
	Color          bool // colour the prefixes, and keep the commands' colours inside their own lines

	// Gone is called once, from a goroutine of the printer, when nobody will ever
	// read one of the two files again. What is printed there from then on is
	// dropped. It must not block.
	Gone func(error)
}

// Printer is the only writer of flinch's standard output and error.
type Printer struct {
	opts     Options
	out, err *dest
	terminal bool // out is one
	queue    *queue
	log      *source
	patience patience
	closing  chan struct{}
	done     chan struct{}
	watch    *watch

	goneOnce sync.Once

	mu      sync.Mutex
	names   []string
	width   int // of the longest name
	streams map[*Stream]struct{}
	closed  bool
}

// New starts a printer.
func New(opts Options) *Printer {
	p := &Printer{
		opts: opts, queue: newQueue(), streams: make(map[*Stream]struct{}),
		closing: make(chan struct{}), done: make(chan struct{}),
		out: newDest(opts.Stdout), err: newDest(opts.Stderr), patience: patience{stuck: StuckAfter, lost: lostAfter},
	}
	if same(opts.Stdout, opts.Stderr) {
		p.err = p.out
	}
	p.terminal = isTerminal(opts.Stdout)
	p.log = p.queue.source(p.err, nil, Budget)
	p.watch = watchReaders(p.gone, opts.Stdout, opts.Stderr)
	go p.run()
	return p
}

// SetNames tells the names of all rules, in the order of the config: it gives
// each its colour and all prefixes the same width. Streams opened before keep
// theirs.
func (p *Printer) SetNames(names []string) {
	width := 0
	for _, n := range names {
		width = max(width, columns(n))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names, p.width = slices.Clone(names), width
}

// Log is where flinch's own words go: to standard error, in order with the lines
// of the commands. Each Write should be whole lines. It never blocks: when
// nobody reads, what does not fit any more is dropped and counted.
func (p *Printer) Log() io.Writer { return logWriter{p.log} }

// Terminal reports whether standard output is one.
func (p *Printer) Terminal() bool { return p.terminal }

// Resized tells all pseudo-terminals that the terminal has a new size. Call it
// on SIGWINCH.
func (p *Printer) Resized() {
	p.mu.Lock()
	streams := make([]*Stream, 0, len(p.streams))
	for s := range p.streams {
		streams = append(streams, s)
	}
	p.mu.Unlock()
	for _, s := range streams {
		s.resize()
	}
}

// ErrStuck is returned by Close when standard output or error takes no more.
var ErrStuck = errors.New("output is stuck")

// Close prints what is waiting and ends the printer. It returns ErrStuck after the
// given time: a terminal that was stopped with Ctrl-S must not keep flinch from
// ending. Streams have to be closed before, else it takes that long.
func (p *Printer) Close(timeout time.Duration) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		close(p.closing)
	}
	p.watch.stop()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
		return ErrStuck
	}
}

// run is the goroutine that writes.
func (p *Printer) run() {
	defer close(p.done)
	closing := p.closing
	for {
		it, ok := p.queue.take()
		switch {
		case ok:
			p.print(it)
			p.queue.give(it)
			continue
		case closing == nil && p.queue.over():
			return
		}
		select {
		case <-p.queue.wake:
		case <-closing:
			closing = nil
		}
	}
}

// print writes one item. A line that is still open at the cursor is ended before
// another source's text, and begun again when its own goes on.
func (p *Printer) print(it item) {
	d, data := it.src.dest, it.data
	var lead []byte
	if d.owner != nil && d.owner != it.src {
		lead = p.reset(lead)
		lead = append(lead, '\n')
		d.owner = nil
	}
	if it.cont && d.owner != it.src {
		if rest, ok := cutNewline(data); ok {
			data = rest
		} else if len(data) > 0 {
			lead = append(append(lead, it.src.prefix...), it.sgr...)
		}
	}
	switch {
	case !it.open:
		d.owner = nil
	case len(data) > 0:
		d.owner = it.src
	}
	if len(lead) > 0 {
		data = append(lead, data...)
	}
	if err := d.write(data); err != nil {
		p.failed(d, err)
	}
}

func (p *Printer) reset(b []byte) []byte {
	if p.opts.Color {
		b = append(b, resetSGR...)
	}
	return b
}

func (p *Printer) failed(d *dest, err error) {
	if readerGone(err) {
		p.gone(&os.PathError{Op: "write", Path: d.name, Err: err})
		return
	}
	if d == p.out && p.out != p.err {
		logWriter{p.log}.Write([]byte("write " + d.name + ": " + err.Error() + "\n"))
	}
}

func (p *Printer) gone(err error) {
	p.goneOnce.Do(func() {
		if p.opts.Gone != nil {
			p.opts.Gone(err)
		}
	})
}

// logWriter puts whole writes into the queue, or drops them.
type logWriter struct{ src *source }

func (w logWriter) Write(b []byte) (int, error) {
	if len(b) > 0 {
		w.src.log(b)
	}
	return len(b), nil
}

// dest is one of the two files. Only the printer's goroutine touches it.
type dest struct {
	name  string
	fd    int
	owner *source // whose unfinished line the cursor stands in
	dead  bool
}

func newDest(f *os.File) *dest { return &dest{name: f.Name(), fd: descriptor(f)} }

// descriptor is f's, without making f blocking as its method Fd would: others
// share what is open here.
func descriptor(f *os.File) int {
	fd := -1
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(u uintptr) { fd = int(u) })
	}
	return fd
}

// write writes all of b. The file is as its other users left it: it may be
// non-blocking, and must not be changed.
func (d *dest) write(b []byte) error {
	if d.dead {
		return nil
	}
	for len(b) > 0 {
		n, err := unix.Write(d.fd, b)
		b = b[max(n, 0):]
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLOUT}}, -1)
		default:
			d.dead = true
			return err
		}
	}
	return nil
}

// readerGone reports whether an error of write means that nobody will read: EIO
// is a terminal that was hung up.
func readerGone(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EIO) || errors.Is(err, unix.ECONNRESET)
}
