package inotify

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// alone tells whether this is the process in which the test shall run: one of its own, in user and mount namespaces
// of its own, where limits can be lowered and filesystems mounted without anybody else noticing, as root or not.
// Elsewhere it starts that process, reports what it says, and tells false.
func alone(t *testing.T) bool {
	const mark = "INOTIFY_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name(), "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		t.Skipf("no namespaces to be had here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Skipf("%s", out)
	}
	return false
}

// limitTo sets a sysctl of the namespace.
func limitTo(t *testing.T, name string, value int) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(strconv.Itoa(value)), 0o644))
}

// TestWatchLimit: the watch too many is refused with the limit named; what stands goes on, can be changed and has
// barriers; a higher limit or a Close elsewhere heals it.
func TestWatchLimit(t *testing.T) {
	if !alone(t) {
		return
	}
	const limit = 20
	limitTo(t, "user.max_inotify_watches", limit)
	s, c := newSandbox(t), newTestConn(t)
	expectBarrier(t, c) // takes one for itself
	for i := range limit {
		s.mkdir(strconv.Itoa(i))
	}
	for i := range limit - 1 {
		add(t, c, s.path(strconv.Itoa(i)), Create)
	}
	last := s.path(strconv.Itoa(limit - 1))
	_, err := c.Add(last, Create)
	e := expectError(t, err, unix.ENOSPC, "inotify add "+last+": no watch left for this user (ENOSPC)")
	if got, ok := e.Limit(); !ok || got != (Limit{"user.max_inotify_watches", limit}) {
		t.Errorf("got limit %v", got)
	}
	if want := "user.max_inotify_watches is 20: echo user.max_inotify_watches=524288 | "; !strings.HasPrefix(e.Hint(), want) {
		t.Errorf("got hint %q, want %q...", e.Hint(), want)
	}
	add(t, c, s.path("0"), Delete)
	expectBarrier(t, c)

	limitTo(t, "user.max_inotify_watches", 2*limit)
	add(t, c, last, Create)
	must(t, c.Close())
	limitTo(t, "user.max_inotify_watches", limit)
	fresh := newTestConn(t)
	for i := range limit {
		add(t, fresh, s.path(strconv.Itoa(i)), Create)
	}
}

// TestInstanceLimit and TestDescriptorLimit get the same errno from the kernel and tell the one from the other.
func TestInstanceLimit(t *testing.T) {
	if !alone(t) {
		return
	}
	limitTo(t, "user.max_inotify_instances", 2)
	c := newTestConn(t)
	newTestConn(t)
	_, err := Init()
	e := expectError(t, err, unix.EMFILE, "inotify init: no inotify instance left for this user (EMFILE)")
	if got, ok := e.Limit(); !ok || got != (Limit{"user.max_inotify_instances", 2}) {
		t.Errorf("got limit %v", got)
	}
	must(t, c.Close())
	newTestConn(t)
}

func TestDescriptorLimit(t *testing.T) {
	if !alone(t) {
		return
	}
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}))
	_, err := Init()
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	e := expectError(t, err, unix.EMFILE, "inotify init: too many open files (EMFILE)")
	if got, ok := e.Limit(); !ok || got.Name != "RLIMIT_NOFILE" {
		t.Errorf("got limit %v", got)
	}
}

// TestUnmount: every watch of the filesystem tells of its end, and none keeps it busy.
func TestUnmount(t *testing.T) {
	if !alone(t) {
		return
	}
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("m")
	mount(t, "tmpfs", s.path("m"), "tmpfs", 0)
	s.mkdir("m/a", "m/b")
	s.touch("m/a/f")
	for _, name := range []string{"m", "m/a", "m/b", "m/a/f"} {
		add(t, c, s.path(name), WatchMask)
	}
	outside := add(t, c, s.dir, WatchMask)
	must(t, unix.Unmount(s.path("m"), 0))
	ended, state := 0, map[WD]Mask{}
	for _, ev := range upToBarrier(t, c) {
		if ev.WD == outside || ev.Name != "" {
			t.Errorf("got %v", ev)
		}
		if ev.Mask == Ignored && state[ev.WD]&^IsDir == Unmount {
			ended++
		}
		state[ev.WD] = ev.Mask
	}
	if ended != 4 {
		t.Errorf("got %d watches with IN_UNMOUNT and IN_IGNORED, want 4: %v", ended, state)
	}
	expectMasks(t, c, WatchMask&^Unmount)
}

// TestLazyUnmount: detached while a file is open, it tells when the last user has gone.
func TestLazyUnmount(t *testing.T) {
	if !alone(t) {
		return
	}
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("m")
	mount(t, "tmpfs", s.path("m"), "tmpfs", 0)
	f := s.open("m/f", os.O_CREATE|os.O_WRONLY)
	wd := add(t, c, s.path("m"), Create)
	must(t, unix.Unmount(s.path("m"), unix.MNT_DETACH))
	expect(t, upToBarrier(t, c), nil)
	must(t, f.Close())
	expect(t, upToBarrier(t, c), []Event{{wd, Unmount | IsDir, 0, 0, ""}, {wd, Ignored, 0, 0, ""}})
}

// TestMountOver: a mount over a watched folder is no event, and hides what happens there from the watch.
func TestMountOver(t *testing.T) {
	if !alone(t) {
		return
	}
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("m")
	below := add(t, c, s.path("m"), WatchMask)
	mount(t, "tmpfs", s.path("m"), "tmpfs", 0)
	s.touch("m/f")
	expect(t, upToBarrier(t, c), nil)
	above := add(t, c, s.path("m"), WatchMask)
	if above == below {
		t.Errorf("one wd for what is below and above the mount")
	}
	s.must(os.Mkdir(s.path("m/g"), 0o755))
	expect(t, upToBarrier(t, c), []Event{{above, Create | IsDir, 0, 16, "g"}})
}

// TestBindMount: an inode has one watch whichever mount leads to it, and the end of a bind mount is no event.
func TestBindMount(t *testing.T) {
	if !alone(t) {
		return
	}
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("a", "b")
	mount(t, s.path("a"), s.path("b"), "", unix.MS_BIND)
	wd := add(t, c, s.path("a"), Create)
	if same := add(t, c, s.path("b"), Create); same != wd {
		t.Errorf("through the bind mount: got wd %d, want %d", same, wd)
	}
	s.touch("b/f")
	must(t, unix.Unmount(s.path("b"), 0))
	s.touch("a/g")
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "f"}, {wd, Create, 0, 16, "g"}})
}

// TestNoProc: without /proc paths can be watched; what needs it says so.
func TestNoProc(t *testing.T) {
	if !alone(t) {
		return
	}
	s := newSandbox(t)
	c, err := Init()
	must(t, err)
	defer func() { must(t, c.Close()) }()
	mount(t, "tmpfs", "/proc", "tmpfs", 0)
	defer func() { must(t, unix.Unmount("/proc", 0)) }()
	wd := add(t, c, s.dir, Create)
	s.touch("a")
	events, err := c.Read(nil)
	must(t, err)
	expect(t, events, []Event{{wd, Create, 0, 16, "a"}})
	_, err = c.AddFD(0, Create)
	e := expectError(t, err, unix.ENOENT, "inotify add /proc/self/fd/0: /proc is not mounted (ENOENT)")
	if want := "watching a descriptor needs /proc: mount -t proc proc /proc"; e.Hint() != want {
		t.Errorf("got hint %q, want %q", e.Hint(), want)
	}
	if _, err := c.Barrier(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("barrier: got %v, want ENOENT", err)
	}
	if _, err := c.Watches(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("watches: got %v, want ENOENT", err)
	}
	if got := ReadLimits().Watches; got != (Limit{"fs.inotify.max_user_watches", -1}) {
		t.Errorf("limits: got %v", got)
	}
}

func mount(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	// Nothing of it shall reach the mount namespace it was copied from.
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount(source, target, kind, flags, ""))
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) }) // most tests have done it themselves
}
