package inotify

import (
	"errors"
	"fmt"
	"go/build"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// newTestConn makes an instance for one test. When it is closed, no descriptor and no goroutine may be left.
func newTestConn(t testing.TB) *Conn { return newFaultyConn(t, Syscalls{}) }

func newFaultyConn(t testing.TB, sys Syscalls) *Conn {
	t.Helper()
	noLeaks(t)
	c, err := InitWith(sys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func add(t testing.TB, c *Conn, path string, mask Mask) WD {
	t.Helper()
	wd, err := c.Add(path, mask)
	if err != nil {
		t.Fatal(err)
	}
	return wd
}

// noLeaks fails the test if at its end, after the clean-ups registered later, it has more descriptors or goroutines.
func noLeaks(t testing.TB) {
	t.Helper()
	startPoller(t)
	files, goroutines := descriptorsOpen(t), runtime.NumGoroutine()
	t.Cleanup(func() {
		if n := descriptorsOpen(t); n > files {
			t.Errorf("descriptors: got %d, want %d", n, files)
		}
		// A goroutine that has nothing left to do is counted until it is gone.
		for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
			if time.Now().After(end) {
				t.Errorf("goroutines: got %d, want %d", runtime.NumGoroutine(), goroutines)
				return
			}
		}
	})
}

// startPoller makes the runtime open the descriptors that it keeps for its poller.
func startPoller(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	must(t, errors.Join(r.Close(), w.Close()))
}

func descriptorsOpen(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// upToBarrier reads everything that has happened up to now.
func upToBarrier(t testing.TB, c *Conn) []Event {
	t.Helper()
	end, err := c.Barrier()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var events []Event
	for {
		events, err = c.Read(events)
		if err != nil {
			t.Fatalf("read: %v; events so far %v", err, events)
		}
		if last := events[len(events)-1]; last.WD == end && last.Mask == Ignored {
			return events[:len(events)-1]
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInit(t *testing.T) {
	c := newTestConn(t)
	descriptor, status := flagsOf(t, c)
	if descriptor&unix.FD_CLOEXEC == 0 {
		t.Error("the descriptor is inherited by programs")
	}
	if status&unix.O_NONBLOCK == 0 {
		t.Error("the descriptor blocks")
	}
}

// TestInitInOneCall: the flags are given to inotify_init1, so that no program started in between inherits it.
func TestInitInOneCall(t *testing.T) {
	var flags int
	c := newFaultyConn(t, Syscalls{Init: func(f int) (int, error) {
		flags = f
		return unix.InotifyInit1(f)
	}})
	if want := unix.IN_CLOEXEC | unix.IN_NONBLOCK; flags != want {
		t.Errorf("inotify_init1: got flags %#x, want %#x", flags, want)
	}
	must(t, c.Close())
}

func TestInit1(t *testing.T) {
	for _, flags := range []Flags{0, Nonblock, Cloexec, Cloexec | Nonblock} {
		c, err := Init1(flags)
		must(t, err)
		descriptor, status := flagsOf(t, c)
		if got, want := descriptor&unix.FD_CLOEXEC != 0, flags&Cloexec != 0; got != want {
			t.Errorf("flags %#x: got close-on-exec %v, want %v", flags, got, want)
		}
		if status&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x: the descriptor blocks", flags)
		}
		must(t, c.Close())
	}
}

func TestInit1RefusesUnknownFlags(t *testing.T) {
	_, err := Init1(1)
	expectError(t, err, unix.EINVAL, "inotify init: unknown flags 0x1 (EINVAL)")
}

func TestFromFD(t *testing.T) {
	noLeaks(t)
	fd, err := unix.InotifyInit1(0)
	must(t, err)
	c, err := FromFD(fd)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	descriptor, status := flagsOf(t, c)
	if status&unix.O_NONBLOCK == 0 || descriptor&unix.FD_CLOEXEC == 0 {
		t.Errorf("got descriptor flags %#x, status %#x; want close-on-exec and non-blocking", descriptor, status)
	}
	s := newSandbox(t)
	wd := add(t, c, s.dir, Create)
	s.touch("a")
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "a"}})
}

func TestFromFDRefusesOthers(t *testing.T) {
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	_, err = FromFD(int(null.Fd()))
	expectError(t, err, unix.EINVAL, fmt.Sprintf("inotify init: descriptor %d is no inotify instance (EINVAL)", null.Fd()))
	_, err = FromFD(-1)
	expectError(t, err, unix.EBADF, "inotify init: bad file descriptor (EBADF)")
	if _, err := null.Stat(); err != nil {
		t.Errorf("a descriptor that was refused: got %v, want it open", err)
	}
}

// TestSyscallConn registers the instance with an epoll set, as an event loop would.
func TestSyscallConn(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(t, err)
	defer unix.Close(epoll)
	onDescriptor(t, c, func(fd int) {
		must(t, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}))
	})
	ready := make([]unix.EpollEvent, 1)
	if n, err := unix.EpollWait(epoll, ready, 0); n != 0 || err != nil {
		t.Errorf("before an event: got %d, %v", n, err)
	}
	add(t, c, s.dir, Create)
	s.touch("a")
	if n, err := unix.EpollWait(epoll, ready, 0); n != 1 || err != nil {
		t.Errorf("after an event: got %d, %v", n, err)
	}
}

// TestStatic: the package needs no C library, so programs that use it can be static and fail on no missing one.
func TestStatic(t *testing.T) {
	if _, err := os.Stat("inotify.go"); err != nil {
		t.Skipf("run away from the sources: %v", err)
	}
	pkg, err := build.ImportDir(".", 0)
	must(t, err)
	if len(pkg.CgoFiles) > 0 {
		t.Errorf("files that use cgo: got %v, want none", pkg.CgoFiles)
	}
}

func TestCloseTwice(t *testing.T) {
	c := newTestConn(t)
	must(t, c.Close())
	must(t, c.Close())
}

// TestCloseAtOnce closes with readers waiting and watches being added and removed, from several sides.
func TestCloseAtOnce(t *testing.T) {
	for range 50 {
		s, c := newSandbox(t), newTestConn(t)
		add(t, c, s.dir, WatchMask)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { readUntilClosed(t, c) })
			all.Go(func() { workUntilClosed(t, c, s.dir) })
		}
		for range 3 {
			all.Go(func() {
				if err := c.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
		all.Wait()
	}
}

func TestCloseWakesReader(t *testing.T) {
	reading := make(chan struct{})
	waits := sync.OnceFunc(func() { close(reading) })
	c := newFaultyConn(t, Syscalls{Read: func(fd int, p []byte) (int, error) {
		n, err := unix.Read(fd, p)
		if err == unix.EAGAIN {
			waits()
		}
		return n, err
	}})
	failed := make(chan error)
	go func() {
		_, err := c.Read(nil)
		failed <- err
	}()
	<-reading
	must(t, c.Close())
	select {
	case err := <-failed:
		expectClosed(t, "read", err)
	case <-time.After(patience):
		t.Fatal("the reader was not woken")
	}
}

// TestCloseFull closes while nobody reads a queue that is full.
func TestCloseFull(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, WatchMask)
	s.overflow()
	must(t, c.Close())
}

func TestAfterClose(t *testing.T) {
	c := newTestConn(t)
	wd := add(t, c, "/", Create)
	if _, err := c.Barrier(); err != nil {
		t.Fatal(err)
	}
	must(t, c.Close())
	for op, call := range map[string]func() error{
		"add":      func() error { _, err := c.Add("/", Create); return err },
		"add fd":   func() error { _, err := c.AddFD(0, Create); return err },
		"update":   func() error { _, err := c.Update("/", Create); return err },
		"replace":  func() error { _, err := c.Replace("/", Create); return err },
		"remove":   func() error { return c.Remove(wd) },
		"read":     func() error { _, err := c.Read(nil); return err },
		"max":      func() error { _, err := c.ReadMax(nil, MaxEventSize); return err },
		"context":  func() error { _, err := c.ReadContext(t.Context(), nil); return err },
		"try":      func() error { _, err := c.TryRead(nil); return err },
		"raw":      func() error { return c.ReadRaw(new(Buffer)) },
		"try raw":  func() error { return c.TryReadRaw(new(Buffer)) },
		"pending":  func() error { _, err := c.Pending(); return err },
		"barrier":  func() error { _, err := c.Barrier(); return err },
		"watches":  func() error { _, err := c.Watches(); return err },
		"deadline": func() error { return c.SetReadDeadline(time.Now()) },
	} {
		expectClosed(t, op, call())
	}
}

func readUntilClosed(t testing.TB, c *Conn) {
	for {
		if _, err := c.Read(nil); err != nil {
			expectClosed(t, "read", err)
			return
		}
	}
}

func workUntilClosed(t testing.TB, c *Conn, dir string) {
	for {
		wd, err := c.Add(dir, WatchMask)
		if err == nil {
			err = c.Remove(wd)
		}
		if err == nil {
			_, err = c.Barrier()
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
		// Another of these may have removed it first.
		if err != nil && !errors.Is(err, ErrNotWatched) {
			t.Error(err)
			return
		}
	}
}

func expectClosed(t testing.TB, op string, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrClosed) || !errors.Is(err, unix.EBADF) {
		t.Errorf("%s: got %v, want os.ErrClosed and EBADF", op, err)
	}
}

// expectError wants an *Error with that errno and text.
func expectError(t testing.TB, err error, errno syscall.Errno, text string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Errno != errno || !errors.Is(err, errno) {
		t.Errorf("got errno %v, want %v", e.Errno, errno)
	}
	if e.Error() != text {
		t.Errorf("got text  %s\nwant text %s", e, text)
	}
	return e
}

func flagsOf(t testing.TB, c *Conn) (descriptor, status int) {
	t.Helper()
	onDescriptor(t, c, func(fd int) {
		var err error
		descriptor, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		must(t, err)
		status, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		must(t, err)
	})
	return descriptor, status
}

func onDescriptor(t testing.TB, c *Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { f(int(fd)) }))
}

// overflow makes more events than the queue takes, none equal to the one before.
func (s sandbox) overflow() {
	s.t.Helper()
	s.touch("x", "y")
	writeAll(s, ReadLimits().Queue.Value/2+1, "x", "y")
}

func expect(t testing.TB, got, want []Event) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("event %d: got none, want %v", i, want[i])
		case i >= len(want):
			t.Errorf("event %d: got %v, want none", i, got[i])
		case got[i] != want[i]:
			t.Errorf("event %d: got %v, want %v", i, got[i], want[i])
		}
	}
}
