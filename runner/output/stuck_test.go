package output

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// A stream that is closed while nobody reads ends: soon for its caller, and later
// for good, with a word about what is missing.
func TestClosedStreamIsDroppedInTheEnd(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Fd()
	p := New(Options{Stdout: w, Stderr: w})
	p.patience = patience{stuck: 10 * time.Millisecond, lost: 30 * time.Millisecond}
	s, err := p.Open(StreamOptions{Name: "a", Mode: Pipe, Prefix: true})
	if err != nil {
		t.Fatal(err)
	}
	fed := make(chan error, 1)
	go func() {
		_, err := s.Stdout.Write(bytes.Repeat([]byte("x"), 4*Budget)) // one line that never ends
		fed <- err
	}()
	r0 := s.readers[0]
	until(t, "the queue is full", func() bool {
		p.queue.mu.Lock()
		defer p.queue.mu.Unlock()
		return r0.src.bytes >= r0.src.limit
	})
	select {
	case <-s.Drain():
	case <-time.After(20 * time.Second):
		t.Fatal("Drain waits for the terminal")
	}
	closed := make(chan struct{})
	go func() {
		<-s.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits for the terminal")
	}
	if err := <-fed; err == nil {
		t.Error("the command could write on")
	}
	s.Started()
	until(t, "the reader ends", func() bool {
		r0.mu.Lock()
		defer r0.mu.Unlock()
		return r0.ended
	})
	result := make(chan error, 1)
	go func() {
		result <- p.Close(20 * time.Second)
		w.Close()
	}()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(string(out), "x\n(the end of the output of a was dropped: nobody read it)\n") {
		t.Errorf("got %d bytes, the last %q", len(out), out[max(0, len(out)-100):])
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("it does not come to pass that %s", what)
		}
	}
}

// Nothing wakes up for a line whose rest does not come.
func TestNothingToShowAgain(t *testing.T) {
	for _, in := range []string{"x", "x\x1b", "x\r", "\x1b[3", "\r"} {
		s := newScreen(assembler{prefix: []byte("P "), color: true, terminal: true})
		s.a.write([]byte(in))
		if !s.a.waiting() {
			t.Errorf("%q: nothing to show", in)
		}
		s.a.flush()
		if s.a.waiting() {
			t.Errorf("%q: still something to show", in)
		}
	}
}

// Where another line comes between, the colour of an unfinished one ends and is
// taken up again.
func TestColourOfAnInterruptedLine(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := New(Options{Stdout: w, Stderr: w, Color: true})
	src := p.queue.source(p.out, []byte("P "), Budget)
	a := assembler{prefix: []byte("P "), color: true, emit: func(piece piece) { src.offer(piece) }}
	a.write([]byte("\x1b[31mred"))
	a.flush()
	io.WriteString(p.Log(), "log\n")
	a.write([]byte(" still\n"))
	if err := p.Close(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if want := "P \x1b[31mred\x1b[0m\nlog\nP \x1b[31m still\x1b[0m\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
}
