package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// service is a flinch that keeps one server running, with the log of the
// server and the file whose change restarts it.
type service struct {
	*session
	log, file string
	bumps     int
}

// serveWith starts flinch with a server; the server's options, and flinch's flags before it.
func serveWith(t *testing.T, flags []string, opts ...string) *service {
	t.Helper()
	return serveLine(t, flags, func(log string) []string { return self(t, "serve", log, opts...) })
}

// serveLine is serveWith, for a command line that is more than the server.
func serveLine(t *testing.T, flags []string, line func(log string) []string) *service {
	t.Helper()
	dir := project(t, map[string]string{"a.txt": "0"})
	s := &service{log: filepath.Join(t.TempDir(), "log"), file: filepath.Join(dir, "a.txt")}
	args := append([]string{"--service", "--stop-timeout", "400ms"}, flags...)
	s.session = start(t, dir, append(append(args, "--"), line(s.log)...)...)
	return s
}

// bump changes the watched file.
func (s *service) bump() (at int64) {
	s.t.Helper()
	s.bumps++
	at = now()
	write(s.t, s.file, strconv.Itoa(s.bumps))
	return at
}

// await waits until the log has so many lines of a kind, and returns the last.
func (s *service) await(kind string, n int) entry {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d times %s in the log", n, kind), func() bool { return count(s.log, kind) >= n })
	return entries(s.log, kind)[n-1]
}

// exactly waits until nothing more happens, and checks how many lines of a kind there are.
func (s *service) exactly(kind string, want int) {
	s.t.Helper()
	s.settled(func() string { return content(s.log) + s.err.String() })
	if got := count(s.log, kind); got != want {
		s.t.Errorf("%d times %s, want %d:\n%s", got, kind, want, content(s.log))
	}
}

// assertAlone checks that each server was alone when it started, and that none failed.
func (s *service) assertAlone() {
	s.t.Helper()
	for i, e := range entries(s.log, "OTHERS") {
		if e.text != "0" {
			s.t.Errorf("%s others lived when server %d started", e.text, i+1)
		}
	}
	for _, e := range entries(s.log, "FAILED") {
		s.t.Errorf("a server failed: %s", e.text)
	}
}

// Whatever a server leaves behind or ignores: the next one starts when nothing of it is
// left, and nothing is left at the end.
func TestNothingOutlivesItsRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		server []string
		port   bool
	}{
		{name: "a child in its group", server: []string{"child=group"}},
		{name: "a daemon in a session of its own", server: []string{"child=daemon"}},
		{name: "a child with a group of its own", server: []string{"child=apart"}},
		{name: "a child that ignores the signal", server: []string{"child=deaf"}},
		{name: "a daemon that ignores the signal", server: []string{"child=deaf-daemon"}},
		{name: "a daemon without environment", server: []string{"child=bare"}},
		{name: "children of several threads", server: []string{"child=threads"}},
		{name: "a server that ignores every signal", server: []string{"ignore"}, port: true},
		{name: "a server that stops slowly", server: []string{"stop=150ms"}, port: true},
		{name: "a leader that ends and leaves a child", server: []string{"child=group", "runs=1ms"}},
		{name: "a leader that ends, its child keeps the port", server: []string{"child=port", "runs=1ms"}, port: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.port {
				c.server = append(c.server, fmt.Sprintf("port=%d", freePort(t)))
			}
			s := serveWith(t, nil, c.server...)
			s.restartThrice()
			s.end(syscall.SIGTERM)
			assertDead(t, s.log)
			s.assertNothingLeft()
		})
	}
}

// restartThrice changes the file three times, each when the server before is up.
func (s *service) restartThrice() {
	s.t.Helper()
	s.await("UP", 1)
	for i := range 3 {
		s.bump()
		s.await("UP", i+2)
	}
	s.exactly("START", 4)
	s.assertAlone()
	if z := s.zombies(); len(z) > 0 {
		s.t.Errorf("zombies: %v", z)
	}
}

// A shell that dies at the signal is not the end of the run: its server is still stopping, and has the port.
func TestShellWrapperDiesFirst(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	s := serveLine(t, []string{"--stop-timeout", "5s"}, func(log string) []string {
		return []string{"sh", "-c", `true; "$@"; true`, "sh", self(t, "serve", log)[0], "serve", log, fmt.Sprintf("port=%d", port), "stop=500ms"}
	})
	s.restartThrice()
	if n := count(s.log, "END"); n != 3 {
		t.Errorf("%d graceful ends, want 3", n)
	}
}

// Two changes during a slow stop are one stop and one start, after the second change.
func TestTwoChangesDuringASlowStop(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{"--stop-timeout", "8s"}, "stop=1s", fmt.Sprintf("port=%d", freePort(t)))
	s.await("UP", 1)
	s.bump()
	s.await("SIG", 1)
	last := s.bump()
	up := s.await("UP", 2)
	s.exactly("START", 2)
	s.exactly("END", 1)
	s.assertAlone()
	if up.at < last {
		t.Error("the start is before the last change")
	}
}

// A stop that takes longer than anyone's hidden limit is given its time.
func TestStopIsGivenItsTime(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{"--stop-timeout", "20s"}, "stop=6s")
	s.await("UP", 1)
	s.bump()
	s.await("UP", 2)
	s.exactly("END", 1)
	s.assertAlone()
	s.waitErr("waiting for")
}

// What a shell string may be: assignments, cd, negation, subshells, and words with quotes.
func TestShellStrings(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`X=1 sh -c 'echo "x=$X"'`:             "x=1\n",
		`cd d && pwd | sed 's|.*/||'`:         "d\n",
		`! echo said | grep -q nothing; echo`: "\n",
		`(echo sub; exit 3)`:                  "sub\n",
		`echo 'a  b' "c  d" e\ f`:             "a  b c  d e f\n",
		`A=1; echo $A$A`:                      "11\n",
		`echo ~ | grep -c '~' || true`:        "0\n",
	} {
		dir := project(t, map[string]string{"d/keep": "", "a.txt": ""})
		s := launch(t, dir, "--once", "--", line)
		<-s.done
		if got := s.out.String(); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// kill -9 of flinch leaves nothing of a service, however it tries to get away.
func TestKillOfFlinchLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"group", "deaf", "daemon", "deaf-daemon", "apart", "threads"} {
		s := serveWith(t, nil, "child="+kind, "ignore")
		s.await("UP", 1)
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		<-s.done
		eventually(t, "the helpers are gone", func() bool { return len(s.helpers()) == 0 })
		t.Logf("%s: nothing left %v after the kill", kind, time.Since(killed).Round(time.Millisecond))
		s.assertNothingLeft()
	}
}

// The second process, which is there for that, costs little.
func TestGuardianIsSmall(t *testing.T) {
	t.Parallel()
	s := serveWith(t, nil)
	s.await("UP", 1)
	var kib int
	eventually(t, "the guardian is up", func() bool {
		for _, p := range childrenIn(s.cmd.Process.Pid, 'S') {
			status := content(fmt.Sprintf("/proc/%d/status", p.pid))
			if strings.HasPrefix(status, "Name:\tguard\n") {
				_, rest, _ := strings.Cut(status, "VmRSS:")
				kib, _ = strconv.Atoi(strings.Fields(rest)[0])
			}
		}
		return kib > 0
	})
	t.Logf("%d KiB", kib)
	if kib > 5000 {
		t.Errorf("the guardian has %d KiB, want at most 5 MB", kib)
	}
}

// Each of the signals that end flinch stops everything first; flinch then ends by it.
func TestSignalsEndEverything(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		s := serveWith(t, nil, "child=deaf-daemon", "stop=100ms")
		s.await("UP", 1)
		ws := s.end(sig).Sys().(syscall.WaitStatus)
		assertDead(t, s.log)
		if !ws.Signaled() || ws.Signal() != sig {
			t.Errorf("after %v flinch ended with %v", sig, s.cmd.ProcessState)
		}
		if count(s.log, "END") != 1 {
			t.Errorf("after %v the server was not given its time to stop", sig)
		}
		s.assertNothingLeft()
	}
}

// A second signal kills what the first one only asked.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{"--stop-timeout", "1h"}, "ignore", "child=deaf-daemon")
	s.await("UP", 1)
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.await("SIG", 1)
	ws := s.end(syscall.SIGINT).Sys().(syscall.WaitStatus)
	if !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("flinch ended with %v", s.cmd.ProcessState)
	}
	s.assertNothingLeft()
}

// A daemon that a task leaves on purpose is left alone and named once, what stays in its session is killed.
func TestTaskLeavesADaemon(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	log := filepath.Join(t.TempDir(), "log")
	s := start(t, dir, append([]string{"-v", "--"}, stamp(t, log, 0, "child=daemon")...)...)
	eventually(t, "the run", func() bool { return count(log, "END") == 1 })
	write(t, filepath.Join(dir, "a.txt"), "1")
	eventually(t, "the next run", func() bool { return count(log, "END") == 2 })
	s.settled(func() string { return content(log) + s.err.String() })
	s.end(syscall.SIGTERM)
	for _, c := range entries(log, "CHILD") {
		pid, _ := strconv.Atoi(c.text)
		if !alive(pid) {
			t.Errorf("the daemon %d was killed", pid)
		}
		if n := strings.Count(s.err.String(), "pid "+c.text); n != 1 {
			t.Errorf("the daemon %d is named %d times, want once", pid, n)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// What a task leaves in its own session is killed when the task has ended; with keep it is not.
func TestTaskLeavesAChild(t *testing.T) {
	t.Parallel()
	for policy, lives := range map[string]bool{"session": false, "kill": false, "keep": true} {
		dir := project(t, map[string]string{"a.txt": "0"})
		log := filepath.Join(t.TempDir(), "log")
		s := start(t, dir, append([]string{"--leftovers", policy, "--"}, stamp(t, log, 0, "child=deaf")...)...)
		eventually(t, "the run", func() bool { return count(log, "END") == 1 })
		s.waitErr(": ok ")
		pid, _ := strconv.Atoi(entries(log, "CHILD")[0].text)
		if alive(pid) != lives {
			t.Errorf("%s: the child's life is %t after the run was over", policy, alive(pid))
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Thirty restarts with a daemon each: no zombie, no one left.
func TestNoZombies(t *testing.T) {
	t.Parallel()
	s := serveWith(t, nil, "child=daemon")
	s.await("UP", 1)
	for i := range 30 {
		s.bump()
		s.await("UP", i+2)
		if z := s.zombies(); len(z) > 1 { // one may be on its way to be reaped
			t.Fatalf("zombies after %d restarts: %v", i+1, z)
		}
	}
	eventually(t, "no zombies", func() bool { return len(s.zombies()) == 0 })
	s.assertAlone()
	if n := len(s.helpers()); n != 2 {
		t.Errorf("%d helpers live, want a server and its child", n)
	}
}

// A child starts with the signals as flinch found them (under nohup, or in the background of a script), and with no descriptor of flinch's.
func TestChildrenInheritNothing(t *testing.T) {
	t.Parallel()
	dir := project(t, nil)
	const signals, files = `grep -E '^Sig(Blk|Ign)' /proc/self/status`, `ls /proc/self/fd | tr '\n' ' '`
	for _, trap := range []string{"", "trap '' HUP;", "trap '' INT;", "trap '' INT HUP;"} {
		s := prepare(t, dir, exec.Command("bash", "-c", trap+` exec "$@"`, "bash", flinchPath, "--once", "--", "bash", "-c", signals+";"+files))
		s.cmd.Stdout, s.cmd.Stderr = s.out, s.err
		s.begin()
		<-s.done
		want := sh(t, dir, `exec bash -c "$1"`, trap+signals) + "0 1 2 3 " // 3 is the folder that ls reads
		if got := s.out.String(); got != want {
			t.Errorf("flinch's child has\n%s\nwant\n%s", got, want)
		}
	}
}
