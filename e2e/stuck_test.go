package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server that even SIGKILL does not end, as in the middle of a call to a dead file server: it is said what it waits for, no other is
// started beside it, and flinch ends all the same. (A frozen process of the old freezer is such a one.)
func TestServerThatCannotBeKilled(t *testing.T) {
	thaw, freeze := freezer(t)
	s := serveWith(t, nil)
	pid := s.await("START", 1).pid
	freeze(pid)
	s.bump()
	s.waitErr("still there after SIGKILL: ")
	if got, want := s.err.String(), fmt.Sprintf("(pid %d), state D, waits in ", pid); !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
	before := len(s.err.String())
	began := time.Now()
	if state := s.end(syscall.SIGTERM); state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("flinch: %v, want SIGTERM", state)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("flinch took %v to end", took)
	}
	if got := s.err.String()[before:]; !strings.Contains(got, strconv.Itoa(pid)) {
		t.Errorf("the last words do not name %d: %s", pid, got)
	}
	if n := count(s.log, "START"); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	thaw()
	s.assertNothingLeft()
}

// freezer makes a place where processes can be frozen.
func freezer(t *testing.T) (thaw func(), freeze func(pid int)) {
	t.Helper()
	const root = "/sys/fs/cgroup/freezer"
	if _, err := os.Stat(root + "/cgroup.procs"); err != nil || os.Getuid() != 0 {
		t.Skip("needs the freezer of cgroup v1, and root")
	}
	dir := filepath.Join(root, fmt.Sprintf("flinch-e2e-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	set := func(file, value string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}
	thaw = func() { set("freezer.state", "THAWED") }
	t.Cleanup(func() {
		thaw()
		eventually(t, "the freezer is empty", func() bool { return os.Remove(dir) == nil })
	})
	return thaw, func(pid int) {
		set("cgroup.procs", strconv.Itoa(pid))
		set("freezer.state", "FROZEN")
		eventually(t, "it is frozen", func() bool {
			return strings.TrimSpace(content(filepath.Join(dir, "freezer.state"))) == "FROZEN"
		})
	}
}

// A program on a file system that does not answer holds up neither the other rules nor the end of flinch.
func TestProgramThatCannotBeRead(t *testing.T) {
	needs(t, "bindfs")
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("needs FUSE, and root")
	}
	silent := filepath.Join(silentFolder(t), "program")
	log := filepath.Join(t.TempDir(), "log")
	dir := project(t, map[string]string{"a.txt": "0", "flinch.toml": fmt.Sprintf("[service.a]\nrun = [%q]\nfiles = [\"x\"]\n"+
		"[service.b]\nrun = %s\nfiles = [\"a.txt\"]\n", silent, toml(self(t, "serve", log)))})
	s := &service{session: start(t, dir), log: log, file: filepath.Join(dir, "a.txt")}
	s.await("UP", 1) // it may have had to wait for the other
	for i := range 2 {
		s.bump()
		s.await("UP", i+2)
	}
	s.waitErr("its file could not be read")
	began := time.Now()
	s.end(syscall.SIGTERM)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("flinch took %v to end", took)
	}
	s.assertNothingLeft()
}

// silentFolder has a program in it, and does not answer to anybody who wants to read it.
func silentFolder(t *testing.T) string {
	t.Helper()
	from, to := t.TempDir(), t.TempDir()
	sh(t, from, "cp /bin/sleep program")
	cmd := exec.Command("bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0,direct_io", from, to)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM) // it unmounts
		_ = cmd.Wait()
	})
	eventually(t, "it is mounted", func() bool { _, err := os.Stat(filepath.Join(to, "program")); return err == nil })
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is silent", func() bool { p, ok := readProc(cmd.Process.Pid); return ok && p.state == 'T' })
	return to
}
