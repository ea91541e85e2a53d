package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Many runs at once, each with an exit status of its own and three orphans: no status is wrong or lost, and every orphan is
// reaped.
func TestStress(t *testing.T) {
	runs, atOnce := 1200, 8
	if testing.Short() {
		runs = 100
	}
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		want := map[*Tree]int{}
		exited := map[*Tree]bool{}
		for started, done := 0, 0; done < runs; {
			for ; started < runs && started-done < atOnce; started++ {
				code := started % 256
				script := fmt.Sprintf(`(true &); (setsid sh -c 'exit 3' &); (sleep 0.001 &); exit %d`, code)
				want[start(t, h, Spec{Argv: sh(script), Run: fmt.Sprint(started)})] = code
			}
			e := <-h.Events()
			switch e.Kind {
			case Exited:
				if exited[e.Tree] || e.Status != (Status{Code: want[e.Tree]}) {
					t.Errorf("run %s: got %v (again: %v), want %d", e.Tree.Run(), e.Status, exited[e.Tree], want[e.Tree])
				}
				exited[e.Tree] = true
			case Over:
				if !exited[e.Tree] {
					t.Errorf("run %s is over and its leader did not end", e.Tree.Run())
				}
				done++
			case Killed, Left, Stuck, Stopped, Continued:
				t.Errorf("run %s: unwanted event %v: %v", e.Tree.Run(), e.Kind, e.Procs)
			}
		}
		if got := h.Orphans(); got != 3*runs {
			t.Errorf("got %d orphans, want %d", got, 3*runs)
		}
		if left := childrenOf(os.Getpid()); len(left) > 0 {
			t.Errorf("children left: %v", left)
		}
		h.do(func() {
			if n := len(h.trees) + len(h.leaders) + len(h.adopted); n > 0 {
				t.Errorf("%d entries left in tables", n)
			}
		})
	})
}

// Many restarts of a server that leaves a daemon behind: nothing piles up.
func TestManyRestarts(t *testing.T) {
	word := token(t)
	h := newTestHost(t, Options{})
	for range 100 {
		tree, out := output(t, h, Spec{Argv: sh("(setsid sleep 1000 &); echo up; sleep 1000"), Env: env("W=" + word)})
		out.want(t, "up")
		tree.Stop(unix.SIGTERM, 5*time.Second)
		next(t, h, tree, Over, Killed, Stuck)
		noneLeft(t, word)
	}
	if left := childrenOf(os.Getpid()); len(left) > 0 {
		t.Errorf("children left: %v", left)
	}
}

// A daemon that runs away: every generation starts the next in a new session and ends at once.
func TestRunaway(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		word := token(t)
		script := `setsid sh -c "$NEXT" & exit`
		tree, out := output(t, h, Spec{Argv: sh(`sh -c "$NEXT"; echo up; sleep 1000`), Env: env("W="+word, "NEXT="+script)})
		out.want(t, "up")
		tree.Kill()
		next(t, h, tree, Over, Stuck)
		noneLeft(t, word)
	})
}

// A process that even SIGKILL does not end is reported, once, and the run stays open until it is gone. (A frozen process of the
// old freezer is such a one.)
func TestStuck(t *testing.T) {
	const freezer = "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(freezer + "/cgroup.procs"); err != nil || os.Getuid() != 0 {
		t.Skip("needs the freezer of cgroup v1, and root")
	}
	dir := filepath.Join(freezer, "flinch-test-"+randomID())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	defer func() {
		eventually(t, "the freezer is empty", func() bool { return os.Remove(dir) == nil })
	}()
	h := newTestHost(t, Options{})
	tree := start(t, h, Spec{Argv: []string{"sleep", "1000"}})
	set := func(file, value string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+file, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	set("cgroup.procs", fmt.Sprint(tree.PID()))
	set("freezer.state", "FROZEN")
	defer set("freezer.state", "THAWED")
	eventually(t, "it is frozen", func() bool {
		state, _ := os.ReadFile(dir + "/freezer.state")
		return strings.TrimSpace(string(state)) == "FROZEN"
	})
	began := time.Now()
	tree.Kill()
	e := next(t, h, tree, Stuck, Over, Exited)
	if took := time.Since(began); took < stuckAfter {
		t.Errorf("reported after %v, want %v", took, stuckAfter)
	}
	if len(e.Procs) != 1 || e.Procs[0].PID != tree.PID() || e.Procs[0].Command != "sleep 1000" {
		t.Errorf("got %+v, want the sleep", e.Procs)
	}
	t.Logf("state %c, waits in %q", e.Procs[0].State, e.Procs[0].Wait)
	set("freezer.state", "THAWED")
	next(t, h, tree, Over, Stuck)
}
