package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// initProcess runs flinch as PID 1 of a namespace of its own; pid is how it is known outside.
func initProcess(t *testing.T, args ...string) (s *service, pid int) {
	t.Helper()
	needs(t, "unshare")
	if err := exec.Command("unshare", "-fp", "--mount-proc", "true").Run(); err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	dir := project(t, map[string]string{"a.txt": "0"})
	s = &service{log: filepath.Join(t.TempDir(), "log"), file: filepath.Join(dir, "a.txt")}
	argv := append([]string{"-fp", "--mount-proc", "--kill-child", flinchPath}, append(args, s.log)...)
	s.session = prepare(t, dir, exec.Command("unshare", argv...))
	s.session.cmd.Stdout, s.session.cmd.Stderr = s.out, s.err
	s.begin()
	s.waitErr("ready")
	return s, s.flinch()
}

// As PID 1 flinch reaps the orphans of all others, restarts cleanly, passes the signal on, and exits with 128+15.
func TestInit(t *testing.T) {
	t.Parallel()
	exe := self(t, "serve", "")[0]
	s, pid := initProcess(t, "--service", "--stop-timeout", "400ms", "--", "sh", "-c", `for i in $(seq 20); do (setsid sleep 0.01 &) ; done; exec "$@" child=deaf-daemon stop=200ms`, "sh", exe, "serve")
	if !strings.Contains(content(fmt.Sprintf("/proc/%d/status", pid)), fmt.Sprintf("NSpid:\t%d\t1\n", pid)) {
		t.Fatalf("flinch (pid %d) is not PID 1 of a namespace", pid)
	}
	s.await("UP", 1)
	for i := range 3 {
		s.bump()
		s.await("UP", i+2)
	}
	s.assertAlone()
	eventually(t, "the orphans are reaped", func() bool { return len(childrenIn(pid, 'Z')) == 0 })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
	if code := s.cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit status %d, want 143", code)
	}
	if n := count(s.log, "END"); n != 4 {
		t.Errorf("%d graceful ends, want 4", n)
	}
	s.assertNothingLeft()
}
