package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program is another program with a Host, that a test may kill.
type program struct {
	cmd    *exec.Cmd
	in     *os.File
	out    *lines
	stdout *os.File // what out reads from, for others that are to write there
	pid    int
}

// newProgram starts one; how is "plain" or "cgroup". The test has no Host of its own meanwhile.
func newProgram(t *testing.T, how string, env ...string) *program {
	t.Helper()
	return launch(t, self("host", how), env...)
}

func launch(t *testing.T, argv []string, env ...string) *program {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(argv[0], argv[1:]...), in: inW, out: newLines(outR), stdout: outW}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, os.Stderr
	p.cmd.Env = append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait(); inW.Close(); outR.Close(); outW.Close() })
	p.pid = p.number(t, "host")
	return p
}

// do sends a command.
func (p *program) do(t *testing.T, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, command); err != nil {
		t.Fatal(err)
	}
}

// number waits for a line "WORD N".
func (p *program) number(t *testing.T, word string) int {
	t.Helper()
	return p.out.number(t, word)
}

func (l *lines) number(t *testing.T, word string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimPrefix(l.prefix(t, word+" "), word+" "))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func hows(t *testing.T, test func(t *testing.T, how string)) {
	t.Run("cgroup", func(t *testing.T) {
		needCgroup(t)
		test(t, "cgroup")
	})
	t.Run("plain", func(t *testing.T) { test(t, "plain") })
}

// guardianOf waits until the guardian of a program is there and ready.
func guardianOf(t *testing.T, p *program) int {
	t.Helper()
	p.do(t, "guardian")
	pid := p.number(t, "guardian")
	eventually(t, fmt.Sprintf("the guardian %d is up", pid), func() bool { return catches2(pid) })
	return pid
}

// catches2 tells whether the guardian is as far as to ignore SIGTERM.
func catches2(pid int) bool {
	data, _ := os.ReadFile(procPath(pid, "comm"))
	return string(data) == "guard\n"
}

const manyEscapees = `sleep 1000 & (setsid sleep 1000 &); setsid sleep 1000 & ` +
	`(sh -c 'setsid sh -c "sleep 1000 & sleep 1000; :" &' &); (trap "" TERM HUP INT; exec setsid sleep 1000) & sleep 1000; :`

// The program is killed with SIGKILL: nothing of its runs lives 100 ms later, and the guardian is gone too.
func TestHostKilled(t *testing.T) {
	hows(t, func(t *testing.T, how string) {
		word := token(t)
		defer killHolders(word)
		p := newProgram(t, how, "W="+word)
		p.do(t, "start "+manyEscapees)
		bare := uniqueSeconds() // of its session, and without a marker
		p.do(t, "start env -i sleep "+bare+" & sleep 1000")
		guard := guardianOf(t, p)
		isSleep := func() int { return countName(holders(word), "sleep") }
		eventually(t, "all sleep", func() bool { return isSleep() == 8 && len(holders(bare)) == 2 })
		began := time.Now()
		if err := unix.Kill(p.pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nothing is left", func() bool { return isSleep() == 0 && len(holders(bare)) == 0 })
		took := time.Since(began)
		t.Logf("took %v", took)
		if took > 100*time.Millisecond && !loaded() {
			t.Errorf("took %v, want at most 100ms", took)
		}
		eventually(t, "the guardian is gone", func() bool { q, ok := readProc(guard); return !ok || !q.alive() })
		eventually(t, "its cgroups are gone", func() bool { return len(cgroupsOf(t, p.pid)) == 0 })
	})
}

// loaded tells whether the machine has more to do than it has processors for: times mean little then.
func loaded() bool {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return false
	}
	load, err := strconv.ParseFloat(strings.Fields(string(data))[0], 64)
	return err == nil && load > 1.5
}

func countName(procs []Proc, name string) (n int) {
	for _, p := range procs {
		if p.Name == name {
			n++
		}
	}
	return n
}

// cgroupsOf lists the directories that a host has made in our cgroup.
func cgroupsOf(t *testing.T, pid int) []string {
	c, err := findCgroup()
	if err != nil {
		return nil
	}
	dirs, err := filepath.Glob(fmt.Sprintf("%s/flinch-%d-*", c.base, pid))
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// Who was left on purpose, by a run that is over, is spared; who belongs to a run that is not over is not.
func TestGuardianSpares(t *testing.T) {
	hows(t, func(t *testing.T, how string) {
		word := token(t)
		defer killHolders(word)
		p := newProgram(t, how, "W="+word)
		p.do(t, "session setsid sleep 2000 & sleep 0.2")
		p.out.prefix(t, "left")
		p.out.prefix(t, "over")
		p.do(t, "keep sleep 3000 & exit")
		p.out.prefix(t, "left")
		p.out.prefix(t, "over")
		p.do(t, "session setsid sleep 4000 & sleep 5000")
		guardianOf(t, p)
		eventually(t, "all sleep", func() bool { return len(sleepers(word)) == 4 })
		unix.Kill(p.pid, unix.SIGKILL)
		eventually(t, "the others are gone", func() bool {
			return slices.Equal(sleepers(word), []string{"sleep 2000", "sleep 3000"})
		})
	})
}

// The program may have children that are not of its making, if it was executed in a shell that had some. Their orphans are
// reaped, and not taken for those of a run.
func TestForeignChildren(t *testing.T) {
	seconds := uniqueSeconds()
	defer killHolders(seconds)
	gate := t.TempDir() + "/gate"
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, sh(`sh -c "env -i setsid sleep `+seconds+` & read x <`+gate+`" & exec "$@"`, self("host", "plain")...))
	strangers := func(parent int) bool {
		return slices.ContainsFunc(holders(seconds), func(q Proc) bool { return q.Name == "sleep" && q.Parent == parent })
	}
	p.do(t, "start true")
	p.out.prefix(t, "over")
	write(t, gate, "go\n", 0)
	eventually(t, "the stranger is the program's orphan", func() bool { return strangers(p.pid) })
	p.do(t, "start sleep 0.01")
	p.out.prefix(t, "over")
	p.do(t, "close")
	p.out.want(t, "closed <nil>")
	if got := countName(holders(seconds), "sleep"); got != 1 {
		t.Errorf("the stranger: got %d, want 1", got)
	}
}

// The guardian does not mind signals that were meant for all, and another takes the place of one that was killed, though it
// had just been started and nothing else happens.
func TestGuardianLives(t *testing.T) {
	word := token(t)
	defer killHolders(word)
	p := newProgram(t, "plain", "W="+word)
	p.do(t, "start setsid sleep 1000 & sleep 1000")
	first := guardianOf(t, p)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
		unix.Kill(first, sig)
	}
	if again := guardianOf(t, p); again != first {
		t.Errorf("a polite signal ended it: was %d, is %d", first, again)
	}
	unix.Kill(first, unix.SIGKILL)
	second := first
	eventually(t, "another guardian", func() bool {
		p.do(t, "guardian")
		second = p.number(t, "guardian")
		return second != first && second != 0 && catches2(second)
	})
	eventually(t, "all sleep", func() bool { return countName(holders(word), "sleep") == 2 })
	unix.Kill(p.pid, unix.SIGKILL)
	eventually(t, "nothing is left", func() bool { return countName(holders(word), "sleep") == 0 })
}

// A guardian that is stopped does not hold up its host.
func TestGuardianStopped(t *testing.T) {
	h := newTestHost(t, Options{Guardian: true, NoCgroup: true})
	tree := start(t, h, Spec{Argv: []string{"true"}})
	next(t, h, tree, Over)
	pid := 0
	h.do(func() { pid = h.guardian.pid })
	unix.Kill(pid, unix.SIGSTOP)
	filler := make([]string, 1)
	filler[0] = strings.Repeat("x", 4096)
	h.do(func() {
		for range 64 {
			h.guardian.tell(filler...)
			h.guardian.flush()
		}
	})
	tree = start(t, h, Spec{Argv: []string{"true"}})
	next(t, h, tree, Over)
	unix.Kill(pid, unix.SIGCONT)
}

// What processes left on purpose needed is cleared away by the next flinch, once they are gone.
func TestOldCgroups(t *testing.T) {
	needCgroup(t)
	word := token(t)
	p := newProgram(t, "cgroup", "W="+word)
	p.do(t, "keep sleep 1000 & exit")
	p.out.prefix(t, "over")
	p.do(t, "close")
	p.out.prefix(t, "closed")
	p.cmd.Wait()
	if dirs := cgroupsOf(t, p.pid); len(dirs) != 1 {
		t.Errorf("got %q, want that of the process left on purpose", dirs)
	}
	closeHost(t, newHostNow(t))
	if dirs := cgroupsOf(t, p.pid); len(dirs) != 1 {
		t.Errorf("got %q, want that of the process left on purpose", dirs)
	}
	killHolders(word)
	eventually(t, "another flinch cleared away", func() bool {
		closeHost(t, newHostNow(t))
		return len(cgroupsOf(t, p.pid)) == 0
	})
}

func newHostNow(t *testing.T) *Host {
	t.Helper()
	h, err := NewHost(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}
