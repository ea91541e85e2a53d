package output

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openPTY makes a pseudo-terminal whose lines end as they were written. It
// returns our side and the command's.
func openPTY() (ptm, pts *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		unix.Close(fd)
		return nil, nil, os.NewSyscallError("unlock pty", err)
	}
	pts, err = openPeer(fd)
	if err == nil {
		err = keepNewlines(int(pts.Fd()))
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), pts, nil
}

// openPeer opens the command's side of a pseudo-terminal.
func openPeer(ptm int) (*os.File, error) {
	n, err := unix.IoctlGetInt(ptm, unix.TIOCGPTN)
	if err != nil {
		return nil, os.NewSyscallError("pty number", err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	fd, err := openTerminal(path, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func openTerminal(path string, flags int) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// keepNewlines turns off what makes "\r\n" of "\n"; it also costs throughput.
func keepNewlines(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("tcgetattr", err)
	}
	t.Oflag &^= unix.OPOST
	return os.NewSyscallError("tcsetattr", unix.IoctlSetTermios(fd, unix.TCSETS, t))
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(descriptor(f), unix.TCGETS)
	return err == nil
}

// barrierMax is how long a mark may take to come back: it never does while the
// command's terminal is stopped.
const barrierMax = 100 * time.Millisecond

// barrier writes a mark into the command's side of a pseudo-terminal and finds
// it again on ours: all that was written before then has been read.
type barrier struct {
	fd   int // non-blocking, so a description of its own and not the command's
	mark []byte
	out  int    // marks written and not seen yet
	hold []byte // the end of what was read, if a mark may begin there
}

// newBarrier opens the command's side. It stays open until close: without a user
// on the other side every read would fail.
func newBarrier(path string) (*barrier, error) {
	fd, err := openTerminal(path, unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &barrier{fd: fd, mark: []byte("\x00flinch:" + rand.Text() + "\x00")}, nil
}

func (b *barrier) close() { unix.Close(b.fd) }

// raise writes the mark; false: there is no room for it, read something first.
func (b *barrier) raise() bool {
	n, _ := unix.Write(b.fd, b.mark)
	if n == len(b.mark) {
		b.out++
	}
	return n == len(b.mark)
}

// up reports whether a mark is still on its way.
func (b *barrier) up() bool { return b.out > 0 }

// filter removes marks from what was read.
func (b *barrier) filter(p []byte) []byte {
	if b.out == 0 && len(b.hold) == 0 {
		return p
	}
	p = append(b.hold, p...)
	b.hold = nil
	for b.out > 0 {
		i := bytes.Index(p, b.mark)
		if i < 0 {
			break
		}
		p = append(p[:i:i], p[i+len(b.mark):]...)
		b.out--
	}
	if b.out == 0 {
		return p
	}
	for n := min(len(p), len(b.mark)-1); n > 0; n-- {
		if bytes.HasSuffix(p, b.mark[:n]) {
			b.hold = bytes.Clone(p[len(p)-n:])
			return p[:len(p)-n]
		}
	}
	return p
}

// resize gives the pseudo-terminal what the terminal has beside the prefix.
func (s *Stream) resize() {
	if s.opts.Mode != PTY {
		return
	}
	size, err := unix.IoctlGetWinsize(s.printer.out.fd, unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		size = &unix.Winsize{Row: 24, Col: 80}
	}
	if used := s.indent(); int(size.Col) > used+1 {
		size.Col -= uint16(used)
	}
	raw, err := s.readers[0].file.SyscallConn()
	if err != nil {
		return // it was closed
	}
	raw.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
}

// indent is how many columns the prefix takes.
func (s *Stream) indent() int {
	if !s.opts.Prefix {
		return 0
	}
	s.printer.mu.Lock()
	defer s.printer.mu.Unlock()
	return columns(string(prefix(s.opts.Name, s.printer.names, s.printer.width, false)))
}
