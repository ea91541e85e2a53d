package process

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Guard()
	if len(os.Args) > 1 && os.Args[0] == helperName {
		os.Exit(helper(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// deadline is how long a test waits for what must happen.
const deadline = 10 * time.Second

// newTestHost opens a host, and closes it at the end of the test.
func newTestHost(t testing.TB, opt Options) *Host {
	t.Helper()
	h, err := NewHost(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		go func() {
			for range h.Events() {
			}
		}()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

// bothWays runs a test with cgroups, where there are any, and without.
func bothWays(t *testing.T, test func(t *testing.T, opt Options)) {
	t.Run("cgroup", func(t *testing.T) {
		c, err := findCgroup()
		if err != nil || unix.Access(c.base, unix.W_OK) != nil {
			t.Skip("no writable cgroup v2 here")
		}
		test(t, Options{})
	})
	t.Run("plain", func(t *testing.T) { test(t, Options{NoCgroup: true}) })
}

func start(t testing.TB, h *Host, spec Spec) *Tree {
	t.Helper()
	if spec.Stderr == nil {
		spec.Stderr = os.Stderr
	}
	tree, err := h.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// next waits for an event of a kind and returns it, with all events before it dropped.
func next(t testing.TB, h *Host, kind Kind) Event {
	t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case e := <-h.Events():
			if e.Kind == kind {
				return e
			}
		case <-timeout:
			t.Fatalf("no event %v", kind)
		}
	}
}

func TestExitStatus(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		for script, want := range map[string]Status{
			"exit 0":        {},
			"exit 7":        {Code: 7},
			"kill -9 $$":    {Signal: unix.SIGKILL},
			"kill -TERM $$": {Signal: unix.SIGTERM},
		} {
			tree := start(t, h, Spec{Argv: []string{"sh", "-c", script}})
			if e := next(t, h, Exited); e.Status != want || e.Tree != tree {
				t.Errorf("%s: got %v of %v, want %v", script, e.Status, e.Tree, want)
			}
			if e := next(t, h, Over); e.Status != want || e.Tree != tree {
				t.Errorf("%s: got %v of %v, want %v", script, e.Status, e.Tree, want)
			}
		}
	})
}

const helperName = "process-test-helper"

func helper(args []string) int { return 0 }
