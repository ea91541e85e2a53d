// Package e2e runs the built flinch on real projects: real editors, real git,
// real servers, the real kernel. Nothing here knows flinch's insides.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. Generous: it is only
// spent by a test that fails.
const patience = 30 * time.Second

// flinchPath is the binary under test, built once by TestMain.
var flinchPath string

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper(os.Args[1:]))
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "flinch-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	flinchPath = filepath.Join(dir, "flinch")
	build := exec.Command("go", "build", "-o", flinchPath, "github.com/flinch-run/flinch/cmd/flinch")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build flinch: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// lines collects what a process writes and wakes those who wait for a text.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newLines() *lines { return &lines{more: make(chan struct{})} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	close(l.more)
	l.more = make(chan struct{})
	return len(p), nil
}

func (l *lines) snapshot() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.more
}

func (l *lines) String() string { text, _ := l.snapshot(); return text }

// session is one flinch under test.
type session struct {
	t        *testing.T
	dir      string
	cmd      *exec.Cmd
	out, err *lines
	done     chan struct{} // closed when flinch has ended
}

// start runs flinch in dir and waits until it says that it is ready.
func start(t *testing.T, dir string, args ...string) *session {
	t.Helper()
	s := launch(t, dir, args...)
	s.waitErr("ready")
	return s
}

// launch runs flinch in dir and does not wait for anything.
func launch(t *testing.T, dir string, args ...string) *session {
	t.Helper()
	s := &session{t: t, dir: dir, out: newLines(), err: newLines(), done: make(chan struct{})}
	s.cmd = exec.Command(flinchPath, args...)
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.err
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	t.Cleanup(s.cleanup)
	return s
}

func (s *session) cleanup() {
	select {
	case <-s.done:
	default:
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(patience):
			_ = s.cmd.Process.Kill()
			s.t.Errorf("flinch did not end within %v of SIGTERM", patience)
		}
	}
	if s.t.Failed() {
		s.t.Logf("flinch's stderr:\n%s", s.err)
		s.t.Logf("flinch's stdout:\n%s", s.out)
	}
}

// waitErr waits until flinch's own words hold text.
func (s *session) waitErr(text string) { s.t.Helper(); s.wait(s.err, text) }

// waitOut waits until the commands' output holds text.
func (s *session) waitOut(text string) { s.t.Helper(); s.wait(s.out, text) }

func (s *session) wait(l *lines, text string) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		got, more := l.snapshot()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-more:
		case <-s.done:
			if !strings.Contains(l.String(), text) {
				s.t.Fatalf("flinch ended (%v) without %q", s.cmd.ProcessState, text)
			}
			return
		case <-deadline:
			s.t.Fatalf("no %q within %v", text, patience)
		}
	}
}

// end sends sig and returns flinch's state at its end.
func (s *session) end(sig syscall.Signal) *os.ProcessState {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatalf("flinch did not end within %v of %v", patience, sig)
	}
	return s.cmd.ProcessState
}

// eventually waits until ok; poll is for what nobody announces (a file, a port).
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// project makes a folder from "path: content" pairs. It is not below /tmp,
// where editors behave differently (vim and Emacs keep no backups there).
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	base := "/var/tmp"
	if cache, err := os.UserCacheDir(); err == nil && os.MkdirAll(cache, 0o755) == nil {
		base = cache
	}
	dir, err := os.MkdirTemp(base, "flinch-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return dir
}

// write makes the file and its folders.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sh runs a script in dir and fails the test where it fails.
func sh(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-ec", script, "sh"}, args...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an editor must not find a terminal to wait for
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// needs skips the test where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

// helperEnv makes the test binary a helper command: what it does is its first word.
const helperEnv = "FLINCH_E2E_HELPER"

// stamp returns a command line that appends "START MONOTONIC-NS ARGS..." to log the moment it starts
// and "END ..." after the given time.
func stamp(t *testing.T, log string, runs time.Duration, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"env", helperEnv + "=1", self, "stamp", log, runs.String()}, args...)
}

func helper(args []string) int {
	if len(args) < 3 || args[0] != "stamp" {
		fmt.Fprintf(os.Stderr, "helper: unknown command %q\n", args)
		return 2
	}
	runs, err := time.ParseDuration(args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	appendLine(args[1], fmt.Sprintf("START %d %s", now(), strings.Join(args[3:], " ")))
	time.Sleep(runs) // the work of a slow command
	appendLine(args[1], fmt.Sprintf("END %d", now()))
	return 0
}

func appendLine(path, line string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	_, _ = io.WriteString(f, line+"\n")
}

// started are the monotonic times (ns) at which the stamped command started.
func started(t *testing.T, log string) []int64 {
	t.Helper()
	return stamps(t, log, "START")
}

func stamps(t *testing.T, log, kind string) []int64 {
	t.Helper()
	f, err := os.Open(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var times []int64
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var what string
		var at int64
		if n, _ := fmt.Sscan(scan.Text(), &what, &at); n == 2 && what == kind {
			times = append(times, at)
		}
	}
	slices.Sort(times)
	return times
}

// quiet returns once text has not grown for a while: nothing can announce
// that no further run will come, so the absence is given this much time.
func quiet(t *testing.T, text func() string) string {
	t.Helper()
	const calm = 700 * time.Millisecond
	last, since := text(), time.Now()
	eventually(t, "quiet", func() bool {
		if now := text(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > calm
	})
	return last
}

// content is what the file holds, empty while it does not exist.
func content(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}
