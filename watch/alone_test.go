package watch

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// alone tells whether this is the process in which the test shall run: one of its own, started as change says. Elsewhere it
// starts that process, reports what it says, and tells false.
func alone(t *testing.T, change func(*exec.Cmd) error) bool {
	t.Helper()
	const mark = "WATCH_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	var out []byte
	var err error
	ended := make(chan struct{})
	go func() { // on a thread that ends with it: what change does to the thread goes on to the child only
		defer close(ended)
		runtime.LockOSThread()
		if err = change(cmd); err == nil {
			out, err = cmd.CombinedOutput()
		}
	}()
	<-ended
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("not to be had here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Skipf("%s", out)
	}
	return false
}

// humble tells whether this is a process that may not read what it is not permitted to, as root may.
func humble(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	return alone(t, func(*exec.Cmd) error {
		for _, c := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// secluded tells whether this is a process in user and mount namespaces of its own, where limits can be lowered and
// filesystems mounted without anybody else noticing, as root or not.
func secluded(t *testing.T) bool {
	t.Helper()
	return alone(t, func(cmd *exec.Cmd) error {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		return nil
	})
}
