package process

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leaving is a task that leaves two processes in its session and two in their own, one each without a parent.
const leaving = `sleep 1000 & (sleep 1000 &); setsid sleep 2000 & (setsid sleep 2000 &); read x`

// leave runs it to its end and returns the events until then.
func leave(t *testing.T, h *Host, policy Leftovers, word string) (tree *Tree, swept, left []string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tree = start(t, h, Spec{Argv: sh(leaving), Stdin: r, Env: env("W=" + word), Leftovers: policy})
	r.Close()
	eventually(t, "all sleep", func() bool { return len(sleepers(word)) == 4 })
	w.Close()
	for {
		switch e := <-h.Events(); e.Kind {
		case Swept:
			swept = append(swept, commands(e.Procs)...)
		case Left:
			left = append(left, commands(e.Procs)...)
		case Over:
			slices.Sort(swept)
			slices.Sort(left)
			return tree, swept, left
		}
	}
}

func commands(procs []Proc) (list []string) {
	for _, p := range procs {
		list = append(list, p.Command)
	}
	return list
}

// sleepers lists the processes of a test that sleep, sorted.
func sleepers(word string) []string {
	list := slices.DeleteFunc(commands(holders(word)), func(c string) bool { return !strings.HasPrefix(c, "sleep ") })
	slices.Sort(list)
	return list
}

func killHolders(word string) {
	for _, p := range holders(word) {
		unix.Kill(p.PID, unix.SIGKILL)
	}
}

// Whoever outlives a leader that ended by itself is killed, or left, as the policy says, and named once.
func TestLeftovers(t *testing.T) {
	inSession, daemons := []string{"sleep 1000", "sleep 1000"}, []string{"sleep 2000", "sleep 2000"}
	both := append(slices.Clone(inSession), daemons...)
	bothWays(t, func(t *testing.T, opt Options) {
		for _, c := range []struct {
			name        string
			policy      Leftovers
			swept, left []string
		}{
			{"none", LeaveNone, both, nil},
			{"daemons", LeaveDaemons, inSession, daemons},
			{"all", LeaveAll, nil, both},
		} {
			t.Run(c.name, func(t *testing.T) {
				word := token(t)
				defer killHolders(word)
				h, err := NewHost(opt)
				if err != nil {
					t.Fatal(err)
				}
				tree, swept, left := leave(t, h, c.policy, word)
				if !slices.Equal(swept, c.swept) || !slices.Equal(left, c.left) {
					t.Errorf("got swept %q left %q, want swept %q left %q", swept, left, c.swept, c.left)
				}
				if got := sleepers(word); !slices.Equal(got, c.left) {
					t.Errorf("alive: got %q, want %q", got, c.left)
				}
				tree.Kill() // it is over
				other := start(t, h, Spec{Argv: sh("sleep 3000"), Env: env("W=" + word)})
				other.Kill()
				next(t, h, other, Over)
				closeHost(t, h)
				if got := sleepers(word); !slices.Equal(got, c.left) {
					t.Errorf("alive after close: got %q, want %q", got, c.left)
				}
			})
		}
	})
}

// A run that is stopped leaves nothing, whatever the policy.
func TestStoppedLeavesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		for _, policy := range []Leftovers{LeaveNone, LeaveDaemons, LeaveAll} {
			word := token(t)
			tree := start(t, h, Spec{Argv: sh(strings.Replace(leaving, "read x", "sleep 1000", 1)), Env: env("W=" + word), Leftovers: policy})
			eventually(t, "all sleep", func() bool { return len(tree.Members()) == 6 })
			tree.Stop(unix.SIGTERM, time.Second)
			next(t, h, tree, Over, Left, Stuck)
			noneLeft(t, word)
		}
	})
}

// A process that was left on purpose is reaped when it ends, and its run is forgotten.
func TestLeftIsReaped(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		word := token(t)
		leave(t, h, LeaveAll, word)
		killHolders(word)
		eventually(t, "no child is left", func() bool { return len(childrenOf(os.Getpid())) == 0 })
		eventually(t, "the run is forgotten", func() bool {
			n := 0
			h.do(func() { n = len(h.trees) + len(h.adopted) })
			return n == 0
		})
	})
}

// A daemon that holds the output open does not hold up the end of the task.
func TestDaemonHoldsOutput(t *testing.T) {
	h := newTestHost(t, Options{})
	word := token(t)
	defer killHolders(word)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tree := start(t, h, Spec{Argv: sh("setsid sleep 1000 & echo done"), Stdout: w, Env: env("W=" + word), Leftovers: LeaveDaemons})
	w.Close()
	next(t, h, tree, Over)
	newLines(r).want(t, "done")
}

// Where no descriptor is free, nothing can be read of an orphan: the run is not taken to be over for that.
func TestNoDescriptorFree(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		word := token(t)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		tree := start(t, h, Spec{Argv: sh("(setsid sleep 1000 &); read x"), Stdin: r, Env: env("W=" + word)})
		r.Close()
		eventually(t, "it sleeps", func() bool { return len(sleepers(word)) == 1 })
		free := takeDescriptors(t)
		w.Close()
		next(t, h, tree, Exited, Over)
		h.do(func() {
			if h.settle(); tree.phase == over {
				t.Error("over, and the daemon was not looked at")
			}
		})
		free()
		if e := next(t, h, tree, Swept, Over); len(e.Procs) != 1 {
			t.Errorf("swept %v, want the daemon", e.Procs)
		}
		next(t, h, tree, Over)
		noneLeft(t, word)
	})
}

// takeDescriptors leaves no descriptor to open anything with.
func takeDescriptors(t *testing.T) (free func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	free = func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(free)
	return free
}
