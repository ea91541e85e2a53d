package process

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Guard()
	if len(os.Args) > 2 && os.Args[1] == helperFlag {
		os.Exit(helper(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// deadline is how long a test waits for what must happen.
const deadline = 20 * time.Second

// newTestHost opens a host, and closes it at the end of the test.
func newTestHost(t testing.TB, opt Options) *Host {
	t.Helper()
	h, err := NewHost(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeHost(t, h) })
	return h
}

func closeHost(t testing.TB, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		t.Error(err)
	}
}

// bothWays runs a test with cgroups, where there are any, and without.
func bothWays(t *testing.T, test func(t *testing.T, opt Options)) {
	t.Run("cgroup", func(t *testing.T) {
		needCgroup(t)
		test(t, Options{})
	})
	t.Run("plain", func(t *testing.T) { test(t, Options{NoCgroup: true}) })
}

func needCgroup(t *testing.T) {
	t.Helper()
	c, err := findCgroup()
	if err != nil || unix.Access(c.base, unix.W_OK) != nil {
		t.Skip("no writable cgroup v2 here")
	}
}

// token is a word by which a test finds its processes: in their arguments, or in their environment.
func token(t testing.TB) string { return "token-" + randomID() }

// holders lists the living processes that have the word.
func holders(word string) (procs []Proc) {
	for _, p := range allProcs() {
		if p.PID == os.Getpid() || !p.alive() {
			continue
		}
		env := ofThreads(p.PID, "environ")
		if strings.Contains(commandLine(p.PID), word) || strings.Contains(string(env), word) {
			procs = append(procs, described([]Proc{p})...)
		}
	}
	return procs
}

// noneLeft fails if a process of the test lives.
func noneLeft(t testing.TB, word string) {
	t.Helper()
	if procs := holders(word); len(procs) > 0 {
		t.Errorf("still there: %v", procs)
	}
}

// eventually waits for a condition that no event tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so after %v: %s", deadline, what)
		}
	}
}

// env is this program's environment and some more.
func env(more ...string) []string { return append(os.Environ(), more...) }

func start(t testing.TB, h *Host, spec Spec) *Tree {
	t.Helper()
	if spec.Stderr == nil {
		spec.Stderr = os.Stderr
	}
	tree, err := h.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// output starts a run and returns what it writes, line by line.
func output(t testing.TB, h *Host, spec Spec) (*Tree, *lines) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	spec.Stdout = w
	tree := start(t, h, spec)
	w.Close()
	return tree, newLines(r)
}

// lines reads what a process writes. Who looks for a line passes over others, which stay to be looked for.
type lines struct {
	f      *os.File
	r      *bufio.Reader
	passed []string
}

func newLines(f *os.File) *lines { return &lines{f: f, r: bufio.NewReader(f)} }

// next is the next line that was not looked at yet.
func (l *lines) next(t testing.TB) string {
	t.Helper()
	if err := l.f.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	line, err := l.r.ReadString('\n')
	if err != nil {
		t.Fatalf("read line: %v (so far %q, before that %q)", err, line, l.passed)
	}
	return strings.TrimSpace(line)
}

// find waits for a line.
func (l *lines) find(t testing.TB, match func(line string) bool) string {
	t.Helper()
	if i := slices.IndexFunc(l.passed, match); i >= 0 {
		line := l.passed[i]
		l.passed = slices.Delete(l.passed, i, i+1)
		return line
	}
	for {
		line := l.next(t)
		if match(line) {
			return line
		}
		l.passed = append(l.passed, line)
	}
}

func (l *lines) want(t testing.TB, line string) {
	t.Helper()
	l.find(t, func(got string) bool { return got == line })
}

func (l *lines) prefix(t testing.TB, prefix string) string {
	t.Helper()
	return l.find(t, func(got string) bool { return strings.HasPrefix(got, prefix) })
}

// next waits for an event of a kind about a run; events before it are dropped, but must not be of an unwanted kind.
func next(t testing.TB, h *Host, tree *Tree, kind Kind, unwanted ...Kind) Event {
	t.Helper()
	timeout := time.After(deadline)
	for {
		select {
		case e := <-h.Events():
			if slices.Contains(unwanted, e.Kind) {
				t.Errorf("unwanted event %v: %v", e.Kind, e.Procs)
			}
			if e.Kind == kind && e.Tree == tree {
				return e
			}
		case <-timeout:
			t.Fatalf("no event %v", kind)
		}
	}
}

// self is the command line of the helper in this test binary.
func self(action string, args ...string) []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{exe, helperFlag, action}, args...)
}

func sh(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

func names(procs []Proc) (list []string) {
	for _, p := range procs {
		list = append(list, p.Name)
	}
	slices.Sort(list)
	return list
}

func TestExitStatus(t *testing.T) {
	bothWays(t, func(t *testing.T, opt Options) {
		h := newTestHost(t, opt)
		for script, want := range map[string]Status{
			"exit 0":        {},
			"exit 7":        {Code: 7},
			"kill -9 $$":    {Signal: unix.SIGKILL},
			"kill -TERM $$": {Signal: unix.SIGTERM},
		} {
			tree := start(t, h, Spec{Argv: sh(script)})
			if e := next(t, h, tree, Exited); e.Status != want {
				t.Errorf("%s: got %v, want %v", script, e.Status, want)
			}
			if e := next(t, h, tree, Over, Swept, Left, Killed); e.Status != want {
				t.Errorf("%s: got %v, want %v", script, e.Status, want)
			}
		}
	})
}

func TestStatusText(t *testing.T) {
	for _, c := range []struct {
		status Status
		text   string
		code   int
	}{
		{Status{}, "exit status 0", 0},
		{Status{Code: 3}, "exit status 3", 3},
		{Status{Signal: unix.SIGSEGV, Core: true}, "signal SIGSEGV (core dumped)", 139},
		{Status{Signal: 40}, "signal 40", 168},
	} {
		if got := c.status.String(); got != c.text {
			t.Errorf("got %q, want %q", got, c.text)
		}
		if got := c.status.ExitCode(); got != c.code {
			t.Errorf("%s: got %d, want %d", c.text, got, c.code)
		}
		if got, want := c.status.Success(), c.code == 0; got != want {
			t.Errorf("%s: got %v, want %v", c.text, got, want)
		}
	}
}

// A name in parentheses, with spaces, must not shift the fields.
func TestParseStat(t *testing.T) {
	line := "77 (a) S (b) T 3 4 5 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 991 0 0"
	got, ok := parseStat([]byte(line))
	want := Proc{PID: 77, Name: "a) S (b", State: 'T', Parent: 3, Group: 4, Session: 5, Start: 991, threads: 1}
	if !ok || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, line := range []string{"", "77", "77 (a", "x (a) S 1 2 3", "77 (a) S 1 2", "(a) S"} {
		if _, ok := parseStat([]byte(line)); ok {
			t.Errorf("%q: got a process, want none", line)
		}
	}
}

func TestNumberIn(t *testing.T) {
	for _, c := range []struct {
		value string
		n     uint64
		ok    bool
	}{
		{"abc-7", 7, true}, {"outer-1:abc-7", 7, true}, {"abc-7:inner-3", 7, true},
		{"xabc-7", 0, false}, {"abc-", 0, false}, {"", 0, false}, {"abc-7x", 0, false},
	} {
		if n, ok := numberIn(c.value, "abc"); n != c.n || ok != c.ok {
			t.Errorf("%q: got %d %v, want %d %v", c.value, n, ok, c.n, c.ok)
		}
	}
}

// After Close nothing is there: no process, no guardian, no cgroup, no goroutine that would take the status of another's child.
func TestCloseLeavesNothing(t *testing.T) {
	word := token(t)
	h, err := NewHost(Options{Guardian: true})
	if err != nil {
		t.Fatal(err)
	}
	_, out := output(t, h, Spec{Argv: sh("setsid sleep 1000 & trap '' TERM; echo up; sleep 1001"), Env: env("W=" + word)})
	out.want(t, "up")
	dir := h.Cgroup()
	closeHost(t, h)
	noneLeft(t, word)
	if children := childrenOf(os.Getpid()); len(children) > 0 {
		t.Errorf("children left: %v", children)
	}
	if dir != "" && exists(dir) {
		left, _ := filepath.Glob(dir + "/*/cgroup.procs")
		t.Errorf("%s still there, with %v", dir, left)
	}
	if _, err := h.Start(Spec{Argv: sh("true")}); err == nil {
		t.Error("start after close: got no error")
	}
	if err := h.Close(t.Context()); err != nil {
		t.Errorf("second close: got %v", err)
	}
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if state, err := p.Wait(); err != nil || !state.Success() {
		t.Errorf("a child of the program's own: got %v %v", state, err)
	}
}

// Nobody has to read the events.
func TestNobodyReadsEvents(t *testing.T) {
	h := newTestHost(t, Options{})
	var last *Tree
	for range 50 {
		last = start(t, h, Spec{Argv: []string{"true"}})
	}
	n := 0
	for tree := (*Tree)(nil); tree != last; {
		if e := <-h.Events(); e.Kind == Over {
			tree = e.Tree
			n++
		}
	}
	if n == 0 || last.Members() != nil {
		t.Errorf("got %d runs, members %v", n, last.Members())
	}
}
