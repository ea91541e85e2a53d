package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rules writes a config of tasks (NAME, shell script) and returns its folder.
func rules(t *testing.T, tasks ...[2]string) string {
	t.Helper()
	text := ""
	for _, task := range tasks {
		text += fmt.Sprintf("[task.%s]\nfiles = [\"a.txt\"]\nrun = '''%s'''\n", task[0], task[1])
	}
	return project(t, map[string]string{"a.txt": "0", "flinch.toml": text})
}

// A daemon that holds the standard output of a task holds up nothing: not the run's end, not the next one.
func TestDaemonHoldsOutput(t *testing.T) {
	t.Parallel()
	dir := rules(t, [2]string{"one", `echo said; setsid sleep 1000 & :`}, [2]string{"two", "true"})
	s := start(t, dir)
	for i := range 3 {
		eventually(t, "a run", func() bool { return strings.Count(s.err.String(), ": ok ") >= 2*(i+1) })
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i))
	}
	s.waitOut("said")
}

// What was written before the end is there in full and before the line of the end: without a
// newline, and much at once while a child lives on.
func TestLastWords(t *testing.T) {
	t.Parallel()
	for name, tasks := range map[string][][2]string{
		"one rule":  {{"one", `printf last; setsid sleep 1000 & head -c 60000 /dev/zero | tr '\0' x; printf end`}},
		"two rules": {{"one", `printf last; setsid sleep 1000 & head -c 60000 /dev/zero | tr '\0' x; printf end`}, {"two", "true"}},
	} {
		dir := rules(t, tasks...)
		s := prepare(t, dir, exec.Command(flinchPath))
		s.cmd.Stdout, s.cmd.Stderr = s.err, s.err // in the order in which they came
		s.begin()
		s.waitErr("ok rule=one")
		said, _, _ := strings.Cut(s.err.String(), "ok rule=one")
		if n := strings.Count(said, "x"); n < 60000 || !strings.Contains(said, "last") || !strings.Contains(said, "xend") {
			t.Errorf("%s: %d of 60000 bytes before the line of the end: ...%q", name, n, tail(said)[max(0, len(tail(said))-200):])
		}
	}
}

// Two rules that print without newlines: each prefix stands at the start of a line, no line mixes two rules.
func TestPrefixesStandAtLineStarts(t *testing.T) {
	t.Parallel()
	say := func(c string) string {
		return `for i in $(seq 40); do printf ` + strings.Repeat(c, 50) + `; sleep 0.01; printf '` + strings.Repeat(c, 50) + `\n'; done`
	}
	s := launch(t, rules(t, [2]string{"one", say("A")}, [2]string{"two", say("B")}), "--once")
	<-s.done
	for line := range strings.Lines(s.out.String()) {
		text := strings.TrimSuffix(line, "\n")
		if strings.Contains(text, "A") && strings.Contains(text, "B") || strings.Count(text, "one")+strings.Count(text, "two") != 1 {
			t.Errorf("a torn line: %q", text)
		}
	}
	for _, c := range []string{"A", "B"} {
		if n := strings.Count(s.out.String(), c); n != 40*100 {
			t.Errorf("%d %s, want 4000", n, c)
		}
	}
}

// A prompt without newline is shown while the program waits.
func TestPromptIsShown(t *testing.T) {
	t.Parallel()
	s := launch(t, rules(t, [2]string{"one", `printf 'name? '; sleep 1000`}, [2]string{"two", "true"}))
	s.waitOut("name? ")
}

// A line of ten megabytes, and bytes that are no text, pass through in full.
func TestLongLine(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	for _, tasks := range [][][2]string{
		{{"one", `head -c 10485760 /dev/zero | tr '\0' x; printf '\n\377\376\n'`}},
		{{"one", `head -c 10485760 /dev/zero | tr '\0' x; printf '\n\377\376\n'`}, {"two", "true"}},
	} {
		dir := rules(t, tasks...)
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		s := prepare(t, dir, exec.Command(flinchPath, "--once"))
		s.cmd.Stdout, s.cmd.Stderr = out, s.err
		s.begin()
		<-s.done
		data, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("x")); n != size || !bytes.Contains(data, []byte("\377\376")) {
			t.Errorf("%d rules: %d of %d bytes", len(tasks), n, size)
		}
	}
}

// pipe starts flinch with a pipe for its standard output.
func (s *session) pipe() *os.File {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	s.cmd.Stdout, s.cmd.Stderr = w, s.err
	s.begin()
	w.Close()
	return r
}

// The reader has gone (| head -1): everything is stopped, the exit status is 141.
func TestReaderHasGone(t *testing.T) {
	t.Parallel()
	for _, tasks := range [][][2]string{
		{{"one", "true"}, {"two", `while :; do echo word; sleep 0.01; done`}},
		{{"one", `while :; do echo word; sleep 0.01; done`}},
	} {
		s := prepare(t, rules(t, tasks...), exec.Command(flinchPath))
		r := s.pipe()
		if _, err := r.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		r.Close()
		if len(tasks) == 1 {
			// The one rule has the pipe itself; flinch learns of it by its own words only.
			s.cmd.Process.Signal(syscall.SIGTERM)
		}
		select {
		case <-s.done:
		case <-time.After(patience):
			t.Fatal("flinch goes on without a reader")
		}
		if code := s.cmd.ProcessState.ExitCode(); len(tasks) == 2 && code != 141 {
			t.Errorf("exit status %d, want 141", code)
		}
		s.assertNothingLeft()
	}
}

// A reader that is stuck may stop the commands, but not flinch: it reacts, restarts and ends.
func TestReaderIsStuck(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf(`
[service.loud]
files = ["b.txt"]
run = "yes"
[task.quiet]
files = ["a.txt"]
run = %s
`, toml(stamp(t, log, 0))))
	s := prepare(t, dir, exec.Command(flinchPath))
	s.pipe() // nobody reads
	eventually(t, "the first run", func() bool { return count(log, "END") == 1 })
	for i := range 3 {
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i))
		eventually(t, "a run though nobody reads", func() bool { return count(log, "END") == i+2 })
	}
	ws := s.end(syscall.SIGTERM).Sys().(syscall.WaitStatus)
	if ws.Signal() != syscall.SIGTERM {
		t.Errorf("flinch ended with %v", s.cmd.ProcessState)
	}
	s.assertNothingLeft()
}
