package process

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// console is a program with a Host on a terminal of its own. Commands go through descriptor 3: the terminal's input is free
// for its runs.
type console struct {
	*program
	master *os.File
}

// newConsole starts one; action is "host", or "background" for one that is not in the foreground of its terminal.
func newConsole(t *testing.T, action string) *console {
	t.Helper()
	master, slave := openPTY(t)
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	argv := self(action, "plain", "3")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = slave, slave, slave, []*os.File{inR}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	inR.Close()
	c := &console{program: &program{cmd: cmd, in: inW, out: newLines(master)}, master: master}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); inW.Close(); master.Close() })
	c.pid = c.number(t, "host")
	return c
}

// openPTY opens a terminal whose master has deadlines.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	m, slave, err := pty.Open()
	if err != nil {
		t.Skipf("no terminal here: %v", err)
	}
	defer m.Close()
	fd, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "terminal"), slave
}

func (c *console) write(t *testing.T, text string) {
	t.Helper()
	if _, err := c.master.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// control asks the terminal something; File.Fd would make its reads blocking, without a deadline.
func (c *console) control(t *testing.T, ask func(fd int) error) {
	t.Helper()
	conn, err := c.master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := conn.Control(func(fd uintptr) { err = ask(int(fd)) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
}

func (c *console) modes(t *testing.T) (modes unix.Termios) {
	t.Helper()
	c.control(t, func(fd int) error {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			modes = *got
		}
		return err
	})
	return modes
}

func (c *console) foreground(t *testing.T) (group int) {
	t.Helper()
	c.control(t, func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return group
}

// startJob starts a run and returns its pid.
func (c *console) startJob(t *testing.T, kind, script string) int {
	t.Helper()
	c.do(t, kind+" "+script)
	return c.number(t, "started")
}

// What is typed reaches the foreground job, and after it the next one.
func TestJobReads(t *testing.T) {
	c := newConsole(t, "host")
	for i := range 3 {
		pid := c.startJob(t, "job", "echo ask; read x; echo got:$x")
		c.out.want(t, "ask")
		if got := c.foreground(t); got != pid {
			t.Errorf("foreground: got %d, want %d", got, pid)
		}
		c.write(t, fmt.Sprintf("word%d\n", i))
		c.out.want(t, fmt.Sprintf("got:word%d", i))
		c.out.prefix(t, "over")
		if got := c.foreground(t); got != c.pid {
			t.Errorf("foreground afterwards: got %d, want %d", got, c.pid)
		}
	}
}

// A run may change the modes of the terminal; when it is over they are as before, however it ended.
func TestModesRestored(t *testing.T) {
	c := newConsole(t, "host")
	before := c.modes(t)
	raw := strings.Join(self("raw"), " ")
	const changed = "stty raw -echo; stty -a | grep -qe '-echo ' && echo changed"
	for _, run := range []struct{ kind, script, proof string }{
		{"job", changed, "changed"},
		{"job", "(setsid sleep 1000 &); " + changed, "changed"},
		{"job", "exec " + raw, "exited signal SIGKILL"},
		{"tty", changed, "changed"},
		{"tty", "exec " + raw, "exited signal SIGKILL"},
	} {
		c.startJob(t, run.kind, run.script)
		c.out.prefix(t, run.proof)
		c.out.prefix(t, "over")
		if got := c.modes(t); got != before {
			t.Errorf("%s %s: got %+v, want %+v", run.kind, run.script, got, before)
		}
	}
}

// A run on the terminal that is not the job has no controlling terminal: it may use the descriptor, and /dev/tty fails at once. It
// never stops.
func TestNoJobNeverStops(t *testing.T) {
	c := newConsole(t, "host")
	c.startJob(t, "tty", `stty -echo; stty echo; [ -t 1 ] && echo terminal; (: </dev/tty) 2>/dev/null || echo no tty`)
	c.out.want(t, "terminal")
	c.out.want(t, "no tty")
	c.out.prefix(t, "over")
}

// What was changed otherwise is as it was found after Close.
func TestCloseRestoresModes(t *testing.T) {
	c := newConsole(t, "host")
	before := c.modes(t)
	changed := before
	changed.Lflag &^= unix.ECHO
	c.control(t, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &changed) })
	c.startJob(t, "job", "sleep 1000")
	c.do(t, "close")
	c.out.prefix(t, "closed")
	if got := c.modes(t); got != before {
		t.Errorf("got %+v, want %+v", got, before)
	}
}

// Ctrl-C goes to the job, once, and not to the program.
func TestCtrlC(t *testing.T) {
	c := newConsole(t, "host")
	c.startJob(t, "job", "exec "+strings.Join(self("count"), " "))
	c.out.want(t, "up")
	c.write(t, "\x03")
	c.out.want(t, "^CSIGINT") // the terminal echoes it
	c.do(t, "stop 5s")
	c.out.prefix(t, "over")
	c.out.want(t, "SIGTERM")
	if slices.Contains(c.out.passed, "SIGINT") {
		t.Errorf("got another SIGINT: %q", c.out.passed)
	}
}

// Ctrl-Z stops the job, which is told; the program suspends the rest, and resumes all, and the job has the terminal again, in its
// own modes.
func TestCtrlZ(t *testing.T) {
	c := newConsole(t, "host")
	before := c.modes(t)
	pid := c.startJob(t, "job", "stty -echo; echo ask; read x; echo got:$x")
	c.out.want(t, "ask")
	c.write(t, "\x1a")
	if got := c.out.prefix(t, "stopped"); !strings.Contains(got, "SIGTSTP") {
		t.Errorf("got %q, want SIGTSTP", got)
	}
	c.do(t, "suspend")
	c.out.want(t, "ok suspend")
	if got := c.foreground(t); got != c.pid {
		t.Errorf("suspended: foreground %d, want %d", got, c.pid)
	}
	if got := c.modes(t); got != before {
		t.Errorf("suspended: got %+v, want %+v", got, before)
	}
	c.do(t, "resume")
	c.out.want(t, "ok resume")
	if got := c.foreground(t); got != pid {
		t.Errorf("resumed: foreground %d, want %d", got, pid)
	}
	if got := c.modes(t); got.Lflag&unix.ECHO != 0 {
		t.Error("resumed: the job's modes are not back")
	}
	c.write(t, "word\n")
	c.out.want(t, "got:word")
	c.out.prefix(t, "over")
	if got := c.modes(t); got != before {
		t.Errorf("afterwards: got %+v, want %+v", got, before)
	}
}

// A program in the background does not take the terminal for its job; that the job wants it is told.
func TestBackground(t *testing.T) {
	c := newConsole(t, "background")
	owner := c.foreground(t)
	if owner == c.pid {
		t.Fatal("the program is in the foreground")
	}
	c.startJob(t, "job", "read x </dev/tty; echo got:$x")
	if got := c.out.prefix(t, "stopped"); !strings.Contains(got, "SIGTTIN") {
		t.Errorf("got %q, want SIGTTIN", got)
	}
	if got := c.foreground(t); got != owner {
		t.Errorf("foreground: got %d, want %d", got, owner)
	}
	c.do(t, "kill")
	c.out.prefix(t, "over")
	if got := c.foreground(t); got != owner {
		t.Errorf("foreground afterwards: got %d, want %d", got, owner)
	}
}

// A run may have a terminal of its own.
func TestOwnTerminal(t *testing.T) {
	master, slave := openPTY(t)
	defer master.Close()
	h := newTestHost(t, Options{})
	tree := start(t, h, Spec{
		Argv: sh(`echo ask >/dev/tty; read x </dev/tty; echo got:$x`), Terminal: true,
		Stdin: slave, Stdout: slave, Stderr: slave,
	})
	slave.Close()
	out := newLines(master)
	out.want(t, "ask")
	if _, err := master.WriteString("word\n"); err != nil {
		t.Fatal(err)
	}
	out.want(t, "got:word")
	next(t, h, tree, Over)
}

func allInState(procs []Proc, state byte) bool {
	for _, p := range procs {
		if p.State != state {
			return false
		}
	}
	return len(procs) > 0
}

// Suspend reaches everybody, handlers or not; while suspended no time of grace passes.
func TestSuspend(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		script := `(setsid sleep 1000 &); trap : TSTP; (trap '' TERM; sleep 1000) & trap '' TERM; echo up; while :; do sleep 0.01; done`
		tree, out := output(t, h, Spec{Argv: sh(script)})
		out.want(t, "up")
		h.Suspend()
		eventually(t, "all are stopped", func() bool { return allInState(tree.Members(), 'T') })
		h.Resume()
		eventually(t, "they go on", func() bool { return !strings.Contains(states(tree.Members()), "T") })

		const grace, away = 200 * time.Millisecond, 400 * time.Millisecond
		began := time.Now()
		tree.Stop(unix.SIGTERM, grace)
		h.Suspend()
		<-time.After(away)
		h.Resume()
		next(t, h, tree, Killed, Stopped, Continued)
		if took := time.Since(began); took < grace+away {
			t.Errorf("killed after %v, want %v of grace and %v away", took, grace, away)
		}
		next(t, h, tree, Over)
	})
}

func states(procs []Proc) string {
	var list []string
	for _, p := range procs {
		list = append(list, p.Name+":"+string(p.State)+":"+strconv.Itoa(p.PID))
	}
	return strings.Join(list, " ")
}
