package output_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner/output"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// printing makes the test binary print to its standard output until nobody reads,
// and then end with status 7.
const printing = "FLINCH_TEST_PRINT"

func TestMain(m *testing.M) {
	if os.Getenv(printing) == "" {
		os.Exit(m.Run())
	}
	gone := make(chan error, 1)
	p := output.New(output.Options{Stdout: os.Stdout, Stderr: os.Stderr, Gone: func(err error) { gone <- err }})
	s, err := p.Open(output.StreamOptions{Name: "a", Mode: output.Pipe})
	if err != nil {
		os.Exit(1)
	}
	go func() {
		for err == nil {
			_, err = io.WriteString(s.Stdout, "a line\n")
		}
	}()
	<-gone
	<-s.Close()
	fmt.Fprintln(p.Log(), "clean end")
	p.Close(patience)
	os.Exit(7)
}

// sink is where a printer prints to in a test.
type sink struct {
	mu  sync.Mutex
	buf bytes.Buffer
	got chan struct{} // something was read
}

// collect reads r to its end.
func collect(t testing.TB, r io.Reader) *sink {
	s := &sink{got: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, err := r.Read(b)
			s.mu.Lock()
			s.buf.Write(b[:n])
			s.mu.Unlock()
			select {
			case s.got <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(wg.Wait)
	return s
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// await waits until the text so far satisfies ok.
func (s *sink) await(t testing.TB, what string, ok func(string) bool) {
	t.Helper()
	limit := time.After(patience)
	for !ok(s.String()) {
		select {
		case <-s.got:
		case <-limit:
			text := s.String()
			t.Fatalf("%s never came; got %d bytes ending in %q", what, len(text), text[max(0, len(text)-300):])
		}
	}
}

func (s *sink) awaitText(t testing.TB, want string) {
	t.Helper()
	s.await(t, fmt.Sprintf("%q", want), func(got string) bool { return strings.Contains(got, want) })
}

func makePipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Fd() // blocking, as flinch's standard output is
	t.Cleanup(func() { w.Close(); r.Close() })
	return r, w
}

// printer prints standard output and error into one pipe.
func printer(t testing.TB, names ...string) (*output.Printer, *sink) {
	t.Helper()
	r, w := makePipe(t)
	s := collect(t, r)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	p.SetNames(names)
	t.Cleanup(func() {
		if err := p.Close(patience); err != nil {
			t.Errorf("Close: %v", err)
		}
		w.Close()
	})
	return p, s
}

func open(t testing.TB, p *output.Printer, opts output.StreamOptions) *output.Stream {
	t.Helper()
	s, err := p.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wait(t, "Close", s.Close()) })
	return s
}

func wait(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s took more than %v", what, patience)
	}
}

// start runs a shell script with the stream as its output.
func start(t testing.TB, s *output.Stream, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Start()
	s.Started()
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// run runs it to its end, and the stream's.
func run(t testing.TB, s *output.Stream, script string) {
	t.Helper()
	if err := start(t, s, script).Wait(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	wait(t, "Drain", s.Drain())
	wait(t, "Close", s.Close())
}

func TestPrefixesOfTwoRules(t *testing.T) {
	p, out := printer(t, "build", "app")
	var wg sync.WaitGroup
	for _, name := range []string{"build", "app"} {
		s := open(t, p, output.StreamOptions{Name: name, Mode: output.Pipe, Prefix: true})
		wg.Go(func() { run(t, s, `i=0; while [ $i -lt 2000 ]; do echo "line $i of `+name+`"; i=$((i+1)); done`) })
	}
	wg.Wait()
	count := map[string]int{}
	out.await(t, "every line", func(s string) bool { return strings.Count(s, "\n") == 4000 })
	for line := range strings.Lines(out.String()) {
		name := strings.TrimSpace(line[:5])
		if want := fmt.Sprintf("%-5s | line %d of %s\n", name, count[name], name); line != want {
			t.Fatalf("got %q, want %q", line, want)
		}
		count[name]++
	}
}

// What was written before the end stands before what is logged about it, with a
// newline or without, although a process of it still holds the pipe.
func TestDrainBeforeTheExitedLine(t *testing.T) {
	for _, mode := range []output.Mode{output.Pipe, output.PTY} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			p, out := printer(t, "a")
			for i := range 50 {
				s := open(t, p, output.StreamOptions{Name: "a", Mode: mode, Prefix: true})
				cmd := start(t, s, `head -c 6000 /dev/zero | tr '\0' x; echo; printf last; exec sleep 1000 &`)
				if err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
				before := time.Now()
				wait(t, "Drain", s.Drain())
				if took := time.Since(before); took > 5*time.Second {
					t.Errorf("Drain took %v", took)
				}
				fmt.Fprintf(p.Log(), "exited %d\n", i)
				wait(t, "Close", s.Close())
				kill(t, cmd)
			}
			out.awaitText(t, "exited 49\n")
			want := ""
			for i := range 50 {
				want += "a | " + strings.Repeat("x", 6000) + "\na | last\nexited " + fmt.Sprint(i) + "\n"
			}
			if got := out.String(); got != want {
				t.Errorf("got %d bytes, want %d; first difference at %d", len(got), len(want), difference(got, want))
			}
		})
	}
}

// kill ends the sleep that a script left behind. It keeps the group's id from
// being anybody else's.
func kill(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func difference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestAllOfAnOutputWhileADaemonHoldsThePipe(t *testing.T) {
	p, out := printer(t)
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe})
	r, w := makePipe(t)
	cmd := exec.Command("sh", "-c", `head -c 60000 /dev/zero | tr '\0' y; cat <&3 & exit 0`)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Stdout, s.Stderr, []*os.File{r}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	s.Started()
	wait(t, "Drain", s.Drain())
	fmt.Fprintln(p.Log(), "exited")
	out.awaitText(t, strings.Repeat("y", 60000)+"\nexited\n")
	fmt.Fprintln(w, "later") // what the daemon writes comes too
	out.awaitText(t, "later\n")
	w.Close()
}

// A prompt is shown, ended by what others say, and gone on with.
func TestUnfinishedLine(t *testing.T) {
	p, out := printer(t, "a", "b")
	a := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe, Prefix: true})
	b := open(t, p, output.StreamOptions{Name: "b", Mode: output.Pipe, Prefix: true})
	io.WriteString(a.Stdout, "name? ")
	out.awaitText(t, "a | name? ")
	io.WriteString(a.Stdout, "x")
	out.awaitText(t, "a | name? x")
	io.WriteString(b.Stdout, "hello\n")
	out.awaitText(t, "a | name? x\nb | hello\n")
	io.WriteString(a.Stdout, "y\nz\n")
	out.awaitText(t, "a | name? x\nb | hello\na | y\na | z\n")
	io.WriteString(a.Stdout, "w")
	out.awaitText(t, "a | w")
	fmt.Fprintln(p.Log(), "flinch speaks")
	io.WriteString(a.Stdout, "\nv\n")
	out.awaitText(t, "a | w\nflinch speaks\na | v\n")
	a.Started()
	b.Started()
}

// A line of 10 MB passes whole, while another rule prints.
func TestVeryLongLine(t *testing.T) {
	p, out := printer(t, "a", "b")
	a := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe, Prefix: true})
	b := open(t, p, output.StreamOptions{Name: "b", Mode: output.Pipe, Prefix: true})
	var wg sync.WaitGroup
	wg.Go(func() {
		// In one write, so that no pause makes it look like a prompt.
		if _, err := a.Stdout.Write(append(bytes.Repeat([]byte("x"), 10<<20), "\nend\n"...)); err != nil {
			t.Error(err)
		}
		a.Started()
		wait(t, "Close", a.Close())
	})
	wg.Go(func() { run(t, b, `i=0; while [ $i -lt 3000 ]; do echo "b $i"; i=$((i+1)); done`) })
	wg.Wait()
	out.await(t, "all lines", func(s string) bool { return strings.Count(s, "\n") == 3002 })
	if !strings.Contains(out.String(), "a | "+strings.Repeat("x", 10<<20)+"\n") {
		t.Error("the long line is not whole")
	}
	if !strings.HasSuffix(strings.ReplaceAll(out.String(), "a | end\n", ""), "\n") || strings.Count(out.String(), "b | b ") != 3000 {
		t.Error("lines of the other rule are torn")
	}
}

func TestBinaryOutputPassesUnchanged(t *testing.T) {
	r, w := makePipe(t)
	out := collect(t, r)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe})
	data := make([]byte, 5<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	data = append(data, '\n')
	if _, err := s.Stdout.Write(data); err != nil {
		t.Fatal(err)
	}
	s.Started()
	wait(t, "Close", s.Close())
	if err := p.Close(patience); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out.await(t, "everything", func(s string) bool { return len(s) >= len(data) })
	if out.String() != string(data) {
		t.Errorf("it is not what was written; first difference at %d", difference(out.String(), string(data)))
	}
}

// Nobody but the readers waits for a terminal that is stopped, and nothing is
// lost when it goes on.
func TestStuckTerminal(t *testing.T) {
	r, w := makePipe(t)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe})
	cmd := start(t, s, `i=0; while [ $i -lt 100000 ]; do echo "line $i of a command with much to say"; i=$((i+1)); done`)
	before := time.Now()
	for time.Since(before) < patience { // until the queue is full
		began := time.Now()
		wait(t, "Drain", s.Drain())
		if time.Since(began) >= output.StuckAfter {
			break
		}
	}
	began := time.Now()
	for i := range 40_000 {
		fmt.Fprintf(p.Log(), "log line %d, which is not to block the loop that writes it\n", i)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the log blocked for %v", took)
	}
	out := collect(t, r)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	out.awaitText(t, "line 99999 of a")
	wait(t, "Close", s.Close())
	if err := p.Close(patience); err != nil {
		t.Error(err)
	}
	if got := strings.Count(out.String(), "\nline "); got != 99_999 {
		t.Errorf("got %d lines, want 99999", got)
	}
	w.Close()
}

func TestCloseDoesNotWaitForAStuckTerminal(t *testing.T) {
	r, w := makePipe(t)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	io.WriteString(p.Log(), strings.Repeat("x", 100_000)+"\n")
	if err := p.Close(10 * time.Millisecond); err != output.ErrStuck {
		t.Errorf("got %v, want %v", err, output.ErrStuck)
	}
	collect(t, r)
	if err := p.Close(patience); err != nil {
		t.Error(err)
	}
	w.Close()
}

func TestLogSaysWhatItDropped(t *testing.T) {
	r, w := makePipe(t)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	line := strings.Repeat("x", 99) + "\n"
	for range 3 * output.Budget / len(line) {
		io.WriteString(p.Log(), line)
	}
	out := collect(t, r)
	out.await(t, "the first lines", func(s string) bool { return len(s) >= output.Budget/2 })
	limit := time.Now().Add(patience)
	for !strings.Contains(out.String(), "lines were dropped here: nobody read them)") {
		io.WriteString(p.Log(), "more\n")
		if time.Now().After(limit) {
			t.Fatal("it is not said that lines were dropped")
		}
		<-out.got
	}
	if err := p.Close(patience); err != nil {
		t.Fatal(err)
	}
	w.Close()
}

func TestReaderHasGone(t *testing.T) {
	for _, mode := range []output.Mode{output.Inherit, output.Pipe} {
		r, w := makePipe(t)
		gone := make(chan error, 2)
		p := output.New(output.Options{Stdout: w, Stderr: os.Stderr, Gone: func(err error) { gone <- err }})
		s := open(t, p, output.StreamOptions{Name: "a", Mode: mode})
		r.Close()
		if mode == output.Pipe {
			io.WriteString(s.Stdout, "x\n")
		}
		select {
		case err := <-gone:
			if !strings.HasSuffix(err.Error(), "broken pipe") {
				t.Errorf("got %v", err)
			}
		case <-time.After(patience):
			t.Fatalf("mode %v: nobody was told", mode)
		}
		s.Started()
		wait(t, "Close", s.Close())
		if err := p.Close(patience); err != nil {
			t.Error(err)
		}
		if len(gone) > 0 {
			t.Error("it was told twice")
		}
	}
}

// As in `flinch | head -1`: on standard output itself the signal SIGPIPE must not
// be the end.
func TestReaderOfStandardOutputHasGone(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w := makePipe(t)
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), printing+"=1"), w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	r.Close()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 || stderr.String() != "clean end\n" {
		t.Errorf("%v, %q", cmd.ProcessState, stderr.String())
	}
}

func TestStandardErrorStaysApart(t *testing.T) {
	ro, wo := makePipe(t)
	re, we := makePipe(t)
	out, err := collect(t, ro), collect(t, re)
	p := output.New(output.Options{Stdout: wo, Stderr: we})
	var lines []string
	var mu sync.Mutex
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe, Prefix: true, Tap: func(l output.Line) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%s %s %v", l.Rule, l.Text, l.Err))
	}})
	run(t, s, "echo one; echo two >&2")
	if e := p.Close(patience); e != nil {
		t.Fatal(e)
	}
	out.awaitText(t, "a | one\n")
	err.awaitText(t, "a | two\n")
	slices.Sort(lines)
	if want := []string{"a one false", "a two true"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	wo.Close()
	we.Close()
}

// With one file for both, the order of what a command writes is kept.
func TestOrderOfBothIsKept(t *testing.T) {
	p, out := printer(t)
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe})
	run(t, s, "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >&2; done")
	out.awaitText(t, "1\n1\n2\n2\n3\n3\n4\n4\n5\n5\n6\n6\n7\n7\n8\n8\n9\n9\n")
}

func TestDescriptorsStayBlocking(t *testing.T) {
	_, w := makePipe(t)
	p := output.New(output.Options{Stdout: w, Stderr: w})
	for _, mode := range []output.Mode{output.Inherit, output.Pipe, output.PTY} {
		s := open(t, p, output.StreamOptions{Name: "a", Mode: mode})
		flags, err := unix.FcntlInt(s.Stdout.Fd(), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("mode %v: flags %#x, error %v", mode, flags, err)
		}
		s.Started()
		wait(t, "Close", s.Close())
	}
	if err := p.Close(patience); err != nil {
		t.Error(err)
	}
}

// A process that writes without end can be drained and closed.
func TestEndlessWriter(t *testing.T) {
	for _, mode := range []output.Mode{output.Pipe, output.PTY} {
		p, out := printer(t)
		s := open(t, p, output.StreamOptions{Name: "a", Mode: mode})
		cmd := start(t, s, "exec yes")
		out.awaitText(t, "y\ny\n")
		wait(t, "Drain", s.Drain())
		wait(t, "Close", s.Close())
		cmd.Process.Kill() // it may have ended by itself: nobody reads any more
		cmd.Wait()
	}
}

func TestQuietStreamGoesToItsFileAndTap(t *testing.T) {
	p, out := printer(t)
	path := filepath.Join(t.TempDir(), "log")
	f, err := output.OpenFile(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe, Quiet: true, File: f, Tap: func(l output.Line) { got = append(got, string(l.Text)) }})
	run(t, s, "echo one; printf two")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one\ntwo\n" {
		t.Errorf("got %q, %v", data, err)
	}
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	if out.String() != "" {
		t.Errorf("%q was printed", out.String())
	}
}

// Lines of a pseudo-terminal arrive whole: nothing that was written before the
// end is missed, although the kernel hands it over in the background.
func TestPTYDrainIsComplete(t *testing.T) {
	p, out := printer(t, "a")
	want := ""
	for i := range 200 {
		s := open(t, p, output.StreamOptions{Name: "a", Mode: output.PTY, Prefix: true})
		n := i % 50
		cmd := start(t, s, fmt.Sprintf(`i=0; while [ $i -lt %d ]; do echo "$i of %d"; i=$((i+1)); done; printf "end\r\n"`, n, i))
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		wait(t, "Drain", s.Drain())
		fmt.Fprintf(p.Log(), "exited %d\n", i)
		wait(t, "Close", s.Close())
		for k := range n {
			want += fmt.Sprintf("a | %d of %d\n", k, i)
		}
		want += fmt.Sprintf("a | end\nexited %d\n", i)
	}
	out.awaitText(t, "exited 199\n")
	if got := out.String(); got != want {
		i := difference(got, want)
		t.Errorf("first difference at %d: got %q, want %q", i, got[i:min(i+200, len(got))], want[i:min(i+200, len(want))])
	}
}

func TestPTYIsATerminalAsWideAsIsLeft(t *testing.T) {
	ptm, pts, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptm.Close()
	if err := pty.Setsize(ptm, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	out := collect(t, ptm)
	p := output.New(output.Options{Stdout: pts, Stderr: pts, Color: true})
	p.SetNames([]string{"a", "longer"})
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.PTY, Prefix: true})
	cmd := start(t, s, `[ -t 1 ] && [ -t 2 ] && stty size <&1; printf '\033[31mred'; read x; stty size <&1`)
	_ = cmd
	out.awaitText(t, "\x1b[36ma      |\x1b[0m 30 91\r\n\x1b[36ma      |\x1b[0m \x1b[31mred")
	if err := pty.Setsize(ptm, &pty.Winsize{Rows: 30, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	p.Resized()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	wait(t, "Close", s.Close())
	if err := p.Close(patience); err != nil {
		t.Fatal(err)
	}
	out.awaitText(t, "red")
	pts.Close()
}

func TestFileIsMovedWhenItIsFull(t *testing.T) {
	p, _ := printer(t)
	path := filepath.Join(t.TempDir(), "log")
	f, err := output.OpenFile(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, p, output.StreamOptions{Name: "a", Mode: output.Pipe, Quiet: true, File: f})
	run(t, s, `i=100; while [ $i -lt 400 ]; do echo "this is line $i"; i=$((i+1)); done`)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, name := range []string{path + ".1", path} {
		data, err := os.ReadFile(name)
		if err != nil || len(data) > 1000 || len(data) == 0 || data[len(data)-1] != '\n' {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
		all = append(all, data...)
	}
	if !strings.HasSuffix(string(all), "this is line 399\n") || strings.Count(string(all), "\n") < 60 {
		t.Errorf("got %q", all)
	}
}

func BenchmarkPrefix(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	p := output.New(output.Options{Stdout: null, Stderr: null, Color: true})
	s, err := p.Open(output.StreamOptions{Name: "app", Mode: output.Pipe, Prefix: true, Tap: func(output.Line) {}})
	if err != nil {
		b.Fatal(err)
	}
	block := bytes.Repeat([]byte("2026-11-21T15:58:26Z INFO request served path=/index.html status=200 ms=12\n"), 860)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if _, err := s.Stdout.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	s.Started()
	<-s.Close()
	if err := p.Close(patience); err != nil {
		b.Fatal(err)
	}
}

// What Drain costs at the end of a run.
func BenchmarkDrain(b *testing.B) {
	for name, mode := range map[string]output.Mode{"pipe": output.Pipe, "pty": output.PTY} {
		b.Run(name, func(b *testing.B) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer null.Close()
			p := output.New(output.Options{Stdout: null, Stderr: null})
			s, err := p.Open(output.StreamOptions{Name: "a", Mode: mode})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				io.WriteString(s.Stdout, "the last line\n")
				<-s.Drain()
			}
			s.Started()
			<-s.Close()
			if err := p.Close(patience); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// What the output of one run costs: two pipes, or a pseudo-terminal, and back.
func BenchmarkOpenClose(b *testing.B) {
	for name, mode := range map[string]output.Mode{"pipe": output.Pipe, "pty": output.PTY} {
		b.Run(name, func(b *testing.B) {
			p := output.New(output.Options{Stdout: os.Stdout, Stderr: os.Stderr})
			b.ReportAllocs()
			for b.Loop() {
				s, err := p.Open(output.StreamOptions{Name: "a", Mode: mode, Prefix: true})
				if err != nil {
					b.Fatal(err)
				}
				s.Started()
				<-s.Close()
			}
			if err := p.Close(patience); err != nil {
				b.Fatal(err)
			}
		})
	}
}
