package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// all reads what a run writes until its leader ends.
func all(t testing.TB, h *Host, spec Spec) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec.Stdout = w
	tree := start(t, h, spec)
	w.Close()
	next(t, h, tree, Over)
	r.SetReadDeadline(time.Now().Add(deadline))
	var text strings.Builder
	for l := newLines(r); ; {
		line, err := l.r.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			return text.String()
		}
	}
}

// The program is looked up with the child's eyes: its PATH, from its directory.
func TestLookup(t *testing.T) {
	h := newTestHost(t, Options{})
	dir := t.TempDir()
	write(t, dir+"/bin/prog", "#!/bin/sh\necho bin\n", 0o755)
	write(t, dir+"/other/prog", "#!/bin/sh\necho other\n", 0o755)
	write(t, dir+"/plain/prog", "not executable", 0o644)
	write(t, dir+"/noshebang", "echo script $0 $1\n", 0o755)
	if err := os.Mkdir(dir+"/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/folder/prog", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir, path, want string
	}{
		{"prog", "", dir + "/bin:" + dir + "/other", "bin"},
		{"prog", "", dir + "/folder:" + dir + "/plain:" + dir + "/missing:" + dir + "/other", "other"},
		{"prog", dir, "bin", "bin"},
		{"prog", dir + "/other", "", "other"},
		{"./bin/prog", dir, "", "bin"},
		{"bin/prog", dir, "", "bin"},
		{"../bin/prog", dir + "/other", "", "bin"},
		{dir + "/bin/prog", "/", "", "bin"},
		{"./noshebang", dir, "", "script ./noshebang arg"},
	} {
		got := all(t, h, Spec{Argv: []string{c.name, "arg"}, Dir: c.dir, Env: []string{"PATH=" + c.path}})
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%s in %s with PATH=%s: got %q, want %q", c.name, c.dir, c.path, got, c.want)
		}
	}
	if got := all(t, h, Spec{Argv: []string{"echo", "no PATH"}, Env: []string{"X=1"}}); got != "no PATH\n" {
		t.Errorf("got %q", got)
	}
}

func TestStartErrors(t *testing.T) {
	h := newTestHost(t, Options{})
	dir := t.TempDir()
	write(t, dir+"/text", "data", 0o644)
	write(t, dir+"/windows", "#!/bin/sh\r\ntrue\r\n", 0o755)
	write(t, dir+"/badinterp", "#!/no/such/interpreter\n", 0o755)
	for _, c := range []struct {
		spec       Spec
		is         error
		text, hint string
	}{
		{Spec{Argv: []string{"no-such-prog"}}, fs.ErrNotExist, "start no-such-prog: no such file or directory", "PATH"},
		{Spec{Argv: []string{"./missing"}, Dir: dir}, fs.ErrNotExist, "start ./missing in " + dir + ": no such file or directory", "needs"},
		{Spec{Argv: []string{"./text"}, Dir: dir}, fs.ErrPermission, "start ./text in " + dir + ": permission denied", "chmod +x ./text"},
		{Spec{Argv: []string{"text"}, Dir: dir, Env: []string{"PATH=."}}, fs.ErrPermission, "start text in " + dir + ": permission denied", "chmod +x"},
		{Spec{Argv: []string{"true"}, Dir: dir + "/gone"}, errNoDir, "start /", "working directory"},
		{Spec{Argv: []string{"./x"}, Dir: dir + "/gone"}, errNoDir, "start ./x in ", "working directory"},
		{Spec{Argv: []string{"badinterp"}, Dir: dir}, fs.ErrNotExist, "start badinterp in " + dir + ": no such file or directory", "PATH"},
		{Spec{Argv: []string{"./windows"}, Dir: dir}, errCarriage, "start ./windows in ", "sed -i 's/\\r$//' ./windows"},
		{Spec{Argv: []string{"../" + filepath.Base(dir)}, Dir: dir}, errFolder, "start ../", ""},
		{Spec{Argv: []string{"./badinterp"}, Dir: dir}, errNoInterpreter, "start ./badinterp in ", "interpreter"},
		{Spec{Argv: []string{"true", strings.Repeat("x", 4<<20)}}, syscall.E2BIG, "start /", "too long"},
		{Spec{}, errEmpty, "start : empty command", ""},
		{Spec{Argv: []string{""}}, errEmpty, "start : empty command", ""},
	} {
		_, err := h.Start(c.spec)
		var se *StartError
		if !errors.As(err, &se) {
			t.Errorf("%.60q: got %v, want a StartError", c.spec.Argv, err)
			continue
		}
		if !errors.Is(err, c.is) {
			t.Errorf("%.60q: got %v, want %v", c.spec.Argv, err, c.is)
		}
		if !strings.HasPrefix(err.Error(), c.text) {
			t.Errorf("got %q, want %q", err, c.text)
		}
		if hint := se.Hint(); !strings.Contains(hint, c.hint) || (hint == "") != (c.hint == "") {
			t.Errorf("%v: got hint %q, want %q in it", err, hint, c.hint)
		}
	}
	if got := all(t, h, Spec{Argv: []string{"echo", "fine"}}); got != "fine\n" {
		t.Errorf("a start after the failures: got %q", got)
	}
	closed, err := os.Open(dir + "/text")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := h.Start(Spec{Argv: []string{"true"}, Stdout: closed}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("with a closed file: got %v", err)
	}
}

// A program that is still being written is waited for.
func TestTextBusy(t *testing.T) {
	h := newTestHost(t, Options{})
	path := t.TempDir() + "/prog"
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data), 0o755)
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Start(Spec{Argv: []string{path}})
	if !errors.Is(err, syscall.ETXTBSY) {
		t.Fatalf("got %v, want ETXTBSY", err)
	}
	done := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { w.Close(); close(done) })
	tree, err := h.Start(Spec{Argv: []string{path}})
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if e := next(t, h, tree, Over); !e.Status.Success() {
		t.Errorf("got %v", e.Status)
	}
}

// Only the given descriptors, none of them in non-blocking mode, and /dev/null where none was given.
func TestDescriptors(t *testing.T) {
	leak, err := unix.Open("/dev/zero", unix.O_RDONLY, 0) // not close-on-exec, as if it came with the program
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	h := newTestHost(t, Options{})
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := os.NewFile(uintptr(pair[0]), "a"), os.NewFile(uintptr(pair[1]), "b")
	defer a.Close()
	defer b.Close()
	want := "0 /dev/null false\n1 pipe false\n2 /dev/null false\n3 socket false\n4 /dev/null false\n5 socket false\nend\n"
	for range 2 {
		spec := Spec{Argv: self("fds"), Extra: []*os.File{a, nil, b}}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		spec.Stdout = w
		tree, err := h.Start(spec)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		next(t, h, tree, Over)
		buf := make([]byte, 4096)
		n, _ := r.Read(buf)
		r.Close()
		if got := string(buf[:n]); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		unix.SetNonblock(pair[0], true) // as a child that is a Go program would
	}
}

// The child's signals are as this program found its own, although this program handles some.
func TestSignalState(t *testing.T) {
	h := newTestHost(t, Options{})
	state := func(text string) (lines []string) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "SigBlk") || strings.HasPrefix(line, "SigIgn") || strings.HasPrefix(line, "SigCgt") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	got := state(all(t, h, Spec{Argv: []string{"cat", "/proc/self/status"}}))
	want := []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The environment is what was given, and the marker; that of a flinch around us is kept.
func TestMarker(t *testing.T) {
	t.Setenv(markName, "outer-7")
	h := newTestHost(t, Options{})
	got := strings.Fields(all(t, h, Spec{Argv: []string{"/usr/bin/env"}, Env: []string{"A=1", markName + "=wrong", "B=2"}}))
	want := []string{fmt.Sprintf("%s=outer-7:%s-1", markName, h.id), "A=1", "B=2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := all(t, h, Spec{Argv: sh("echo $HOME")}); strings.TrimSpace(got) != os.Getenv("HOME") {
		t.Errorf("without an environment: got %q", got)
	}
}

// The pid is right for the program itself, behind a shell, and where a wrong one was inherited.
func TestListenPID(t *testing.T) {
	h := newTestHost(t, Options{})
	dir := t.TempDir()
	write(t, dir+"/srv", "#!/bin/sh\necho $$ $LISTEN_PID \"$@\"\n", 0o755)
	args := []string{"a b", "$x", "", "'q'", "-n"}
	tail := "a b $x  'q' -n"
	for name, argv := range map[string][]string{
		"direct":      append([]string{"./srv"}, args...),
		"by PATH":     append([]string{"srv"}, args...),
		"sh -c exec":  append(sh(`exec ./srv "$@"`), args...),
		"sh -c plain": append(sh(`echo $$ $LISTEN_PID "$@"`), args...),
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		tree := start(t, h, Spec{
			Argv: argv, Dir: dir, Stdout: w, ListenPID: true,
			Env: []string{"PATH=" + dir + ":/bin:/usr/bin", "LISTEN_PID=1"},
		})
		w.Close()
		got, want := newLines(r).next(t), fmt.Sprintf("%d %d %s", tree.PID(), tree.PID(), tail)
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		next(t, h, tree, Over)
		r.Close()
	}
	if _, err := h.Start(Spec{Argv: []string{"./missing"}, Dir: dir, ListenPID: true}); err == nil {
		t.Error("missing program: got no error")
	}
}

// A run has a session of its own, and no terminal.
func TestSession(t *testing.T) {
	h := newTestHost(t, Options{})
	tree, out := output(t, h, Spec{Argv: sh("echo up; (: </dev/tty) 2>/dev/null || echo no tty; sleep 1000")})
	out.want(t, "up")
	out.want(t, "no tty")
	p, ok := readProc(tree.PID())
	if !ok || p.Session != p.PID || p.Group != p.PID || p.Parent != os.Getpid() {
		t.Errorf("got %+v %v", p, ok)
	}
	tree.Kill()
	next(t, h, tree, Over)
}

// A run outlives the thread of the goroutine that started it: the kernel's parent-death signal is about the thread that forked.
func TestStarterEnds(t *testing.T) {
	h := newTestHost(t, Options{})
	for range 20 {
		started, threads := make(chan *Tree, 1), make(chan int, 1)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			threads <- unix.Gettid()
			tree, err := h.Start(Spec{Argv: []string{"sleep", "1000"}})
			if err != nil {
				t.Error(err)
			}
			started <- tree
		}()
		thread, tree := <-threads, <-started
		if tree == nil {
			return
		}
		if thread == os.Getpid() {
			continue // the first thread never ends
		}
		eventually(t, "the thread has ended", func() bool { return !exists(procPath(os.Getpid(), "task/"+strconv.Itoa(thread))) })
		tree.SignalLeader(unix.SIGUSR1)
		if e := next(t, h, tree, Exited); e.Status.Signal != unix.SIGUSR1 {
			t.Fatalf("got %v, want the end by our signal", e.Status)
		}
	}
}
