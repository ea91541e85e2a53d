package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a session on a terminal of its own; all that is shown is in err.
type terminal struct {
	*session
	tty *os.File
}

// onTerminal runs a command, flinch by default, as the foreground job of a new terminal.
func onTerminal(t *testing.T, dir string, argv ...string) *terminal {
	t.Helper()
	s := prepare(t, dir, exec.Command(argv[0], argv[1:]...))
	tty, err := pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(int(tty.Fd()), true); err != nil { // so that Close does not wait for the reader
		t.Fatal(err)
	}
	go func() { _, _ = s.err.readFrom(tty) }()
	go func() { _ = s.cmd.Wait(); close(s.done) }()
	t.Cleanup(func() { s.cleanup(); tty.Close() })
	return &terminal{s, tty}
}

// press types.
func (s *terminal) press(keys string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// modes are the terminal's settings.
func (s *terminal) modes() (modes *unix.Termios) {
	s.t.Helper()
	raw, err := s.tty.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { modes, err = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
	}
	if err != nil || modes == nil {
		s.t.Fatalf("the terminal's modes: %v", err)
	}
	return modes
}

// ended waits for the end and returns how it was.
func (s *terminal) ended() syscall.WaitStatus {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("flinch goes on")
	}
	return s.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// serverOnTerminal is a terminal with a server in it.
func serverOnTerminal(t *testing.T, flags []string, opts ...string) (*terminal, *service) {
	t.Helper()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	s := onTerminal(t, dir, append(append([]string{flinchPath, "--service"}, flags...), append([]string{"--"}, self(t, "serve", log, opts...)...)...)...)
	server := &service{session: s.session, log: log, file: filepath.Join(dir, "a.txt")}
	server.await("UP", 1)
	return s, server
}

// One Ctrl-C is one signal to each process, which has its time to end; flinch then ends by SIGINT.
func TestOneInterruptIsOneSignal(t *testing.T) {
	t.Parallel()
	s, server := serverOnTerminal(t, nil, "stop=300ms")
	s.press("\x03")
	if ws := s.ended(); ws.Signal() != syscall.SIGINT {
		t.Errorf("flinch ended with %v", s.cmd.ProcessState)
	}
	if n, ends := count(server.log, "SIG"), count(server.log, "END"); n != 1 || ends != 1 {
		t.Errorf("%d signals and %d ends, want one each", n, ends)
	}
	s.assertNothingLeft()
}

// A second Ctrl-C kills what the first one could not end.
func TestSecondInterruptKills(t *testing.T) {
	t.Parallel()
	s, server := serverOnTerminal(t, []string{"--stop-timeout", "1h"}, "ignore", "child=deaf-daemon")
	s.press("\x03")
	server.await("SIG", 1)
	s.press("\x03")
	if ws := s.ended(); ws.Signal() != syscall.SIGINT {
		t.Errorf("flinch ended with %v", s.cmd.ProcessState)
	}
	s.assertNothingLeft()
}

// The terminal is closed: everything is stopped.
func TestTerminalIsClosed(t *testing.T) {
	t.Parallel()
	s, _ := serverOnTerminal(t, []string{"--stop-timeout", "200ms"}, "child=deaf-daemon")
	s.tty.Close()
	s.ended()
	s.assertNothingLeft()
}

// Ctrl-Z stops flinch and its runs, fg continues them, and changes are answered again.
func TestSuspendAndContinue(t *testing.T) {
	t.Parallel()
	needs(t, "bash")
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	s := onTerminal(t, dir, "bash", "--norc", "--noprofile", "-i")
	s.press("PS1='shell> '; " + strings.Join(append([]string{flinchPath, "--service", "--"}, self(t, "serve", log)...), " ") + "\r")
	server := &service{session: s.session, log: log, file: filepath.Join(dir, "a.txt")}
	first := server.await("UP", 1)
	for i := range 2 {
		s.press("\x1a")
		states := func(want string) func() bool {
			return func() bool {
				p, ok := readProc(first.pid)
				f, up := readProc(s.flinch())
				return ok && up && strings.ContainsRune(want, rune(p.state)) && strings.ContainsRune(want, rune(f.state))
			}
		}
		eventually(t, "flinch and its server are stopped", states("T"))
		s.press("fg\r")
		eventually(t, "flinch and its server go on", states("SR"))
		server.bump()
		first = server.await("UP", i+2)
	}
	s.press("\x03")
	eventually(t, "flinch has ended", func() bool { return s.flinch() == 0 })
	if len(s.helpers()) > 0 {
		t.Error("the server is left")
	}
	s.press("exit 0\r")
	s.ended()
}

// flinch is the pid of flinch in the session, where it is not the session's own command; 0: none.
func (s *session) flinch() int {
	all := map[int]bool{}
	var list []proc
	for _, p := range marked(s.mark) {
		if p.exe == flinchPath {
			all[p.pid] = true
			list = append(list, p)
		}
	}
	for _, p := range list {
		if !all[p.parent] { // the guardian is flinch's child
			return p.pid
		}
	}
	return 0
}

// Keys: r runs again, p pauses and resumes, s shows, q ends with status 0 and gives the terminal back as it was.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	argv := append([]string{flinchPath, "-f", "a.txt", "--"}, stamp(t, log, 0)...)
	k := onTerminal(t, dir, append([]string{"bash", "-c", `"$@"; echo "left with $?"; stty -a`, "bash"}, argv...)...)
	runs := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d runs", n), func() bool { return count(log, "END") == n })
	}
	runs(1)
	k.waitErr(": ok ")
	k.press("r")
	runs(2)
	if e := entries(log, "START")[1]; !strings.HasPrefix(e.text, "restart") {
		t.Errorf("r runs for %s", e.text)
	}
	k.press("p")
	k.waitErr("paused")
	write(t, filepath.Join(dir, "a.txt"), "1")
	k.settled(func() string { return content(log) })
	runs(2)
	k.press("p")
	runs(3)
	k.press("s")
	k.waitErr("status")
	k.press("q")
	k.waitErr("left with 0")
	k.ended()
	if shown := k.err.String(); strings.Contains(shown, "-icanon") || strings.Contains(shown, "-echo ") {
		t.Error("the terminal is not as it was")
	}
}

// A command may use the terminal as it likes and be killed in the middle: it never stops silently,
// and the terminal is as it was after each run and in the end.
func TestTerminalOfTheCommand(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	s := onTerminal(t, dir, flinchPath, "--input", "terminal", "--", "sh", "-c", `echo begin; stty raw -echo; echo middle; kill -9 $$`)
	s.waitErr("SIGKILL")
	if m := s.modes(); m.Lflag&unix.ICANON == 0 || m.Lflag&unix.ECHO == 0 || m.Oflag&unix.OPOST == 0 {
		t.Errorf("after the run the terminal has lflag %#x", m.Lflag)
	}
	write(t, filepath.Join(dir, "a.txt"), "1")
	eventually(t, "a second run", func() bool { return strings.Count(s.err.String(), "SIGKILL") == 2 })
	s.end(syscall.SIGTERM)
	if m := s.modes(); m.Lflag&unix.ICANON == 0 || m.Lflag&unix.ECHO == 0 {
		t.Errorf("in the end the terminal has lflag %#x", m.Lflag)
	}
}

// A command that sets the terminal although it is not the foreground job goes on or fails; it never stops silently.
func TestCommandSetsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--service"}, {"--input", "terminal"}} {
		dir := project(t, map[string]string{"a.txt": "0"})
		s := onTerminal(t, dir, append(append([]string{flinchPath}, flags...), "--", "sh", "-c", `stty -echo </dev/tty; stty echo; echo "past it"; sleep 1000`)...)
		s.waitErr("past it")
	}
}

// What is typed reaches the one command that asked for it, the next run of it too.
func TestTypedInputReachesTheCommand(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	s := onTerminal(t, dir, flinchPath, "--service", "--input", "terminal", "--", "sh", "-c", `n=$(cat a.txt); echo "ask $n"; while read x; do echo "got $n $x"; done`)
	for i := range 3 {
		s.waitErr(fmt.Sprintf("ask %d", i))
		s.press(fmt.Sprintf("word%d\r", i))
		s.waitErr(fmt.Sprintf("got %d word%d", i, i))
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i+1))
	}
	s.waitErr("ask 3")
	s.press("\x03") // is the command's, which is started again
	eventually(t, "the command asks again", func() bool { return strings.Count(s.err.String(), "ask 3\r\n") == 2 })
	s.press("\x03")
	s.ended()
	s.assertNothingLeft()
}

// One rule has flinch's own terminal, several have one each, as wide as what is left beside the prefix.
func TestCommandsSeeATerminal(t *testing.T) {
	t.Parallel()
	const look = `exec 3>&1; test -t 1 && echo "yes $(stty size <&3)"`
	one := onTerminal(t, rules(t, [2]string{"one", look}), flinchPath)
	one.waitErr("yes 24 100")
	two := onTerminal(t, rules(t, [2]string{"one", look}, [2]string{"two", "true"}), flinchPath)
	two.waitErr("yes 24 ")
	_, size, _ := strings.Cut(two.err.String(), "yes 24 ")
	var columns int
	fmt.Sscan(size, &columns)
	if columns < 80 || columns >= 100 {
		t.Errorf("%d columns beside the prefix", columns)
	}
}

// A command with a terminal of its own is told when the window changes, and how wide it is then.
func TestWindowChanges(t *testing.T) {
	t.Parallel()
	const watch = `trap 'echo "now $(stty size <&3)"' WINCH; exec 3>&1; echo "at first $(stty size <&3)"; while :; do sleep 0.01; done`
	s := onTerminal(t, rules(t, [2]string{"one", watch}, [2]string{"two", "true"}), flinchPath)
	s.waitErr("at first 24 ")
	if err := pty.Setsize(s.tty, &pty.Winsize{Rows: 30, Cols: 90}); err != nil {
		t.Fatal(err)
	}
	s.waitErr("now 30 8")
}

// A command that was stopped by a signal is said to be so.
func TestStoppedCommandIsSaid(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	s := start(t, dir, "--stop-timeout", "200ms", "--", "sh", "-c", "kill -STOP $$")
	s.waitErr("stopped by")
	s.end(syscall.SIGTERM)
	s.assertNothingLeft()
}

// foreground is the group of the terminal's foreground job.
func (s *terminal) foreground() (group int) {
	s.t.Helper()
	raw, err := s.tty.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { group, err = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
	}
	if err != nil {
		s.t.Fatalf("the terminal's foreground job: %v", err)
	}
	return group
}

// In the background flinch goes on, whatever is typed into the shell; the shell's kill ends it; brought back, it obeys its keys.
func TestBackgroundJob(t *testing.T) {
	t.Parallel()
	needs(t, "bash")
	// What a run says is not what was typed.
	serve := func(word string) string {
		return flinchPath + fmt.Sprintf(` --service -- sh -c 'echo "%c""%s $(cat a.txt)"; exec sleep 1000'`, word[0], word[1:])
	}
	for name, begin := range map[string]func(s *terminal, word string){
		"started there": func(s *terminal, word string) {
			s.press(serve(word) + " &\r")
			s.waitErr("\n" + word + " ")
		},
		"sent there": func(s *terminal, word string) {
			s.press(serve(word) + "\r")
			s.waitErr("\n" + word + " ")
			s.press("\x1a")
			eventually(s.t, "flinch is stopped", func() bool { p, ok := readProc(s.flinch()); return ok && p.state == 'T' })
			s.press("bg\r")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"a.txt": "0"})
			s := onTerminal(t, dir, "bash", "--norc", "--noprofile", "-i")
			s.press("PS1='shell> '\r")
			begin(s, "first")
			for i := range 3 {
				s.press(fmt.Sprintf("echo typed $((%d+40))\r", i))
				s.waitErr(fmt.Sprintf("typed %d\r\n", i+40))
				write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i+1))
				s.waitErr(fmt.Sprintf("\nfirst %d\r\n", i+1))
			}
			s.press("fg\r")
			eventually(t, "flinch is in the foreground", func() bool { return s.foreground() == s.flinch() })
			s.press("q\r") // the shell has left the terminal reading lines
			eventually(t, "flinch has ended", func() bool { return s.flinch() == 0 })
			s.press("echo ended $?\r")
			s.waitErr("ended 0\r\n")
			begin(s, "second")
			s.press("kill %1\r")
			eventually(t, "flinch has ended", func() bool { return s.flinch() == 0 })
			s.press("exit 0\r")
			s.ended()
			s.assertNothingLeft()
		})
	}
}
