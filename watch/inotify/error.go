package inotify

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotWatched is what errors.Is finds in the error of Remove for a descriptor that has no watch (EINVAL).
var ErrNotWatched = errors.New("not watched")

// Error is the error of every call of this package.
type Error struct {
	Op    string        // init, add, update, replace, remove, read, pending, barrier, list, deadline
	Path  string        // as given by the caller; "" where the operation has none
	WD    WD            // of Remove; else NoWD
	Errno syscall.Errno // 0 when a deadline has passed

	cause       error  // os.ErrClosed, os.ErrDeadlineExceeded, or another that is no errno
	reason      string // what was wrong, where the errno alone would not tell
	descriptors bool   // EMFILE of Init: descriptors were used up, not instances
}

// Error gives operation, path, what is wrong and the errno's name: inotify add src: permission denied (EACCES).
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString("inotify " + e.Op)
	if e.Path != "" {
		s.WriteString(" " + printable(e.Path))
	}
	if e.WD >= 0 && e.Op == "remove" {
		s.WriteString(" wd " + strconv.Itoa(int(e.WD)))
	}
	s.WriteString(": " + e.what())
	if name := unix.ErrnoName(e.Errno); name != "" && e.cause == nil {
		s.WriteString(" (" + name + ")")
	}
	return s.String()
}

// Unwrap gives the errno or, where there is none, the cause.
func (e *Error) Unwrap() error {
	if e.Errno != 0 {
		return e.Errno
	}
	return e.cause
}

// Is finds ErrNotWatched, os.ErrClosed, os.ErrDeadlineExceeded and the cause of a context.
func (e *Error) Is(target error) bool {
	if target == ErrNotWatched {
		return e.Op == "remove" && e.Errno == unix.EINVAL
	}
	return e.cause != nil && errors.Is(e.cause, target)
}

// Timeout tells that a deadline has passed.
func (e *Error) Timeout() bool { return e.cause == os.ErrDeadlineExceeded }

// Temporary tells that the same call may succeed later, when a limit was raised or something was given back.
func (e *Error) Temporary() bool {
	switch e.Errno {
	case unix.ENOSPC, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, unix.EAGAIN:
		return true
	}
	return e.Timeout()
}

func (e *Error) what() string {
	switch {
	case e.reason != "":
		return e.reason
	case e.cause != nil:
		return e.cause.Error()
	case e.Is(ErrNotWatched):
		return ErrNotWatched.Error()
	case e.Errno == unix.ENOSPC: // the kernel's text speaks of a device
		return "no watch left for this user"
	case e.Errno == unix.EMFILE && e.Op == "init" && !e.descriptors:
		return "no inotify instance left for this user"
	}
	return e.Errno.Error()
}

// newError wraps what a system call or the poller said.
func newError(op, path string, wd WD, err error) *Error {
	e := &Error{Op: op, Path: path, WD: wd}
	switch {
	case errors.As(err, &e.Errno):
	case err == os.ErrClosed:
		e.Errno, e.cause = unix.EBADF, err
	default:
		e.cause = err
	}
	return e
}

// refuse is the answer to a call that must not be made.
func refuse(op, path, reason string, args ...any) *Error {
	return &Error{Op: op, Path: path, WD: NoWD, Errno: unix.EINVAL, reason: fmt.Sprintf(reason, args...)}
}

func malformed(whole, got int) *Error {
	reason := fmt.Sprintf("%d bytes, of which only %d are whole events", got, whole)
	return &Error{Op: "read", WD: NoWD, Errno: unix.EBADMSG, reason: reason}
}

func barrierError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Op = "barrier"
	}
	return err
}

// fdError tells what ENOENT of AddFD means: a descriptor that is not open, or a /proc that is not there.
func fdError(fd int, path string) *Error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return newError("add", path, NoWD, err)
	}
	e := newError("add", path, NoWD, unix.ENOENT)
	if unix.Access("/proc/self/fd", unix.F_OK) != nil {
		e.reason = "/proc is not mounted"
	}
	return e
}

func initError(err error) *Error {
	e := newError("init", "", NoWD, err)
	e.descriptors = e.Errno == unix.EMFILE && !spareDescriptor()
	return e
}

// printable quotes a path only if it would spoil a line.
func printable(path string) string {
	if q := strconv.Quote(path); q != `"`+path+`"` {
		return q
	}
	return path
}
