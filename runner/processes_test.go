package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
	"github.com/flinch-run/flinch/runner/ready"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// rig is a Runner over real processes. Marks come back at once: the tests are
// the watcher.
type rig struct {
	t      testing.TB
	root   string
	out    string
	runner *Runner
	waves  chan Wave
	done   chan Result

	mu     sync.Mutex
	events []Event
	news   chan struct{} // closed and renewed at each event
}

func newRig(t testing.TB, opt Options, files func(string) []string, rules ...Rule) *rig {
	t.Helper()
	root := t.TempDir()
	r := &rig{t: t, root: root, out: filepath.Join(t.TempDir(), "out"), waves: make(chan Wave), done: make(chan Result, 1), news: make(chan struct{})}
	stdout, err := os.Create(r.out)
	if err != nil {
		t.Fatal(err)
	}
	host, err := process.NewHost(process.Options{})
	if err != nil {
		t.Fatal(err)
	}
	printer := output.New(output.Options{Stdout: stdout, Stderr: stdout})
	opt.Host = NewProcesses(ProcessOptions{Host: host, Printer: printer, Roots: []string{root}, TempDir: private(t), AllFiles: files})
	opt.Events, opt.Rules = r.event, rules
	marks := newInbox[uint64]()
	opt.Mark = marks.put
	r.runner = New(opt)
	var echo sync.WaitGroup
	echo.Go(func() {
		for id, ok := marks.get(); ok; id, ok = marks.get() {
			r.send(Wave{Marks: []Mark{{ID: id, Time: time.Now()}}})
		}
	})
	go func() { r.done <- r.runner.Run(t.Context(), r.waves) }()
	t.Cleanup(func() {
		r.quit()
		marks.close()
		echo.Wait()
		if err := printer.Close(time.Second); err != nil {
			t.Error(err)
		}
		stdout.Close()
	})
	return r
}

// private is a folder of mode 0700 with a short path, as sockets need.
func private(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "flinch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (r *rig) event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.news)
	r.news = make(chan struct{})
}

func (r *rig) send(w Wave) {
	select {
	case r.waves <- w:
	case <-r.runner.closed:
	}
}

// quit ends the runner; again: does nothing.
func (r *rig) quit() Result {
	r.runner.Do(r.t.Context(), Request{Verb: DoQuit})
	select {
	case res := <-r.done:
		r.done <- res
		return res
	case <-time.After(patience):
		r.t.Error("the runner does not end")
		return Result{}
	}
}

// save is a wave of a change of a file, which is written first.
func (r *rig) save(path string, rules ...string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.root, path), []byte(time.Now().String()), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.change(Change{Path: path, Op: "write", Type: "file", Time: time.Now()}, rules...)
}

func (r *rig) change(c Change, rules ...string) {
	w := Wave{}
	for _, name := range rules {
		w.Triggers = append(w.Triggers, Trigger{Rule: name, Changes: []Change{c}, First: c.Time, Last: c.Time})
	}
	r.send(w)
}

// await waits until n events of a kind about a rule are there, and returns the last.
func (r *rig) await(kind EventKind, rule string, n int) Event {
	r.t.Helper()
	limit := time.After(patience)
	for {
		r.mu.Lock()
		found, last := 0, Event{}
		for _, e := range r.events {
			if e.Kind == kind && e.Rule == rule {
				found++
				last = e
			}
		}
		news, have := r.news, len(r.events)
		r.mu.Unlock()
		if found >= n {
			return last
		}
		select {
		case <-news:
		case <-limit:
			r.t.Fatalf("no %v of %s (%d of %d) among %d events; output:\n%s", kind, rule, found, n, have, r.output())
		}
	}
}

func (r *rig) output() string {
	b, err := os.ReadFile(r.out)
	if err != nil {
		r.t.Error(err)
	}
	return string(b)
}

// printed waits until the output has a line that matches.
func (r *rig) printed(pattern string) string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("output:\n%s", r.output())
		}
	})
	var found string
	r.eventually(fmt.Sprintf("%q in the output", pattern), func() bool {
		found = re.FindString(r.output())
		return found != ""
	})
	return found
}

func (r *rig) do(req Request) Reply {
	r.t.Helper()
	rep, err := r.runner.Do(r.t.Context(), req)
	if err != nil {
		r.t.Fatal(err)
	}
	return rep
}

func sh(name, script string) Rule {
	return Rule{Name: name, Command: parsed(script), AtStart: true}
}

func parsed(script string) command.Command {
	c, err := command.Parse(script, "")
	if err != nil {
		panic(err)
	}
	return c
}

func helping(name string, args ...string) Rule {
	c, err := command.New(append([]string{os.Args[0], helperFlag}, args...))
	if err != nil {
		panic(err)
	}
	return Rule{Name: name, Kind: Service, Busy: Replace, Command: c, AtStart: true}
}

func TestProcessTaskIsGivenItsChanges(t *testing.T) {
	files := func(string) []string { return []string{"a", "b"} }
	task := sh("t", `echo "$FLINCH_RULE $FLINCH_REASON $FLINCH_RUN $FLINCH_CHANGED:" {files}; cat "$FLINCH_CHANGES_FILE"`)
	r := newRig(t, Options{}, files, task)
	r.await(EventSkipped, "t", 1) // neither is there
	r.save("a", "t")
	if e := r.await(EventOver, "t", 1); e.Outcome != Succeeded || e.Exit != 0 {
		t.Errorf("got %v %d", e.Outcome, e.Exit)
	}
	r.printed(`t change 2 a: \./a\n`)
	r.printed(`"op":"write","path":"a"`)
	r.do(Request{Verb: DoTrigger, Rules: []string{"t"}})
	r.await(EventOver, "t", 2)
	r.printed(`t trigger 3 : \./a\n`)
	r.save("c d", "t")
	r.await(EventOver, "t", 3)
	r.printed(`t change 4 c d: \./c d\n`)
	r.change(Change{Path: "gone", Op: "remove", Gone: true, Time: time.Now()}, "t")
	r.await(EventSkipped, "t", 2)
	r.save("e", "t")
	r.await(EventOver, "t", 4)
}

func TestProcessFailureOfEachKind(t *testing.T) {
	r := newRig(t, Options{}, nil, sh("exit", "exit 3"), sh("signal", "kill -9 $$"), sh("missing", "./not-there-yet"))
	if e := r.await(EventOver, "exit", 1); e.Exit != 3 || e.Outcome != Failed {
		t.Errorf("exit: got %+v", e)
	}
	if e := r.await(EventOver, "signal", 1); e.Signal != syscall.SIGKILL || e.Exit != 137 || e.Outcome != Failed {
		t.Errorf("signal: got %+v", e)
	}
	if e := r.await(EventOver, "missing", 1); e.Err == nil || e.Outcome != Failed || !strings.Contains(e.Err.Error(), "not-there-yet") {
		t.Errorf("missing: got %+v", e)
	}
	if err := os.WriteFile(filepath.Join(r.root, "not-there-yet"), []byte("#!/bin/sh\necho here\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.save("x", "missing")
	if e := r.await(EventOver, "missing", 2); e.Outcome != Succeeded {
		t.Errorf("missing, then there: got %+v", e)
	}
}

func TestProcessOutputStandsBeforeTheEnd(t *testing.T) {
	r := newRig(t, Options{}, nil, sh("t", "printf 'no newline'"))
	r.await(EventExited, "t", 1)
	r.printed("t.*no newline")
}

// A daemon that left the session holds the port: it is gone before the next run.
func TestProcessRestartLeavesNothing(t *testing.T) {
	s := sh("s", `setsid -f sh -c 'echo daemon $$; exec sleep 1000'; sleep 1000`)
	s.Kind, s.Busy = Service, Replace
	r := newRig(t, Options{}, nil, s)
	daemon := regexp.MustCompile(`daemon (\d+)`)
	for i := range 3 {
		r.eventually(fmt.Sprintf("daemon %d", i), func() bool { return len(daemon.FindAllString(r.output(), -1)) > i })
		r.save("x", "s")
		r.await(EventStarted, "s", i+2)
		for _, pid := range daemon.FindAllStringSubmatch(r.output(), -1)[:i+1] {
			if _, err := os.Stat("/proc/" + pid[1]); err == nil {
				t.Errorf("start %d: daemon %s is still there", i+2, pid[1])
			}
		}
	}
}

func TestProcessReadiness(t *testing.T) {
	log := helping("log", "serve", "1")
	log.Ready = ready.Spec{Log: regexp.MustCompile("listening on"), Timeout: patience}
	port := helping("port", "serve", "1")
	port.Ready = ready.Spec{AnyPort: true, Timeout: patience}
	exec := helping("exec", "serve", "1")
	exec.Ready = ready.Spec{Exec: []string{"sh", "-c", "test $FLINCH_RULE = exec"}, Timeout: patience}
	never := helping("never", "serve", "1")
	never.Ready = ready.Spec{Log: regexp.MustCompile("never"), Timeout: 300 * ms}
	after := sh("after", "true")
	after.Needs = []string{"log", "port", "exec"}
	r := newRig(t, Options{}, nil, log, port, exec, never, after)
	for _, name := range []string{"log", "port", "exec"} {
		r.await(EventReady, name, 1)
	}
	r.await(EventOver, "after", 1)
	if e := r.await(EventOver, "never", 1); e.Err == nil || e.Outcome != Failed {
		t.Errorf("never: got %+v", e)
	}
}

func TestProcessStopIsPoliteThenNot(t *testing.T) {
	polite := sh("polite", `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	deaf := sh("deaf", `trap '' TERM; echo up; while :; do sleep 0.01; done`)
	for _, s := range []*Rule{&polite, &deaf} {
		s.Kind, s.Busy, s.StopTimeout = Service, Replace, 300*ms
	}
	r := newRig(t, Options{}, nil, polite, deaf)
	r.printed("polite.*up")
	r.printed("deaf.*up")
	r.save("x", "polite", "deaf")
	r.await(EventStarted, "polite", 2)
	r.await(EventStarted, "deaf", 2)
	r.printed("polite.*bye")
	stop, end := r.await(EventStopping, "deaf", 1), r.await(EventOver, "deaf", 1)
	if d := end.Time.Sub(stop.Time); d < 300*ms || d > 3*time.Second {
		t.Errorf("deaf: stopped after %v, want a bit more than 300ms", d)
	}
	if end.Signal != syscall.SIGKILL || end.Outcome != Superseded {
		t.Errorf("deaf: got %v %v", end.Signal, end.Outcome)
	}
}

func TestProcessInputAndOutputFile(t *testing.T) {
	in := sh("in", `tr '\0' '\n'; echo done`)
	in.Input, in.AtStart = InputPaths, false
	in.Output = Output{File: "log/../in.log"}
	r := newRig(t, Options{}, nil, in)
	r.change(Change{Path: "new\nline", Op: "write", Time: time.Now()}, "in")
	r.await(EventOver, "in", 1)
	r.printed("line")
	b, err := os.ReadFile(filepath.Join(r.root, "in.log"))
	if err != nil || string(b) != "new\nline\ndone\n" {
		t.Errorf("got file %q %v", b, err)
	}
}

func TestProcessEachRunsInParallel(t *testing.T) {
	each := sh("each", `echo {file} >> started; while [ $(wc -l < started) -lt 2 ]; do sleep 0.005; done`)
	each.Each, each.AtStart = true, false
	r := newRig(t, Options{Jobs: 2}, nil, each)
	w := Wave{Triggers: []Trigger{{Rule: "each"}}}
	for _, p := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(r.root, p), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		w.Triggers[0].Changes = append(w.Triggers[0].Changes, Change{Path: p, Time: time.Now()})
	}
	r.send(w)
	if e := r.await(EventOver, "each", 2); e.Outcome != Succeeded {
		t.Errorf("got %+v", e)
	}
}

func TestProcessOnce(t *testing.T) {
	s := helping("s", "serve", "1")
	s.Ready = ready.Spec{AnyPort: true, Timeout: patience}
	bad := sh("bad", "exit 4")
	bad.Needs = []string{"s"}
	r := newRig(t, Options{Once: true}, nil, s, bad)
	select {
	case res := <-r.done:
		r.done <- res
		if f := res.Failed(); f == nil || f.Name != "bad" || f.Last.Exit != 4 {
			t.Errorf("got %+v", f)
		}
	case <-time.After(patience):
		t.Fatal("does not end")
	}
}

func TestProcessSuspendAndContinue(t *testing.T) {
	r := newRig(t, Options{}, nil, sh("t", "echo up; exec sleep 1000"))
	r.printed("up")
	pid := r.await(EventStarted, "t", 1).PID
	state := func() string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		return rest[:1]
	}
	r.do(Request{Verb: DoSuspend})
	if got := state(); got != "T" {
		t.Errorf("suspended: got state %s, want T", got)
	}
	r.do(Request{Verb: DoContinue})
	r.eventually("it to go on", func() bool { return state() != "T" })
	r.quit()
}

func TestInboxKeepsOrderAndEnds(t *testing.T) {
	box := newInbox[int]()
	go func() {
		for i := range 1000 {
			box.put(i)
		}
		box.close()
	}()
	for i := range 1000 {
		if got, ok := box.get(); !ok || got != i {
			t.Fatalf("got %d %v, want %d", got, ok, i)
		}
	}
	if _, ok := box.get(); ok {
		t.Error("got more after the end")
	}
}

func TestProcessEnvironmentInOrder(t *testing.T) {
	e := sh("e", `echo "=$BASE $GLOBAL $FILE $OWN $FLINCH_RULE="`)
	e.AtStart = false
	e.Env = []string{"BASE=global", "GLOBAL=global", "FILE=global", "OWN=own", "FLINCH_RULE=nonsense"}
	e.GlobalEnv = 3
	r := newRig(t, Options{}, nil, e)
	file := filepath.Join(r.root, ".env")
	e.EnvFile = []string{file}
	if err := os.WriteFile(file, []byte("FILE=file\nOWN=${GLOBAL}-file\nBASE=\"${BASE} file\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.do(Request{Verb: DoSetRules, Set: []Rule{e}})
	r.do(Request{Verb: DoTrigger, Rules: []string{"e"}})
	r.await(EventOver, "e", 1)
	r.printed("=global file global file own e=")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.do(Request{Verb: DoTrigger, Rules: []string{"e"}})
	if o := r.await(EventOver, "e", 2); o.Err == nil || o.Outcome != Failed {
		t.Errorf("without the file: got %v %v", o.Outcome, o.Err)
	}
}

func TestProcessIsSignalledOncePerChange(t *testing.T) {
	s := sh("s", `trap 'echo got HUP' HUP; echo up; while :; do sleep 0.01; done`)
	s.Kind, s.Busy, s.BusySignal = Service, SendSignal, syscall.SIGHUP
	r := newRig(t, Options{}, nil, s)
	r.printed("up")
	pid := r.await(EventStarted, "s", 1).PID
	r.save("x", "s")
	if e := r.await(EventSignalled, "s", 1); e.PID != pid || e.Signal != syscall.SIGHUP {
		t.Errorf("got %+v", e)
	}
	r.printed("got HUP")
	if n := r.do(Request{Verb: DoStatus}).Status.Rules[0].Runs; n != 1 {
		t.Errorf("got %d runs, want 1", n)
	}
}

func TestProcessLeftoversAreNamed(t *testing.T) {
	swept := sh("swept", `sleep 1000 & true`)
	left := sh("left", `setsid -f sh -c 'echo > up; exec sleep 1000'; while [ ! -e up ]; do sleep 0.01; done`)
	left.Leftovers = SessionLeftovers
	r := newRig(t, Options{}, nil, swept, left)
	for name, want := range map[string]string{"swept": "left behind and killed: s", "left": "left running: s"} {
		if e := r.await(EventNote, name, 1); !strings.HasPrefix(e.Text, want) {
			t.Errorf("%s: got %q, want %q", name, e.Text, want)
		}
		if e := r.await(EventOver, name, 1); e.Outcome != Succeeded {
			t.Errorf("%s: got %v", name, e.Outcome)
		}
	}
	// It is ours to end: the rule was told to leave it.
	tree := r.await(EventNote, "left", 1).Text
	var pid int
	if _, err := fmt.Sscanf(tree[strings.Index(tree, "pid "):], "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
}

func TestProcessEachAtTheStartTakesAllFiles(t *testing.T) {
	each := sh("each", `echo file {file}`)
	each.Each, each.AtStart = true, false
	r := newRig(t, Options{}, func(string) []string { return []string{"a", "b"} }, each)
	for _, p := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(r.root, p), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.do(Request{Verb: DoTrigger, Rules: []string{"each"}})
	r.await(EventOver, "each", 2)
	r.printed(`file \./a`)
	r.printed(`file \./b`)
}

func TestProcessKillEndsEverythingAtOnce(t *testing.T) {
	deaf := sh("deaf", `trap '' TERM; echo up; while :; do sleep 0.01; done`)
	deaf.Kind, deaf.StopTimeout = Service, time.Minute
	r := newRig(t, Options{}, nil, deaf)
	r.printed("up")
	began := time.Now()
	r.runner.Do(t.Context(), Request{Verb: DoKill})
	r.quit()
	if e := r.await(EventOver, "deaf", 1); e.Signal != syscall.SIGKILL || time.Since(began) > patience/2 {
		t.Errorf("got %v after %v", e.Signal, time.Since(began))
	}
}

func TestProcessOutputFileGoesWithItsRule(t *testing.T) {
	a, b := sh("a", "echo one"), sh("b", "echo two")
	a.Output.File = "a.log"
	r := newRig(t, Options{}, nil, a)
	r.await(EventOver, "a", 1)
	r.do(Request{Verb: DoSetRules, Set: []Rule{b}})
	r.await(EventOver, "b", 1)
	r.eventually("the file to be closed", func() bool {
		links, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links {
			if to, _ := os.Readlink(link); to == filepath.Join(r.root, "a.log") {
				return false
			}
		}
		return true
	})
}
