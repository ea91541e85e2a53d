package output

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Mode is how a command's output reaches the printer.
type Mode uint8

const (
	Inherit Mode = iota // the command has flinch's own standard output and error
	Pipe                // one pipe for each of the two; one for both where flinch's are the same file
	PTY                 // a pseudo-terminal for both, as wide as what is left beside the prefix
)

// StreamOptions say what is done with the output of one run.
type StreamOptions struct {
	Name   string // the rule's, for the prefix and for lines
	Mode   Mode
	Prefix bool  // head each line with Name
	Quiet  bool  // print nothing; for File and Tap alone
	File   *File // gets the bytes as they come; nil: none

	// Tap sees each line before it is printed, not with Inherit. It is called
	// from the stream's goroutines, at most one call at a time for each of
	// Stdout and Stderr, and holds up the command while it runs: it must be quick
	// and must not block.
	Tap func(Line)
}

// Line is one line of output.
type Line struct {
	Rule string
	// Text is without newline, as the command wrote it: it may hold \r and escape
	// sequences, and need not be UTF-8. It is valid during the call only.
	Text []byte
	Err  bool // of standard error; with PTY, or where both are one, never
	More bool // a line of more than 64 KiB comes in pieces: this is not the last
	Time time.Time
}

// Stream is the output of one run.
type Stream struct {
	printer *Printer
	opts    StreamOptions

	// The command's ends. Stdout and Stderr may be the same file. They are valid
	// until Started.
	Stdout, Stderr *os.File

	readers []*reader
	done    chan struct{}
}

// Open makes the output of one run. Start the command with Stdout and Stderr,
// then call Started, also if it did not start; when no process of the run is
// left, Close.
func (p *Printer) Open(opts StreamOptions) (*Stream, error) {
	s := &Stream{printer: p, opts: opts, done: make(chan struct{})}
	var err error
	switch opts.Mode {
	case Inherit:
		s.Stdout, s.Stderr = p.opts.Stdout, p.opts.Stderr
	case Pipe:
		err = s.openPipes()
	case PTY:
		err = s.openPTY()
	}
	if err != nil {
		s.abandon()
		return nil, fmt.Errorf("output of %s: %w", opts.Name, err)
	}
	p.mu.Lock()
	p.streams[s] = struct{}{}
	p.mu.Unlock()
	s.start()
	return s, nil
}

func (s *Stream) openPipes() (err error) {
	if s.Stdout, err = s.pipe(s.printer.out); err != nil {
		return err
	}
	if s.printer.out == s.printer.err {
		s.Stderr = s.Stdout
		return nil
	}
	s.Stderr, err = s.pipe(s.printer.err)
	return err
}

// pipe makes a pipe whose reading end goes to a reader. Only that end is
// non-blocking: O_NONBLOCK belongs to the open file, which a pipe has two of.
func (s *Stream) pipe(to *dest) (*os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	w := os.NewFile(uintptr(fds[1]), "pipe")
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		w.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	s.readers = append(s.readers, newReader(s, os.NewFile(uintptr(fds[0]), "pipe"), to))
	return w, nil
}

// openPTY makes a pseudo-terminal. We keep its other side open too, see
// newBarrier.
func (s *Stream) openPTY() error {
	ptm, pts, err := openPTY()
	if err != nil {
		return err
	}
	s.Stdout, s.Stderr = pts, pts
	r := newReader(s, ptm, s.printer.out)
	s.readers = append(s.readers, r)
	r.lines.pty = true
	if r.barrier, err = newBarrier(pts.Name()); err != nil {
		return err
	}
	s.resize()
	return nil
}

// start begins to read.
func (s *Stream) start() {
	for _, r := range s.readers {
		s.printer.queue.enter()
		go r.run()
	}
	go func() {
		for _, r := range s.readers {
			<-r.free
		}
		s.printer.mu.Lock()
		delete(s.printer.streams, s)
		s.printer.mu.Unlock()
		close(s.done)
	}()
}

// abandon closes what was opened before an error.
func (s *Stream) abandon() {
	for _, r := range s.readers {
		r.closeFile()
	}
	s.Started()
}

// Started closes our copies of the command's ends.
func (s *Stream) Started() {
	if s.opts.Mode == Inherit {
		return
	}
	for _, f := range []*os.File{s.Stdout, s.Stderr} {
		if f != nil {
			f.Close() // a second Close of the same file is refused and harmless
		}
	}
}

// Drain returns a channel that is closed when all that was written before the
// call waits in the printer's queue: what is logged then stands after it. It
// does not wait for the end of the stream, which a daemon may keep open for
// ever, nor for a terminal that takes nothing for [StuckAfter].
func (s *Stream) Drain() <-chan struct{} {
	return s.ask(func(r *reader) <-chan struct{} { return r.drain() })
}

// Close drains the stream and ends it, with a newline after a last line that has
// none. The channel is closed when that is done, and the stream's file and tap are
// not used any more. What processes that are still there write later is lost to
// them (EPIPE).
//
// With a terminal that takes nothing for [StuckAfter] it is closed then, while the
// rest stays in memory for up to ten more seconds before it is dropped.
func (s *Stream) Close() <-chan struct{} {
	for _, r := range s.readers {
		r.close()
	}
	return s.done
}

// ask closes the channel it returns when all those of the readers are closed.
func (s *Stream) ask(f func(*reader) <-chan struct{}) <-chan struct{} {
	answers := make([]<-chan struct{}, len(s.readers))
	for i, r := range s.readers {
		answers[i] = f(r)
	}
	if len(answers) == 1 {
		return answers[0]
	}
	all := make(chan struct{})
	go func() {
		for _, a := range answers {
			<-a
		}
		close(all)
	}()
	return all
}

// prefix is what heads the lines of the named rule.
func (p *Printer) prefix(name string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return prefix(name, p.names, p.width, p.opts.Color)
}
