package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace is the command line of a program in a new PID namespace with a /proc of its own.
func inNamespace(t *testing.T, argv []string) []string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a PID namespace")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("needs unshare")
	}
	line := append([]string{"unshare", "-fp", "--mount-proc", "--kill-child=KILL"}, argv...)
	if text, err := exec.Command(line[0], append(line[1:4:4], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no PID namespace here: %v %s", err, text)
	}
	return line
}

// As PID 1 there is no guardian, everything is reaped, orphans of strangers are not killed before the end, and Close leaves
// an empty namespace: those who mind SIGTERM have had their time.
func TestFirstProcess(t *testing.T) {
	hows(t, func(t *testing.T, how string) {
		p := launch(t, inNamespace(t, self("host", how)))
		if p.pid != 1 {
			t.Fatalf("got pid %d, want 1", p.pid)
		}
		p.do(t, "start true")
		p.out.prefix(t, "over")
		p.do(t, "guardian")
		p.out.want(t, "no guardian")
		for range 20 {
			p.do(t, "start (true &); (setsid true &); (setsid sleep 1000 &); sleep 0.01")
			p.out.prefix(t, "over")
		}
		noZombies(t, p)
		stranger(t, p, `(setsid env -u FLINCH_MARK sh -c 'trap "echo asked; exit" TERM; echo stranger; while :; do sleep 0.01; done' &)`)
		p.out.want(t, "stranger")
		p.do(t, "start sleep 0.05")
		p.out.prefix(t, "over")
		noZombies(t, p)
		began := time.Now()
		p.do(t, "close")
		p.out.want(t, "asked")
		p.out.want(t, "closed <nil>")
		if took := time.Since(began); took > deadline/2 {
			t.Errorf("took %v", took)
		}
		p.cmd.Wait()
	})
}

// noZombies waits until there is none: one that just ended takes a moment.
func noZombies(t *testing.T, p *program) {
	t.Helper()
	eventually(t, "no zombies", func() bool {
		p.do(t, "zombies")
		return p.number(t, "zombies") == 0
	})
}

// stranger starts a command in the namespace that is not a run, as "docker exec" does. It becomes an orphan at once.
func stranger(t *testing.T, p *program, script string) {
	t.Helper()
	init := 0
	for _, c := range childrenOf(p.cmd.Process.Pid) {
		init = c
	}
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(init), "-p", "-m", "sh", "-c", script)
	cmd.Stdout, cmd.Env = p.stdout, []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Run(); err != nil {
		t.Skipf("nsenter: %v", err)
	}
}

// In a namespace with few pids, that of a leader is soon a stranger's. Nothing that ends the run, or had ended it, hits him.
func TestPIDReuse(t *testing.T) {
	p := launch(t, inNamespace(t, self("reuse")))
	if line := p.out.prefix(t, "reuse: "); !strings.Contains(line, "skipped") {
		if line != "reuse: fine" {
			t.Error(line)
		}
	} else {
		t.Skip(line)
	}
	p.cmd.Wait()
}

// reuse is the program of TestPIDReuse: PID 1 of its namespace.
func reuse([]string) int {
	say("host", os.Getpid())
	if err := smallPIDs(); err != nil {
		say("reuse: skipped:", err)
		return 0
	}
	say("reuse: " + reuseRuns())
	return 0
}

// smallPIDs makes the namespace small, if the kernel keeps the limit by namespace (since 6.14): others must not feel it.
func smallPIDs() error {
	var version unix.Utsname
	if err := unix.Uname(&version); err != nil {
		return err
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(version.Release[:]), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 14 {
		return fmt.Errorf("pid_max is the whole machine's before Linux 6.14")
	}
	return os.WriteFile("/proc/sys/kernel/pid_max", []byte("400"), 0o644)
}

func reuseRuns() string {
	h, err := NewHost(Options{NoCgroup: true})
	if err != nil {
		return err.Error()
	}
	go func() {
		for range h.Events() {
		}
	}()
	// The kernel does not give pids below 300 a second time.
	for pid := 0; pid < 310; {
		t, err := h.Start(Spec{Argv: []string{"true"}})
		if err != nil {
			return err.Error()
		}
		pid = t.PID()
	}
	// One run that is over, and one whose leader is gone and of which a member in another session has its grace.
	gone, err := h.Start(Spec{Argv: []string{"true"}})
	if err != nil {
		return err.Error()
	}
	stopping, err := h.Start(Spec{Argv: sh("(trap '' TERM; exec setsid sleep 1000) & sleep 1000")})
	if err != nil {
		return err.Error()
	}
	for countName(stopping.Members(), "sleep") != 2 {
		time.Sleep(time.Millisecond)
	}
	stopping.Stop(unix.SIGTERM, time.Hour)
	for exists(procPath(stopping.PID(), "stat")) {
		time.Sleep(time.Millisecond)
	}
	strangers := map[int]*Tree{}
	for len(strangers) < 2 {
		s, err := h.Start(Spec{Argv: []string{"sleep", "1000"}})
		if err != nil {
			return err.Error()
		}
		if s.PID() == gone.PID() || s.PID() == stopping.PID() {
			strangers[s.PID()] = s
		} else {
			s.Kill()
		}
	}
	gone.Stop(unix.SIGTERM, time.Second)
	gone.Kill()
	gone.Signal(unix.SIGKILL)
	gone.SignalLeader(unix.SIGKILL)
	stopping.SignalLeader(unix.SIGKILL)
	stopping.Signal(unix.SIGTERM)
	stopping.Kill()
	for len(stopping.Members()) != 0 {
		time.Sleep(time.Millisecond)
	}
	for pid, s := range strangers {
		// A signal that was sent before would come before this one.
		s.SignalLeader(unix.SIGSTOP)
		for state := byte('S'); state != 'T'; {
			p, ok := readProc(pid)
			if !ok || !p.alive() {
				return fmt.Sprintf("a stranger with pid %d was killed", pid)
			}
			state = p.State
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		return err.Error()
	}
	return "fine"
}
