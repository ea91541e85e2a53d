// Package inotify is the kernel's inotify(7), whole and without policy: it makes the calls, decodes the events and
// names things. It knows no trees, no paths of events and no debouncing; that is package watch's work.
//
// A [Conn] is one instance. [Conn.Add] watches an inode by path, [Conn.AddFD] by open descriptor, [Conn.Read] waits
// for events. A waiting Read is in the hands of the Go runtime's poller: it costs no thread, [Conn.Close] wakes it,
// [Conn.SetReadDeadline] works. Events that come while nobody waits wake nobody.
//
// What the kernel does and who watches must know:
//   - A watch is on an inode, not on a path: two paths to one inode give one [WD], and the watch follows a rename.
//   - Events of a folder concern its entries, not what is below them.
//   - The queue has an end (fs.inotify.max_queued_events, taken over at [Init]): see [Event.Overflow].
//   - Two equal events in a row that nobody has read become one.
//   - A removed watch still delivers what was queued, then [Ignored].
//
// The package starts no goroutine. A Conn may be used by several goroutines at once; each read(2) goes to one of the
// readers. It ends with Close.
package inotify

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Flags are those of inotify_init1(2). Their values differ between architectures.
type Flags int

// Flags of Init1.
const (
	Cloexec  Flags = unix.IN_CLOEXEC  // the descriptor is closed in programs that are started
	Nonblock Flags = unix.IN_NONBLOCK // always on, because a read that finds nothing must not wait in the kernel
)

// Conn is an inotify instance.
type Conn struct {
	sys     Syscalls
	fd      int // open while bell is
	bell    *bell
	buffers sync.Pool // of *Buffer, for the readers that bring none
	adds    sync.Pool // of *adding
	barrier barrier

	closing  sync.Once
	closeErr error
}

// Init makes an instance that programs started later do not inherit.
//
// Errors: EMFILE (too many instances of this user, or too many descriptors of this process: Hint tells which),
// ENFILE, ENOMEM, ENOSYS.
func Init() (*Conn, error) { return open(Cloexec|Nonblock, Syscalls{}) }

// Init1 is Init with flags; without Cloexec programs started later inherit the instance. Bits that are no flag are
// refused with EINVAL.
func Init1(flags Flags) (*Conn, error) { return open(flags, Syscalls{}) }

// InitWith is Init with some system calls replaced. It is for tests.
func InitWith(sys Syscalls) (*Conn, error) { return open(Cloexec|Nonblock, sys) }

// FromFD takes over an instance that was made elsewhere: inherited, or received over a socket. It becomes
// non-blocking and close-on-exec. Without an error the descriptor belongs to the Conn, under another number; with one
// it stays the caller's.
//
// Errors: EBADF, EINVAL (not an inotify instance), EMFILE.
func FromFD(fd int) (*Conn, error) {
	sys := Syscalls{}.orKernel()
	// The kernel looks at the kind of the descriptor before it looks at the path; an empty path is never found.
	_, err := retry(func() (int, error) { return sys.Add(fd, "", uint32(Create)) })
	if err == unix.EINVAL {
		return nil, refuse("init", "", "descriptor %d is no inotify instance", fd)
	}
	if err != unix.ENOENT {
		return nil, newError("init", "", NoWD, err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, initError(err)
	}
	if err := unix.SetNonblock(own, true); err != nil {
		return nil, errors.Join(newError("init", "", NoWD, err), unix.Close(own))
	}
	c, err := newConn(own, sys)
	if err != nil {
		return nil, err
	}
	_ = unix.Close(fd) // the instance lives on under its other number
	return c, nil
}

// Close ends the instance with all its watches and wakes every reader; their error is os.ErrClosed. It may be called
// more than once and by several goroutines; all of them return when it is done. It waits for an Add that is under
// way, and for the kernel to free the watches, 1 to 2 µs each.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.closeErr = errors.Join(c.bell.Close(), unix.Close(c.fd), c.barrier.close())
	})
	return c.closeErr
}

// SetReadDeadline sets the time at which a Read that waits gives up with os.ErrDeadlineExceeded; the zero time means
// never. A time in the past wakes a Read that waits already.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if err := c.bell.SetReadDeadline(t); err != nil {
		return newError("deadline", "", NoWD, os.ErrClosed)
	}
	return nil
}

// SyscallConn gives access to the descriptor, as for adding it to an epoll set. It must stay non-blocking.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

func open(flags Flags, sys Syscalls) (*Conn, error) {
	if unknown := flags &^ (Cloexec | Nonblock); unknown != 0 {
		return nil, refuse("init", "", "unknown flags %#x", int(unknown))
	}
	sys = sys.orKernel()
	fd, err := retry(func() (int, error) { return sys.Init(int(flags | Nonblock)) })
	if err != nil {
		return nil, initError(err)
	}
	return newConn(fd, sys)
}

func newConn(fd int, sys Syscalls) (*Conn, error) {
	bell, err := newBell(fd)
	if err != nil {
		return nil, errors.Join(initError(err), unix.Close(fd)) // in this order: it counts descriptors
	}
	c := &Conn{sys: sys, fd: fd, bell: bell}
	c.buffers.New = func() any { return new(Buffer) }
	c.adds.New = func() any { return newAdding(c) }
	return c, nil
}

// control calls f with the descriptor, which Close does not close meanwhile (nor may its number be given to another).
func (c *Conn) control(f func(fd int) (int, error)) (n int, err error) {
	call := func(uintptr) { n, err = retry(func() (int, error) { return f(c.fd) }) }
	if c.bell.hold.Control(call) != nil {
		return -1, os.ErrClosed
	}
	return n, err
}
