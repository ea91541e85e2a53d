package inotify

import (
	"cmp"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bell rings when there are events, once: until somebody listens again, what comes makes no sound. In the runtime's poller itself
// the instance would wake the program at each event of a storm, also while nobody waits for one, and that costs more than to
// read them all.
//
// It is an epoll set with the instance in it, armed for one event, and the set is in the runtime's poller. Who holds it keeps
// the instance open, too.
type bell struct {
	*os.File
	hold  syscall.RawConn
	fd    int  // of the instance
	armed bool // only who waits touches it, and there is one at a time
}

func newBell(fd int) (*bell, error) {
	set, err := retry(func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) })
	if err != nil {
		return nil, err
	}
	// What is not non-blocking the runtime's poller does not take.
	if err = unix.SetNonblock(set, true); err == nil {
		err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT})
	}
	if err == unix.EPERM { // a plain file, for one: there would be nothing to wait for
		err = os.ErrNoDeadline
	}
	b := &bell{File: os.NewFile(uintptr(set), "inotify-bell"), fd: fd}
	if err == nil {
		// A descriptor that the poller did not take has no deadlines; its readers could neither wait nor be woken.
		err = b.SetReadDeadline(time.Time{})
	}
	if err == nil {
		b.hold, err = b.SyscallConn()
	}
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// wait calls try until it is true, each time that there may be events. The error is that of the deadline, or of Close.
func (b *bell) wait(try func() bool) error {
	var fault error
	err := b.hold.Read(func(set uintptr) bool {
		b.hush(int(set))
		if try() {
			return true
		}
		fault = b.arm(int(set))
		return fault != nil
	})
	return cmp.Or(err, fault)
}

// hush takes a ring that nobody heard, so that none follows.
func (b *bell) hush(set int) {
	if !b.armed {
		return
	}
	var rung [1]unix.EpollEvent
	_, _ = retry(func() (int, error) { return unix.EpollWait(set, rung[:], 0) })
	b.armed = false
}

// arm has the bell ring at the next event, at once if there are some.
func (b *bell) arm(set int) error {
	b.armed = true
	return unix.EpollCtl(set, unix.EPOLL_CTL_MOD, b.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT})
}

// rawConn is the instance's descriptor for others.
type rawConn struct{ *Conn }

func (c rawConn) Control(f func(fd uintptr)) error {
	return c.bell.hold.Control(func(uintptr) { f(uintptr(c.fd)) })
}

func (c rawConn) Read(done func(fd uintptr) bool) error {
	return c.bell.wait(func() bool { return done(uintptr(c.fd)) })
}

// Write is not for instances of inotify.
func (c rawConn) Write(func(fd uintptr) bool) error { return unix.EBADF }
