package inotify

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTryReadOfNothing(t *testing.T) {
	c := newTestConn(t)
	events, err := c.TryRead(nil)
	if len(events) != 0 || err != nil {
		t.Errorf("got %v, %v, want nothing", events, err)
	}
	var b Buffer
	if err := c.TryReadRaw(&b); err != nil {
		t.Errorf("raw: got %v", err)
	}
	for ev := range b.Events() {
		t.Errorf("raw: got %v", ev)
	}
}

// TestTryReadBesideReader: it does not wait for a reader that waits.
func TestTryReadBesideReader(t *testing.T) {
	waits := make(chan struct{})
	waiting := sync.OnceFunc(func() { close(waits) })
	c := newFaultyConn(t, Syscalls{Read: func(fd int, p []byte) (int, error) {
		n, err := unix.Read(fd, p)
		if err == unix.EAGAIN {
			waiting()
		}
		return n, err
	}})
	done := make(chan error, 1)
	go func() { _, err := c.Read(nil); done <- err }()
	<-waits
	if events, err := c.TryRead(nil); len(events) != 0 || err != nil {
		t.Errorf("got %v, %v, want nothing", events, err)
	}
	must(t, c.Close())
	expectClosed(t, "read", <-done)
}

// TestReadAppends: what the caller has already stays.
func TestReadAppends(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	s.touch("a")
	events, err := c.Read([]Event{{Name: "kept"}})
	must(t, err)
	s.touch("b")
	events, err = c.TryRead(events)
	must(t, err)
	expect(t, events, []Event{{Name: "kept"}, {wd, Create, 0, 16, "a"}, {wd, Create, 0, 16, "b"}})
}

// TestReadWaits: a reader that waits gets the event that comes.
func TestReadWaits(t *testing.T) {
	waits := make(chan struct{})
	waiting := sync.OnceFunc(func() { close(waits) })
	s := newSandbox(t)
	c := newFaultyConn(t, Syscalls{Read: func(fd int, p []byte) (int, error) {
		n, err := unix.Read(fd, p)
		if err == unix.EAGAIN {
			waiting()
		}
		return n, err
	}})
	wd := add(t, c, s.dir, Create)
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	go func() { <-waits; s.touch("a") }()
	events, err := c.Read(nil)
	must(t, err)
	expect(t, events, []Event{{wd, Create, 0, 16, "a"}})
}

func TestReadDeadline(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	must(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := c.Read(nil)
	var e *Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &e) || !e.Timeout() || !e.Temporary() {
		t.Errorf("got %v, want os.ErrDeadlineExceeded, a timeout", err)
	}
	if want := "inotify read: i/o timeout"; err.Error() != want {
		t.Errorf("got text %q, want %q", err, want)
	}
	s.touch("a")
	must(t, c.SetReadDeadline(time.Time{}))
	events, err := c.Read(nil)
	must(t, err)
	expect(t, events, []Event{{wd, Create, 0, 16, "a"}})
}

func TestReadContext(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.touch("a")
	events, err := c.ReadContext(ctx, nil)
	must(t, err)
	expect(t, events, []Event{{wd, Create, 0, 16, "a"}})
	go cancel(cause)
	if _, err := c.ReadContext(ctx, nil); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	// The deadline that woke it is not there any more.
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	s.touch("b")
	events, err = c.ReadContext(t.Context(), nil)
	must(t, err)
	expect(t, events, []Event{{wd, Create, 0, 16, "b"}})
}

// TestReadContextEnded: events that are there are worth more than a context that is over, but waiting is not.
func TestReadContextEnded(t *testing.T) {
	c := newTestConn(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ReadContext(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	must(t, c.Close())
	if _, err := c.ReadContext(ctx, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: got %v, want os.ErrClosed", err)
	}
}

// TestReadMaxTooFew: too small a number is refused, whatever is queued, and no event is lost.
func TestReadMaxTooFew(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	s.touch("a")
	for _, n := range []int{-1, 0, 16, 31, 32, MaxEventSize - 1} {
		events, err := c.ReadMax(nil, n)
		text := "inotify read: " + strconv.Itoa(n) + " bytes are too few for an event with a long name: at least 272 (EINVAL)"
		expectError(t, err, unix.EINVAL, text)
		if len(events) != 0 {
			t.Errorf("%d bytes: got %v", n, events)
		}
	}
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "a"}})
}

// TestReadMax takes what fits and leaves the rest, in order; the smallest number does for the longest name.
func TestReadMax(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	long := strings.Repeat("n", 255)
	var want []Event
	for i := range 10 {
		s.touch(strconv.Itoa(i))
		want = append(want, Event{wd, Create, 0, 16, strconv.Itoa(i)})
	}
	s.touch(long)
	want = append(want, Event{wd, Create, 0, 256, long})
	first, err := c.ReadMax(nil, MaxEventSize)
	must(t, err)
	expect(t, first, want[:8]) // 8 of 32 bytes
	second, err := c.ReadMax(nil, MaxEventSize)
	must(t, err)
	expect(t, second, want[8:10])
	third, err := c.ReadMax(nil, 1<<30)
	must(t, err)
	expect(t, third, want[10:])
}

func TestPending(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, Create)
	for want, name := range []string{"a", "b", "c"} {
		if got, err := c.Pending(); got != 32*want || err != nil {
			t.Errorf("got %d, %v, want %d bytes", got, err, 32*want)
		}
		s.touch(name)
	}
	upToBarrier(t, c)
	if got, err := c.Pending(); got != 0 || err != nil {
		t.Errorf("after reading: got %d, %v, want 0", got, err)
	}
}

// TestReadRaw: the buffer is used again, and breaking out of the events loses nothing of it.
func TestReadRaw(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	var b Buffer
	for _, name := range []string{"first", "second"} {
		s.touch(name, name+"2")
		must(t, c.ReadRaw(&b))
		for ev := range b.Events() {
			if string(ev.Name) != name {
				t.Errorf("got %q, want %q", ev.Name, name)
			}
			break
		}
		var events []Event
		for ev := range b.Events() {
			events = append(events, ev.Event())
		}
		expect(t, events, []Event{{wd, Create, 0, 16, name}, {wd, Create, 0, 16, name + "2"}})
	}
	must(t, c.TryReadRaw(&b))
	for ev := range b.Events() {
		t.Errorf("left from the last read: %v", ev)
	}
}

// TestReadFromSeveral: the events of several readers together are all there is, each once.
func TestReadFromSeveral(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, Create)
	const files = 2000
	names := make(chan string, files+1)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				events, err := c.Read(nil)
				for _, ev := range events {
					names <- ev.Name
				}
				if err != nil {
					expectClosed(t, "read", err)
					return
				}
			}
		})
	}
	for i := range files {
		s.touch(strconv.Itoa(i))
	}
	seen := map[string]int{}
	for len(seen) < files {
		select {
		case name := <-names:
			seen[name]++
		case <-time.After(patience):
			t.Fatalf("got %d names, want %d", len(seen), files)
		}
	}
	must(t, c.Close())
	readers.Wait()
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s: got %d events, want 1", name, n)
		}
	}
	if len(names) > 0 {
		t.Errorf("got %d events too many", len(names))
	}
}

// TestOverflow: a full queue ends in one event that says so; what comes while nobody reads is lost, even the end of
// a watch; then all is as before.
func TestOverflow(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("dir")
	wd := add(t, c, s.dir, Modify|Create)
	gone := add(t, c, s.path("dir"), DeleteSelf)
	s.overflow()
	s.remove("dir")
	if _, err := c.Barrier(); err != nil {
		t.Fatal(err)
	}
	limit := ReadLimits().Queue.Value
	var events []Event
	for len(events) <= limit {
		var err error
		events, err = c.TryRead(events)
		must(t, err)
	}
	for i, ev := range events[:limit] {
		if ev.WD != wd || ev.Overflow() {
			t.Fatalf("event %d: got %v", i, ev)
		}
	}
	expect(t, events[limit:], []Event{{NoWD, Overflow, 0, 0, ""}})
	if !events[limit].Overflow() || !(RawEvent{Mask: Overflow}).Overflow() {
		t.Error("the overflow is not told")
	}
	if err := c.Remove(gone); !errors.Is(err, ErrNotWatched) {
		t.Errorf("the watch whose end was lost: got %v, want ErrNotWatched", err)
	}
	s.touch("after")
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "after"}})
}

// TestRenamePairs: under parallel renames each cookie comes exactly twice, the new name after the old.
func TestRenamePairs(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("a", "b")
	add(t, c, s.path("a"), Move)
	add(t, c, s.path("b"), Move)
	const writers, rounds = 4, 200
	var all sync.WaitGroup
	for i := range writers {
		name := strconv.Itoa(i)
		s.touch("a/" + name)
		all.Go(func() {
			for range rounds {
				if err := errors.Join(os.Rename(s.path("a/"+name), s.path("b/"+name)), os.Rename(s.path("b/"+name), s.path("a/"+name))); err != nil {
					t.Error(err)
				}
				runtime.Gosched()
			}
		})
	}
	all.Wait()
	from, pairs := map[uint32]string{}, 0
	for _, ev := range upToBarrier(t, c) {
		if ev.Mask == MovedFrom {
			from[ev.Cookie] = ev.Name
			continue
		}
		if from[ev.Cookie] != ev.Name {
			t.Errorf("got %v without its other half", ev)
		}
		delete(from, ev.Cookie)
		pairs++
	}
	if pairs != 2*writers*rounds || len(from) > 0 {
		t.Errorf("got %d pairs, %d halves; want %d pairs", pairs, len(from), 2*writers*rounds)
	}
}

// answers is a read(2) that gives prepared answers, then the kernel's.
func answers(list ...func(p []byte) (int, error)) func(int, []byte) (int, error) {
	var mu sync.Mutex
	return func(fd int, p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(list) == 0 {
			return unix.Read(fd, p)
		}
		next := list[0]
		list = list[1:]
		return next(p)
	}
}

func data(text string) func(p []byte) (int, error) {
	return func(p []byte) (int, error) { return copy(p, text), nil }
}

func failure(errno error) func(p []byte) (int, error) {
	return func([]byte) (int, error) { return -1, errno }
}

// TestReadFaults: what read(2) can do wrong. EINTR is nobody's business; a short answer gives what is whole.
func TestReadFaults(t *testing.T) {
	whole := string(appendEvent(nil, Event{WD: 1, Mask: Create, Name: "a"}))
	event := Event{1, Create, 0, 16, "a"}
	for _, test := range []struct {
		name string
		read func(int, []byte) (int, error)
		want []Event
		text string
	}{
		{"interrupted", answers(failure(unix.EINTR), failure(unix.EINTR), data(whole)), []Event{event}, ""},
		{"an input error", answers(failure(unix.EIO)), nil, "inotify read: input/output error (EIO)"},
		{"nothing", answers(data("")), nil, "inotify read: 0 bytes, of which only 0 are whole events (EBADMSG)"},
		{"half a header", answers(data(whole + whole[:15])), []Event{event},
			"inotify read: 47 bytes, of which only 32 are whole events (EBADMSG)"},
		{"half a name", answers(data(whole[:31])), nil, "inotify read: 31 bytes, of which only 0 are whole events (EBADMSG)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newFaultyConn(t, Syscalls{Read: test.read})
			events, err := c.Read(nil)
			expect(t, events, test.want)
			if test.text == "" {
				must(t, err)
			} else if err == nil || err.Error() != test.text {
				t.Errorf("got %v, want %s", err, test.text)
			}
		})
	}
}

// TestTryReadFaults: as above, and nothing to read is no fault even after an interruption.
func TestTryReadFaults(t *testing.T) {
	c := newFaultyConn(t, Syscalls{Read: answers(failure(unix.EINTR), failure(unix.EAGAIN), failure(unix.EIO))})
	if events, err := c.TryRead(nil); len(events) != 0 || err != nil {
		t.Errorf("got %v, %v, want nothing", events, err)
	}
	_, err := c.TryRead(nil)
	expectError(t, err, unix.EIO, "inotify read: input/output error (EIO)")
}

// TestSharedNames: events of one file in a row share the string of its name.
func TestSharedNames(t *testing.T) {
	var b Buffer
	for _, name := range []string{"a", "a", "", "b", "b"} {
		b.whole = appendEvent(b.whole, Event{WD: 1, Mask: Create, Name: name})
	}
	var names []string
	for _, ev := range b.appendEvents(nil) {
		names = append(names, ev.Name)
	}
	if want := []string{"a", "a", "", "b", "b"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestQuiet: what comes while nobody waits wakes nobody, and is there for the next who does.
func TestQuiet(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, Create)
	rings := func() (n int) {
		must(t, c.bell.hold.Control(func(set uintptr) {
			var err error
			n, err = retry(func() (int, error) { return unix.Poll([]unix.PollFd{{Fd: int32(set), Events: unix.POLLIN}}, 0) })
			must(t, err)
		}))
		return n
	}
	for _, name := range []string{"a", "b"} {
		heard := make(chan []Event)
		go func() {
			events, err := c.Read(nil)
			if err != nil {
				t.Error(err)
			}
			heard <- events
		}()
		s.touch(name)
		if events := <-heard; len(events) != 1 || events[0].Name != name {
			t.Errorf("got %v, want %s", events, name)
		}
		s.touch("unheard-" + name)
		if rings() != 0 {
			t.Error("an event rang though nobody waits")
		}
		if events, err := c.TryRead(nil); err != nil || len(events) != 1 {
			t.Errorf("got %v, %v, want one event", events, err)
		}
	}
}
