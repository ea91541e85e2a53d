package inotify

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInitErrors: the errors of inotify_init1 keep their number and say what to do.
func TestInitErrors(t *testing.T) {
	instances, files := ReadLimits().Instances, sysctl("fs.file-max")
	for _, test := range []struct {
		errno      syscall.Errno
		text, hint string
		temporary  bool
	}{
		{unix.EMFILE, "inotify init: no inotify instance left for this user (EMFILE)", instances.hint(), true},
		{unix.ENFILE, "inotify init: too many open files in system (ENFILE)", files.hint(), true},
		{unix.ENOMEM, "inotify init: cannot allocate memory (ENOMEM)",
			"the kernel has no memory for it: raise the memory limit of the container or cgroup", true},
		{unix.ENOSYS, "inotify init: function not implemented (ENOSYS)", "this kernel has no inotify: poll instead", false},
	} {
		_, err := InitWith(Syscalls{Init: func(int) (int, error) { return -1, test.errno }})
		e := expectError(t, err, test.errno, test.text)
		if e.Hint() != test.hint {
			t.Errorf("%v: got hint %q, want %q", test.errno, e.Hint(), test.hint)
		}
		if e.Temporary() != test.temporary {
			t.Errorf("%v: got temporary %v, want %v", test.errno, e.Temporary(), test.temporary)
		}
	}
}

func TestInitUnsupported(t *testing.T) {
	_, err := InitWith(Syscalls{Init: func(int) (int, error) { return -1, unix.ENOSYS }})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want errors.ErrUnsupported", err)
	}
}

func TestInitInterrupted(t *testing.T) {
	calls := 0
	c := newFaultyConn(t, Syscalls{Init: func(flags int) (int, error) {
		if calls++; calls < 3 {
			return -1, unix.EINTR
		}
		return unix.InotifyInit1(flags)
	}})
	must(t, c.Close())
}

// TestInitUnpollable: an instance that the runtime's poller does not take would never wake, so there is none.
func TestInitUnpollable(t *testing.T) {
	noLeaks(t)
	_, err := InitWith(Syscalls{Init: func(int) (int, error) {
		return unix.Open("/proc/self/status", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // epoll refuses files
	}})
	if !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("got %v, want os.ErrNoDeadline", err)
	}
}

// TestAddFaults: the errnos of inotify_add_watch that a test cannot provoke, and interruptions.
func TestAddFaults(t *testing.T) {
	var errno syscall.Errno
	interrupted := 0
	c := newFaultyConn(t, Syscalls{Add: func(fd int, path string, mask uint32) (int, error) {
		if interrupted > 0 {
			interrupted--
			return -1, unix.EINTR
		}
		if errno != 0 {
			return -1, errno
		}
		return unix.InotifyAddWatch(fd, path, mask)
	}})
	for _, test := range []struct {
		errno      syscall.Errno
		text, hint string
	}{
		{unix.ENOSPC, "inotify add /: no watch left for this user (ENOSPC)", ReadLimits().Watches.hint()},
		{unix.ENOMEM, "inotify add /: cannot allocate memory (ENOMEM)",
			"the kernel has no memory for it: raise the memory limit of the container or cgroup"},
		{unix.EACCES, "inotify add /: permission denied (EACCES)",
			"watching needs read permission, if only at this moment: chmod +r /"},
		{unix.EEXIST, "inotify add /: file exists (EEXIST)",
			"the inode is watched already, perhaps by another path: leave IN_MASK_CREATE out to add to its events"},
		{unix.ENAMETOOLONG, "inotify add /: file name too long (ENAMETOOLONG)",
			"open it step by step from a folder above and watch the descriptor"},
		{unix.EIO, "inotify add /: input/output error (EIO)", ""},
		{unix.ENOENT, "inotify add /: no such file or directory (ENOENT)", ""},
	} {
		errno = test.errno
		_, err := c.Add("/", Create)
		if e := expectError(t, err, test.errno, test.text); e.Hint() != test.hint {
			t.Errorf("%v: got hint %q, want %q", test.errno, e.Hint(), test.hint)
		}
	}
	_, err := c.AddFD(0, Create) // the last errno, ENOENT, though the descriptor is open and /proc is there
	expectError(t, err, unix.ENOENT, "inotify add /proc/self/fd/0: no such file or directory (ENOENT)")
	errno, interrupted = 0, 3
	add(t, c, "/", Create)
}

// TestRemoveFaults: an errno that is not EINVAL is not "not watched".
func TestRemoveFaults(t *testing.T) {
	c := newFaultyConn(t, Syscalls{Remove: func(int, uint32) (int, error) { return -1, unix.EIO }})
	err := c.Remove(7)
	expectError(t, err, unix.EIO, "inotify remove wd 7: input/output error (EIO)")
	if errors.Is(err, ErrNotWatched) {
		t.Errorf("got %v, which is ErrNotWatched", err)
	}
}

func TestPendingFault(t *testing.T) {
	c := newFaultyConn(t, Syscalls{Queued: func(int) (int, error) { return 0, unix.EIO }})
	_, err := c.Pending()
	expectError(t, err, unix.EIO, "inotify pending: input/output error (EIO)")
}

// TestBarrierFaults: each of its calls may fail, and the next barrier works again.
func TestBarrierFaults(t *testing.T) {
	for _, test := range []struct {
		call, text, limit string
		errno             syscall.Errno
	}{
		{"memfd", "inotify barrier: too many open files (EMFILE)", "RLIMIT_NOFILE", unix.EMFILE},
		{"add", "inotify barrier /proc/self/fd/%d: no watch left for this user (ENOSPC)", ReadLimits().Watches.Name, unix.ENOSPC},
		{"remove", "inotify barrier: input/output error (EIO)", "", unix.EIO},
	} {
		t.Run(test.call, func(t *testing.T) {
			fail := test.call
			c := newFaultyConn(t, barrierFaults(&fail, test.errno))
			_, err := c.Barrier()
			if test.call == "add" {
				test.text = fmt.Sprintf(test.text, c.barrier.memfd.Fd())
			}
			e := expectError(t, err, test.errno, test.text)
			if limit, _ := e.Limit(); limit.Name != test.limit {
				t.Errorf("got limit %v, want %s", limit, test.limit)
			}
			fail = ""
			expectBarrier(t, c)
		})
	}
}

// TestBarrierKeepsItsSlot: once there was a barrier there is another, even if no watch can be added at that moment.
func TestBarrierKeepsItsSlot(t *testing.T) {
	fail := ""
	c := newFaultyConn(t, barrierFaults(&fail, unix.ENOSPC))
	expectBarrier(t, c)
	fail = "add"
	expectBarrier(t, c)
	if _, err := c.Barrier(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without a slot: got %v, want ENOSPC", err)
	}
	fail = ""
	expectBarrier(t, c)
}

// barrierFaults makes the call that fail names fail.
func barrierFaults(fail *string, errno syscall.Errno) Syscalls {
	return Syscalls{
		Memfd: func(name string, flags int) (int, error) {
			if *fail == "memfd" {
				return -1, errno
			}
			return unix.MemfdCreate(name, flags)
		},
		Add: func(fd int, path string, mask uint32) (int, error) {
			if *fail == "add" {
				return -1, errno
			}
			return unix.InotifyAddWatch(fd, path, mask)
		},
		Remove: func(fd int, wd uint32) (int, error) {
			if *fail == "remove" {
				return -1, errno
			}
			return unix.InotifyRmWatch(fd, wd)
		},
	}
}

func expectBarrier(t testing.TB, c *Conn) {
	t.Helper()
	wd, err := c.Barrier()
	must(t, err)
	events, err := c.TryRead(nil)
	if want := (Event{WD: wd, Mask: Ignored}); err != nil || len(events) == 0 || events[len(events)-1] != want {
		t.Errorf("got %v, %v, want %v last", events, err, want)
	}
}

func TestLimits(t *testing.T) {
	limits := ReadLimits()
	for _, limit := range []Limit{limits.Watches, limits.Instances, limits.Queue} {
		if limit.Value <= 0 {
			t.Errorf("%s: got %d", limit.Name, limit.Value)
		}
		if !strings.Contains(limit.Name, "inotify") {
			t.Errorf("got a limit called %q", limit.Name)
		}
	}
	if got := sysctl("fs.inotify.no_such"); got.Value != -1 {
		t.Errorf("a sysctl that is none: got %d, want -1", got.Value)
	}
	if _, ok := (&Error{Op: "add", Errno: unix.ENOENT}).Limit(); ok {
		t.Error("ENOENT: got a limit")
	}
}

func TestLimitHint(t *testing.T) {
	const command = "echo %s | sudo tee /etc/sysctl.d/60-inotify.conf && sudo sysctl --system (in a container: on its host)"
	for _, test := range []struct {
		limit Limit
		want  string
	}{
		{Limit{"fs.inotify.max_user_watches", 8192},
			"fs.inotify.max_user_watches is 8192: " + fmt.Sprintf(command, "fs.inotify.max_user_watches=524288")},
		{Limit{"fs.inotify.max_user_watches", 524288},
			"fs.inotify.max_user_watches is 524288: " + fmt.Sprintf(command, "fs.inotify.max_user_watches=1048576")},
		{Limit{"fs.inotify.max_user_watches", 600000},
			"fs.inotify.max_user_watches is 600000: " + fmt.Sprintf(command, "fs.inotify.max_user_watches=2097152")},
		{Limit{"fs.inotify.max_user_instances", 128},
			"fs.inotify.max_user_instances is 128: " + fmt.Sprintf(command, "fs.inotify.max_user_instances=1024")},
		{Limit{"fs.inotify.max_user_instances", -1},
			"fs.inotify.max_user_instances is too low: " + fmt.Sprintf(command, "fs.inotify.max_user_instances=1024")},
		{Limit{"RLIMIT_NOFILE", 1024}, "RLIMIT_NOFILE is 1024: raise it with ulimit -n, or LimitNOFILE= of the service"},
	} {
		if got := test.limit.hint(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestLower(t *testing.T) {
	a, b := Limit{"a", 10}, Limit{"b", 5}
	for _, test := range []struct{ a, b, want Limit }{
		{a, b, b}, {b, a, b}, {a, Limit{"b", 10}, a}, {a, Limit{"b", -1}, a}, {Limit{"a", -1}, b, b},
	} {
		if got := lower(test.a, test.b); got != test.want {
			t.Errorf("lower(%v, %v): got %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
