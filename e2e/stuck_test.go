package e2e

import (
	"errors"
	"fmt"
	"os"
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
