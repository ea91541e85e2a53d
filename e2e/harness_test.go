// Package e2e runs the built flinch on real projects: real editors, real git,
// real servers, the real kernel. Nothing here knows flinch's insides.
package e2e

import (
	"bytes"
	"context"
	"flag"
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

// flinchPath is the binary under test: built once by TestMain, or the one that
// binaryEnv names.
var flinchPath string

const binaryEnv = "FLINCH_E2E_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helper(os.Args[1:]))
	}
	// A program with the race detector waits for a second at its end, which is no time to wait for helpers.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	waitMuch()
	if flinchPath = os.Getenv(binaryEnv); flinchPath != "" {
		return m.Run()
	}
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

// waitMuch lets more tests run at once than there are CPUs, unless -parallel says
// how many: most of their time is waiting.
func waitMuch() {
	const atOnce = "8"
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", atOnce)
	}
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

// readFrom takes in what r has until its end.
func (l *lines) readFrom(r io.Reader) (int64, error) { return io.Copy(l, r) }

func (l *lines) String() string { text, _ := l.snapshot(); return text }

// session is one flinch under test.
type session struct {
	t        *testing.T
	dir      string
	mark     string // in the environment of all its processes
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
	s := prepare(t, dir, exec.Command(flinchPath, args...))
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.err
	s.begin()
	return s
}

// prepare makes a session of a command that is flinch or leads to it.
func prepare(t *testing.T, dir string, cmd *exec.Cmd) *session {
	t.Helper()
	s := &session{t: t, dir: dir, cmd: cmd, out: newLines(), err: newLines(), done: make(chan struct{})}
	s.mark = fmt.Sprintf("%d-%d", os.Getpid(), now())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), helperEnv+"=1", markEnv+"="+s.mark, "NO_COLOR=1")
	cmd.WaitDelay = time.Second
	return s
}

// begin starts the session's command; it is ended with the test.
func (s *session) begin() {
	s.t.Helper()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	s.t.Cleanup(s.cleanup)
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
	s.endLeftovers()
	if strings.Contains(s.err.String(), "DATA RACE") || strings.Contains(s.err.String(), "panic: ") {
		s.t.Errorf("flinch is broken inside")
	}
	if s.t.Failed() {
		s.t.Logf("flinch's stderr:\n%s", tail(s.err.String()))
		s.t.Logf("flinch's stdout:\n%s", tail(s.out.String()))
	}
}

// endLeftovers kills what a failed test has left, so that it disturbs no other.
func (s *session) endLeftovers() {
	for _, p := range marked(s.mark) {
		if p.exe != flinchPath { // the guardian ends by itself
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// tail is the last part of a long text.
func tail(text string) string {
	const most = 8 << 10
	return text[max(0, len(text)-most):]
}

// waitErr waits until flinch's own words hold text.
func (s *session) waitErr(text string) { s.t.Helper(); s.wait(s.err, text) }

// waitOut waits until the commands' output holds text.
func (s *session) waitOut(text string) { s.t.Helper(); s.wait(s.out, text) }

func (s *session) wait(l *lines, text string) {
	s.t.Helper()
	deadline, done := time.After(patience), s.done
	for {
		got, more := l.snapshot()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-more:
		case <-done:
			done, deadline = nil, time.After(5*time.Second) // its last words may be on their way from a terminal
		case <-deadline:
			if done == nil {
				s.t.Fatalf("flinch ended (%v) without %q", s.cmd.ProcessState, text)
			}
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
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
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

// stamp returns a command line that logs the moment it starts (START) and,
// after the given time, the one it ends (END).
func stamp(t *testing.T, log string, runs time.Duration, opts ...string) []string {
	t.Helper()
	return self(t, "stamp", log, append([]string{"runs=" + runs.String()}, opts...)...)
}

// started are the monotonic times (ns) at which the logged command started.
func started(t *testing.T, log string) []int64 { t.Helper(); return stamps(t, log, "START") }

func stamps(t *testing.T, log, kind string) (times []int64) {
	t.Helper()
	for _, e := range entries(log, kind) {
		times = append(times, e.at)
	}
	slices.Sort(times)
	return times
}

// settled returns when flinch has nothing more to do about what has happened so far.
func (s *session) settled(text func() string) { s.t.Helper(); quiet(s.t, text) }

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
