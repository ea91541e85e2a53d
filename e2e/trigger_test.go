package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Changes while a task runs are one more run after it, after the last of them.
func TestChangesWhileATaskRuns(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 900*time.Millisecond)...)...)
	var last int64
	for i := range 3 {
		last = now()
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i))
		eventually(t, "the first run", func() bool { return count(log, "START") > 0 })
		every(t, 250*time.Millisecond, 1, func(int) {})
	}
	eventually(t, "a second run", func() bool { return count(log, "END") == 2 })
	s.settled(func() string { return content(log) })
	kinds := ""
	for _, e := range entries(log) {
		kinds += e.kind + " "
	}
	if kinds != "START END START END " {
		t.Errorf("runs: %s", kinds)
	}
	if starts := started(t, log); starts[1] < last {
		t.Error("the second run started before the last change")
	}
}

// What is moved away and back while a task runs holds the same bytes, and the task may not have found it.
func TestAwayWhileATaskRuns(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"src/a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	start(t, dir, append([]string{"--no-start", "-f", "src/**", "--"}, stamp(t, log, 500*time.Millisecond)...)...)
	write(t, filepath.Join(dir, "src/a.txt"), "1")
	eventually(t, "the first run", func() bool { return count(log, "START") == 1 })
	last := now()
	sh(t, dir, "mv src away; mv away src")
	eventually(t, "a second run", func() bool { return count(log, "START") == 2 })
	if starts := started(t, log); starts[1] < last {
		t.Error("the second run started before the folder was back")
	}
}

// A change at any moment of a restart is never lost: the last start is after the
// last change, and there are no more starts than changes.
func TestChangeAtAnyMomentOfARestart(t *testing.T) {
	t.Parallel()
	s := serveWith(t, nil)
	s.await("UP", 1)
	random := rand.New(rand.NewPCG(1, 1))
	var last int64
	for range 100 {
		last = s.bump()
		every(t, time.Duration(1+random.IntN(25))*time.Millisecond, 1, func(int) {})
	}
	eventually(t, "a start after the last change", func() bool {
		starts := started(t, s.log)
		return starts[len(starts)-1] > last
	})
	s.settled(func() string { return content(s.log) })
	s.assertAlone()
	if n := count(s.log, "START"); n > 101 {
		t.Errorf("%d starts after 100 changes", n)
	}
}

// A task whose end was forced is started again once, not once more when the next one ends by itself.
func TestNoStartAfterAForcedEnd(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	script := `if [ -e ` + log + ` ]; then exec "$@"; fi; exec "$@" ignore runs=1h`
	s := start(t, dir, append([]string{"--busy", "restart", "--stop-timeout", "200ms", "--", "sh", "-c", script, "sh"}, self(t, "stamp", log)...)...)
	eventually(t, "the first run", func() bool { return count(log, "START") == 1 })
	write(t, filepath.Join(dir, "a.txt"), "1")
	eventually(t, "the second run", func() bool { return count(log, "END") == 1 })
	s.settled(func() string { return content(log) })
	if n := count(log, "START"); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

// Ten saves of a healthy server are ten restarts at once: none is taken for a crash.
func TestRequestedRestartsAreNoCrashes(t *testing.T) {
	t.Parallel()
	s := serveWith(t, nil)
	s.await("UP", 1)
	var slowest time.Duration
	for i := range 10 {
		every(t, 350*time.Millisecond, 1, func(int) {
			at := s.bump()
			slowest = max(slowest, time.Duration(s.await("START", i+2).at-at))
		})
	}
	s.exactly("START", 11)
	if words := s.err.String(); strings.Contains(words, "by itself") || strings.Contains(words, "failed") {
		t.Error("a requested restart was taken for a crash")
	}
	t.Logf("slowest start after a save: %v", slowest)
}

// A server that crashes is started again after growing waits, then held and left; a change starts it at any time.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{"-f", "a.txt"}, "runs=10ms", "exit=1")
	s.waitErr("held")
	s.exactly("START", 5)
	s.bump()
	if e := s.await("START", 6); !strings.HasPrefix(e.text, "change") {
		t.Errorf("the start after a change in held: %s", e.text)
	}
	s.await("START", 7)
	s.await("GONE", 7) // it waits again
	s.bump()
	eventually(t, "a start for the change during the wait", func() bool {
		starts := entries(s.log, "START")
		return strings.HasPrefix(starts[len(starts)-1].text, "change") && len(starts) > 7
	})
}

// A command or its folder that is missing is a failed run; the rule lives, and the next change finds it.
func TestMissingThenThere(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]struct{ flags, command []string }{
		"a task":    {nil, []string{"bin/tool"}},
		"a service": {[]string{"--service"}, []string{"bin/tool"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"a.txt": "0"})
			s := start(t, dir, append(append(append([]string{"-f", "a.txt"}, what.flags...), "--"), what.command...)...)
			s.waitErr("bin/tool")
			write(t, filepath.Join(dir, "bin/tool"), "#!/bin/sh\necho there; exec sleep 1000\n")
			if err := os.Chmod(filepath.Join(dir, "bin/tool"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "a.txt"), "1")
			s.waitOut("there")
		})
	}
}

// A program that somebody is still writing (ETXTBSY) is a failed run with that reason, or waited for a moment.
func TestProgramBeingWritten(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	tool := filepath.Join(t.TempDir(), "tool")
	exe, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(tool, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(exe); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir, "--", tool)
	s.waitErr("text file busy")
	f.Close()
	write(t, filepath.Join(dir, "a.txt"), "1")
	s.waitErr(": ok ")
}

// The signal policy: one signal for one change to the running one, a start where none runs,
// and a signal that comes before it is ready is delivered then.
func TestSignalPolicy(t *testing.T) {
	t.Parallel()
	s := serveWith(t, []string{"--busy", "signal:HUP"}, "child=group")
	first := s.await("UP", 1)
	for i := range 3 {
		s.bump()
		if got := s.await("SIG", i+1); got.text != "SIGHUP" || got.pid != first.pid {
			t.Errorf("got %s to %d, want SIGHUP to %d", got.text, got.pid, first.pid)
		}
		s.exactly("SIG", i+1)
	}
	s.exactly("START", 1)
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.waitErr("ended by itself")
	s.bump()
	s.await("UP", 2)
}

// A build that fails leaves the old server serving, untouched; the good one after it is one restart.
func TestFailedBuildKeepsTheServer(t *testing.T) {
	t.Parallel()
	s := buildAndServe(t, `cp src.txt bin`, `files = ["src.txt"]`, ``)
	s.await("UP", 1)
	first := entries(s.log, "START")[0].pid
	s.save("broken")
	s.waitErr("failed")
	s.exactly("START", 1)
	if !alive(first) {
		t.Error("the old server is gone after a build that failed")
	}
	s.save("2")
	s.await("UP", 2)
	s.exactly("START", 2)
	s.assertAlone()
}

// The server watches the sources and what the build makes of them: a save is one restart, never of a stale build.
func TestBuildOutputIsWatchedToo(t *testing.T) {
	t.Parallel()
	s := buildAndServe(t, `sleep 0.1; cp src.txt bin; sleep 0.1`, `files = ["src.txt"]`, `files = ["src.txt", "bin"]`)
	s.await("UP", 1)
	for i := range 3 {
		s.save(fmt.Sprint(i))
		if got := s.await("START", i+2).text; !strings.HasSuffix(got, fmt.Sprint(" ", i)) {
			t.Errorf("start %d with the build %q, want %d", i+2, got, i)
		}
		s.exactly("START", i+2)
	}
}

// buildAndServe is a flinch with a build of src.txt and a server that reads what it made.
func buildAndServe(t *testing.T, build, buildFiles, serverFiles string) *service {
	t.Helper()
	dir := project(t, map[string]string{"src.txt": "0"})
	s := &service{log: filepath.Join(t.TempDir(), "log"), file: filepath.Join(dir, "src.txt")}
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf(`
[task.build]
%s
run = '''grep -q broken src.txt && exit 1; %s'''

[service.app]
%s
run = %s
needs = ["build"]
`, buildFiles, build, serverFiles, toml(self(t, "serve", s.log, "read="+filepath.Join(dir, "bin")))))
	s.session = start(t, dir)
	return s
}

func (s *service) save(text string) { s.t.Helper(); write(s.t, s.file, text) }

// toml is a command line as an array of the config.
func toml(argv []string) string {
	var words []string
	for _, w := range argv {
		words = append(words, strconv.Quote(w))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

const chain = `
[task.build]
files = ["*.go"]
busy = "restart"
run = %s

[task.test]
files = ["*.go"]
needs = ["build"]
run = %s

[service.app]
files = ["*.go"]
needs = ["test"]
run = %s
`

// One save that three rules want: build, test, server, in this order, each once; a
// save during the build starts that anew, and the others come once all the same.
func TestOneSaveThreeRules(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.go": "0"}), filepath.Join(t.TempDir(), "log")
	file := filepath.Join(dir, "a.go")
	build, test, app := stamp(t, log, 300*time.Millisecond, "read="+file), stamp(t, log, 0, "read="+file), self(t, "serve", log, "read="+file)
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf(chain, toml(build), toml(test), toml(app)))
	s := start(t, dir)
	order := func() (rules string) {
		for _, e := range entries(log, "START") {
			words := strings.Fields(e.text)
			rules += words[1] + ":" + words[2] + " "
		}
		return rules
	}
	want := "build:0 test:0 app:0 "
	eventually(t, want, func() bool { return order() == want })
	write(t, file, "1")
	want += "build:1 test:1 app:1 "
	eventually(t, want, func() bool { return order() == want })
	write(t, file, "2")
	want += "build:2 "
	eventually(t, want, func() bool { return order() == want })
	write(t, file, "3")
	want += "build:3 test:3 app:3 "
	eventually(t, want, func() bool { return order() == want })
	s.settled(func() string { return content(log) })
	if got := order(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// With one job at once, a command that cannot be started gives its place back.
func TestSlotComesBack(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf("jobs = 1\n[task.gone]\nfiles = [\"a.txt\"]\nrun = [\"./gone\"]\n[task.there]\nfiles = [\"a.txt\"]\nrun = %s\n", toml(stamp(t, log, 0))))
	start(t, dir)
	for i := range 3 {
		eventually(t, "a run", func() bool { return count(log, "END") == i+1 })
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i))
	}
}

// A rule that feeds itself with ever new bytes ends held, with one warning; a change at another time starts it again.
func TestFeedbackLoopEnds(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "log")
	s := start(t, dir, append([]string{"--"}, stamp(t, log, 0, "write=out.txt")...)...)
	s.waitErr("feeds itself")
	s.settled(func() string { return content(log) })
	runs := count(log, "START")
	if n := strings.Count(s.err.String(), "feeds itself"); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
	if !strings.Contains(s.err.String(), "out.txt") {
		t.Error("the warning does not name the path")
	}
	write(t, filepath.Join(dir, "a.txt"), "1")
	eventually(t, "a run for a real change", func() bool { return count(log, "START") > runs })
	t.Logf("%d runs until it was held", runs)
}

// A formatter that rewrites its own file is at most two runs, then there is quiet.
func TestFormatterThatRewritesItsFile(t *testing.T) {
	t.Parallel()
	needs(t, "gofmt")
	dir := project(t, map[string]string{"f.go": "package f\nvar   A=1\n"})
	log := filepath.Join(t.TempDir(), "log")
	s := start(t, dir, "--no-start", "-f", "*.go", "--", "echo START 0 0 x >>"+log+"; gofmt -w f.go")
	for i := range 3 {
		before := count(log, "START")
		write(t, filepath.Join(dir, "f.go"), fmt.Sprintf("package f\nvar   A=%d\n", i))
		eventually(t, "the formatted file", func() bool {
			return strings.Contains(content(filepath.Join(dir, "f.go")), fmt.Sprintf("\nvar A = %d", i))
		})
		s.settled(func() string { return content(log) })
		if n := count(log, "START") - before; n > 2 {
			t.Errorf("%d runs for a save", n)
		}
	}
}

// A user's edits at any moment, of what a rule reads that writes files of its own into the
// same tree: the last edit is always seen by a run. For quick and slow tasks.
func TestEditsBetweenARulesOwnWrites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed  uint64
		runs  time.Duration
		pause time.Duration
	}{{1, 0, 20 * time.Millisecond}, {2, 30 * time.Millisecond, 50 * time.Millisecond}, {3, 150 * time.Millisecond, 200 * time.Millisecond}, {4, 400 * time.Millisecond, 100 * time.Millisecond}} {
		for _, output := range []string{"copy", "write"} {
			t.Run(fmt.Sprintf("%s, a task of %v, seed %d", output, c.runs, c.seed), func(t *testing.T) {
				t.Parallel()
				editsBetweenWrites(t, rand.New(rand.NewPCG(c.seed, 0)), c.runs, c.pause, output)
			})
		}
	}
}

func editsBetweenWrites(t *testing.T, random *rand.Rand, runs, pause time.Duration, output string) {
	dir, log := project(t, map[string]string{"in.txt": "-1"}), filepath.Join(t.TempDir(), "log")
	in := filepath.Join(dir, "in.txt")
	start(t, dir, append([]string{"--"}, stamp(t, log, runs, "read="+in, output+"=out.txt")...)...)
	edit := 0
	for range 8 {
		for range 1 + random.IntN(6) {
			edit++
			write(t, in, fmt.Sprint(edit))
			every(t, 1+time.Duration(random.Int64N(int64(pause))), 1, func(int) {})
		}
		eventually(t, fmt.Sprintf("a run that sees edit %d", edit), func() bool {
			starts := entries(log, "START")
			return len(starts) > 0 && strings.HasSuffix(starts[len(starts)-1].text, fmt.Sprint(" ", edit))
		})
	}
}
