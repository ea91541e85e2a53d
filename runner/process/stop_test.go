package process

import (
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// escapees start processes that leave the leader's group, its session, or lose their parent: n of them end up as sleep.
var escapees = map[string]struct {
	script string
	sleeps int
}{
	"own session":            {`setsid sleep 1000 &`, 1},
	"own session, orphaned":  {`(setsid sleep 1000 &);`, 1},
	"twice forked":           {`(sh -c 'setsid sh -c "sleep 1000 & sleep 1000; :" &' &);`, 2},
	"own group":              {`$GROUP sleep 1000 &`, 1},
	"own group, orphaned":    {`($GROUP sleep 1000 &);`, 1},
	"ignores SIGTERM":        {`(trap '' TERM; exec sleep 1000) &`, 1},
	"ignores and escapes":    {`(trap '' TERM HUP; exec setsid sleep 1000) &`, 1},
	"stopped":                {`sh -c 'kill -STOP $$; sleep 1000' & sleep 1000 &`, 1},
	"stopped, own session":   {`setsid sh -c 'kill -STOP $$; sleep 1000' & sleep 1000 &`, 1},
	"no environment":         {`env -i setsid sleep 1000 &`, 1},
	"no environment, orphan": {`(env -i setsid sleep 1000 &);`, 1},
	"deep":                   {`sh -c 'setsid sh -c "sleep 1000 & setsid sleep 1000 & wait" & wait' &`, 2},
	"everybody":              {`sleep 1000 & (setsid sleep 1000 &); $GROUP sleep 1000 & (trap '' TERM; exec setsid sleep 1000) &`, 4},
}

// eachEscape starts a run for each kind of escapee, and hands it over when all of it has found its place. Closing in ends the leader.
func eachEscape(t *testing.T, h *Host, test func(t *testing.T, tree *Tree, in io.Closer)) {
	group := "GROUP=" + strings.Join(self("group"), " ")
	for name, c := range escapees {
		t.Run(name, func(t *testing.T) {
			word := token(t)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			tree := start(t, h, Spec{Argv: sh(c.script+" read x; exit 3", word), Stdin: r, Env: env(group, "W="+word)})
			r.Close()
			eventually(t, "all are in their places", func() bool {
				n := 0
				for _, p := range tree.Members() {
					if p.Name == "sleep" {
						n++
					}
				}
				return n == c.sleeps
			})
			test(t, tree, w)
			noneLeft(t, word)
			if left := tree.Members(); len(left) > 0 {
				t.Errorf("members of a run that is over: %v", left)
			}
			noSleep(t)
		})
	}
}

// noSleep finds also those that have neither marker nor token: no child of ours may be left.
func noSleep(t *testing.T) {
	t.Helper()
	for _, pid := range childrenOf(os.Getpid()) {
		if p, ok := readProc(pid); ok && p.alive() {
			t.Errorf("a child is left: %v", p)
		}
	}
}

// Whatever way a descendant goes, it does not outlive the stop of its run.
func TestStopLeavesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		eachEscape(t, h, func(t *testing.T, tree *Tree, _ io.Closer) {
			tree.Stop(unix.SIGTERM, 50*time.Millisecond)
			next(t, h, tree, Over, Stuck, Left, Swept)
		})
	})
}

func TestKillLeavesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		eachEscape(t, h, func(t *testing.T, tree *Tree, _ io.Closer) {
			began := time.Now()
			tree.Kill()
			next(t, h, tree, Over, Stuck, Left, Killed, Swept)
			t.Logf("took %v", time.Since(began))
			if took := time.Since(began); took > time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
}

// The leader ended by itself: the policy of a service is to leave nothing.
func TestLeaderEnds(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		eachEscape(t, h, func(t *testing.T, tree *Tree, in io.Closer) {
			in.Close()
			if e := next(t, h, tree, Swept, Over); !slices.Contains(names(e.Procs), "sleep") {
				t.Errorf("swept: got %v, want sleep among them", e.Procs)
			}
			if e := next(t, h, tree, Over, Stuck, Left, Swept); e.Status.Code != 3 {
				t.Errorf("got %v, want exit status 3", e.Status)
			}
		})
	})
}

// Kernels without lists of children.
func TestWithoutLists(t *testing.T) {
	h := newTestHost(t, Options{NoCgroup: true})
	h.do(func() { h.noLists = true })
	eachEscape(t, h, func(t *testing.T, tree *Tree, _ io.Closer) {
		tree.Stop(unix.SIGTERM, 50*time.Millisecond)
		next(t, h, tree, Over, Stuck, Left)
	})
}

// The wrapping shell dies of the signal at once; the run is over when the server behind it has shut down in its own time.
func TestWrapperDiesFirst(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		tree, out := output(t, h, Spec{Argv: sh(`true; "$@"; true`, self("slow", "300ms")...)})
		out.want(t, "up")
		tree.Stop(unix.SIGTERM, deadline)
		if e := next(t, h, tree, Exited); e.Status.Signal != unix.SIGTERM {
			t.Errorf("the shell: got %v, want SIGTERM", e.Status)
		}
		next(t, h, tree, Over, Killed, Swept)
		out.want(t, "end")
	})
}

// One member ignores the signal; it and nobody else waits for the end of the grace.
func TestGraceIsTheRuns(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		tree, out := output(t, h, Spec{Argv: sh(`(trap '' TERM; echo up; while :; do sleep 0.1; done) & sleep 1000`)})
		out.want(t, "up")
		const grace = 300 * time.Millisecond
		began := time.Now()
		tree.Stop(unix.SIGTERM, grace)
		next(t, h, tree, Exited, Killed)
		if took := time.Since(began); took > grace/2 {
			t.Errorf("the leader took %v", took)
		}
		if e := next(t, h, tree, Killed); !slices.Contains(names(e.Procs), "sh") || slices.Contains(pids(e.Procs), tree.PID()) {
			t.Errorf("killed: got %v, want the shell in the background", e.Procs)
		}
		next(t, h, tree, Over)
		if took := time.Since(began); took < grace || took > grace+200*time.Millisecond {
			t.Errorf("took %v, want %v and at most 200ms more", took, grace)
		}
	})
}

func pids(procs []Proc) (list []int) {
	for _, p := range procs {
		list = append(list, p.PID)
	}
	return list
}

// A second, impatient stop does not wait for the end of the first.
func TestKillWhileStopping(t *testing.T) {
	h := newTestHost(t, Options{})
	tree, out := output(t, h, Spec{Argv: sh(`trap '' TERM INT; echo up; while :; do sleep 0.1; done`)})
	out.want(t, "up")
	tree.Stop(unix.SIGINT, time.Hour)
	tree.Stop(unix.SIGINT, 2*time.Hour)
	began := time.Now()
	tree.Kill()
	tree.Kill()
	tree.Stop(unix.SIGTERM, time.Hour)
	next(t, h, tree, Over, Stuck)
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("took %v", took)
	}
	tree.Stop(unix.SIGTERM, time.Second)
	tree.Kill()
	tree.Signal(unix.SIGTERM)
	if tree.SignalLeader(unix.SIGTERM) || tree.Members() != nil {
		t.Error("a run that is over has a leader or members")
	}
}

// The shorter of two graces counts.
func TestShorterGrace(t *testing.T) {
	h := newTestHost(t, Options{})
	tree, out := output(t, h, Spec{Argv: sh(`trap '' TERM; echo up; while :; do sleep 0.1; done`)})
	out.want(t, "up")
	began := time.Now()
	tree.Stop(unix.SIGTERM, time.Hour)
	tree.Stop(unix.SIGTERM, 100*time.Millisecond)
	tree.Stop(unix.SIGTERM, time.Hour)
	next(t, h, tree, Over)
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// A stopped server gets the signal when it is continued, which the stop does; it need not be killed.
func TestStopStopped(t *testing.T) {
	h := newTestHost(t, Options{})
	tree, out := output(t, h, Spec{Argv: self("count")})
	out.want(t, "up")
	tree.SignalLeader(unix.SIGSTOP)
	if e := next(t, h, tree, Stopped); e.Signal != unix.SIGSTOP {
		t.Errorf("got %v", e.Signal)
	}
	tree.Stop(unix.SIGTERM, deadline)
	next(t, h, tree, Over, Killed)
	out.want(t, "SIGTERM")
}

// Each process of the run gets a signal once: in the group, in one of its own, in a session of its own, or orphaned.
func TestSignalOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		script := `"$@" & setsid "$@" & (setsid "$@" &); $GROUP "$@" & exec "$@"`
		tree, out := output(t, h, Spec{Argv: sh(script, self("count")...), Env: env("GROUP=" + strings.Join(self("group"), " "))})
		for range 5 {
			out.want(t, "up")
		}
		tree.Signal(unix.SIGHUP)
		var got []string
		for range 5 {
			got = append(got, out.next(t))
		}
		tree.Signal(unix.SIGUSR1)
		for range 5 {
			got = append(got, out.next(t))
		}
		want := strings.Repeat("SIGHUP ", 5) + strings.Repeat("SIGUSR1 ", 5)
		if got := strings.Join(got, " ") + " "; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		tree.Stop(unix.SIGTERM, deadline)
		next(t, h, tree, Over, Killed)
	})
}

// Each thread has a list of children of its own.
func TestChildrenOfThreads(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		seconds := uniqueSeconds()
		tree, out := output(t, h, Spec{Argv: self("threads", "8", seconds)})
		out.want(t, "up")
		if got := len(tree.Members()); got != 9 {
			t.Errorf("got %d members, want 9", got)
		}
		tree.Stop(unix.SIGTERM, time.Second)
		next(t, h, tree, Over, Killed)
		noneLeft(t, seconds)
	})
}

// Two runs at once: what one leaves behind is not taken for the other's.
func TestTwoRuns(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		mine, yours := token(t), token(t)
		script := `(setsid sleep 1000 &); setsid sleep 1000 & echo up; sleep 1000`
		a, out := output(t, h, Spec{Argv: sh(script), Env: env("W=" + mine)})
		out.want(t, "up")
		b, out := output(t, h, Spec{Argv: sh(script), Env: env("W=" + yours)})
		out.want(t, "up")
		eventually(t, "all sleep", func() bool { return len(holders(mine)) == 4 && len(holders(yours)) == 4 })
		a.Kill()
		next(t, h, a, Over)
		noneLeft(t, mine)
		if got := len(holders(yours)); got != 4 {
			t.Errorf("of the other: got %d, want 4", got)
		}
		if got := len(b.Members()); got != 4 {
			t.Errorf("members of the other: got %d, want 4", got)
		}
	})
}

// Two runs at once, each with a process that has left everything behind by which it could be known, but its parent.
func TestNoEvidence(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		mine, yours := uniqueSeconds(), uniqueSeconds()
		launch := func(seconds string) *Tree {
			tree := start(t, h, Spec{Argv: sh("env -i setsid sleep " + seconds + " & sleep 1000; :")})
			eventually(t, "both sleep", func() bool { return countName(tree.Members(), "sleep") == 2 })
			return tree
		}
		a, b := launch(mine), launch(yours)
		a.Kill()
		next(t, h, a, Over)
		noneLeft(t, mine)
		if got := countName(b.Members(), "sleep"); got != 2 {
			t.Errorf("the other run has %d, want 2", got)
		}
		b.Stop(unix.SIGTERM, deadline)
		next(t, h, b, Over, Killed)
		noneLeft(t, yours)
	})
}

// An orphan by whom nobody can tell its run, as there are two, does not survive Close.
func TestStray(t *testing.T) {
	h, err := NewHost(Options{NoCgroup: true})
	if err != nil {
		t.Fatal(err)
	}
	seconds := uniqueSeconds()
	start(t, h, Spec{Argv: []string{"sleep", "1000"}})
	tree := start(t, h, Spec{Argv: sh("(env -i setsid sleep " + seconds + " &); sleep 1000")})
	eventually(t, "it is an orphan", func() bool {
		procs := holders(seconds)
		return slices.ContainsFunc(procs, func(p Proc) bool { return p.Name == "sleep" && p.Parent == os.Getpid() })
	})
	tree.Kill()
	next(t, h, tree, Over)
	if got := countName(holders(seconds), "sleep"); got != 1 {
		t.Errorf("before: got %d, want 1", got)
	}
	closeHost(t, h)
	noneLeft(t, seconds)
}

// uniqueSeconds is a token that survives an empty environment: an argument of sleep.
func uniqueSeconds() string { return strconv.Itoa(1e6 + rand.IntN(1e8)) }

// A process whose first thread has ended looks like a zombie, and is none.
func TestHeadless(t *testing.T) {
	prog, word := compile(t, "headless"), token(t)
	defer killHolders(word)
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		for _, script := range []string{`exec "$1"`, `setsid "$1" & exit`, `setsid "$1" & wait`} {
			tree, out := output(t, h, Spec{Argv: sh(script, prog), Env: env("W=" + word), Leftovers: LeaveAll})
			if strings.HasSuffix(script, "exit") {
				if e := next(t, h, tree, Left, Over); len(e.Procs) != 1 {
					t.Errorf("left: got %v", e.Procs)
				}
				out.want(t, "up")
				continue
			}
			out.want(t, "up")
			if got := len(tree.Members()); got == 0 || strings.Contains(script, "wait") && got != 2 {
				t.Errorf("%s: got %d members", script, got)
			}
			tree.Stop(unix.SIGTERM, deadline)
			next(t, h, tree, Over, Killed, Stuck)
		}
	})
}

// Its environment is not readable where the first thread had it, and another run is there that it could be of.
func TestHeadlessOrphan(t *testing.T) {
	prog := compile(t, "headless")
	h := newTestHost(t, Options{NoCgroup: true})
	start(t, h, Spec{Argv: []string{"sleep", "1000"}})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tree, out := output(t, h, Spec{Argv: sh(`setsid "$1" & read x`, prog), Stdin: r})
	r.Close()
	out.want(t, "up")
	w.Close()
	if e := next(t, h, tree, Swept, Over); len(e.Procs) != 1 || e.Procs[0].Name != "headless" {
		t.Errorf("swept: got %v, want headless", e.Procs)
	}
	next(t, h, tree, Over)
}
