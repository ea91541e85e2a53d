package inotify

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

func newTestConn(t testing.TB) *Conn {
	t.Helper()
	c, err := Init()
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

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConnSeesAFile(t *testing.T) {
	c, dir := newTestConn(t), t.TempDir()
	wd := add(t, c, dir, WatchMask)
	write(t, filepath.Join(dir, "a"), "x")
	got := upToBarrier(t, c)
	want := []Event{
		{wd, Create, 0, 16, "a"},
		{wd, Modify, 0, 16, "a"},
		{wd, CloseWrite, 0, 16, "a"},
	}
	expect(t, got, want)
}

func TestErrorAfterClose(t *testing.T) {
	c := newTestConn(t)
	must(t, c.Close())
	must(t, c.Close())
	_, err := c.Add("/", Create)
	if !errors.Is(err, os.ErrClosed) || !errors.Is(err, unix.EBADF) {
		t.Errorf("add after close: got %v, want os.ErrClosed and EBADF", err)
	}
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
