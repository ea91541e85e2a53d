package inotify

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit is a setting of the system that a call ran into.
type Limit struct {
	Name  string // as fs.inotify.max_user_watches, or RLIMIT_NOFILE
	Value int    // now; -1 if it cannot be read
}

// Sysctl gives the line for a file in /etc/sysctl.d that doubles the limit, or "" if it is not a sysctl.
func (l Limit) Sysctl() string {
	if !strings.Contains(l.Name, ".") {
		return ""
	}
	return fmt.Sprintf("%s=%d", l.Name, l.higher())
}

// Limits are the kernel's limits of inotify, as they are now. A value of -1 could not be read.
type Limits struct {
	Watches   Limit // all instances of this user together
	Instances Limit // of this user
	Queue     Limit // events in one instance's queue; taken over when the instance is made
}

// ReadLimits reads the limits that hold for this process. In a user namespace with lower ones these are the
// namespace's (user.max_inotify_watches and user.max_inotify_instances).
func ReadLimits() Limits {
	return Limits{
		Watches:   lower(sysctl("fs.inotify.max_user_watches"), sysctl("user.max_inotify_watches")),
		Instances: lower(sysctl("fs.inotify.max_user_instances"), sysctl("user.max_inotify_instances")),
		Queue:     sysctl("fs.inotify.max_queued_events"),
	}
}

// Limit gives the limit that the call ran into, if it was one.
func (e *Error) Limit() (Limit, bool) {
	switch {
	case e.Errno == unix.ENOSPC:
		return ReadLimits().Watches, true
	case e.Errno == unix.ENFILE:
		return sysctl("fs.file-max"), true
	case e.Errno != unix.EMFILE:
		return Limit{}, false
	case e.Op == "init" && !e.descriptors:
		return ReadLimits().Instances, true
	}
	return descriptors(), true
}

// Hint says what the user can do about it, or "".
func (e *Error) Hint() string {
	if limit, ok := e.Limit(); ok {
		return limit.hint()
	}
	switch e.Errno {
	case unix.ENOENT:
		if e.reason != "" {
			return "watching a descriptor needs /proc: mount -t proc proc /proc"
		}
	case unix.ENOSYS:
		return "this kernel has no inotify: poll instead"
	case unix.EACCES:
		return "watching needs read permission, if only at this moment: chmod +r " + printable(e.Path)
	case unix.ENOMEM:
		return "the kernel has no memory for it: raise the memory limit of the container or cgroup"
	case unix.EEXIST:
		return "the inode is watched already, perhaps by another path: leave IN_MASK_CREATE out to add to its events"
	case unix.ENAMETOOLONG:
		return "open it step by step from a folder above and watch the descriptor"
	}
	return ""
}

const nofile = "RLIMIT_NOFILE"

func (l Limit) hint() string {
	line := l.Sysctl()
	if line == "" {
		return fmt.Sprintf("%s is %s: raise it with ulimit -n, or LimitNOFILE= of the service", l.Name, l.value())
	}
	return fmt.Sprintf("%s is %s: echo %s | sudo tee /etc/sysctl.d/60-inotify.conf && sudo sysctl --system (in a container: on its host)",
		l.Name, l.value(), line)
}

func (l Limit) value() string {
	if l.Value < 0 {
		return "too low"
	}
	return strconv.Itoa(l.Value)
}

// higher is the next power of two that is at least twice the limit.
func (l Limit) higher() int {
	floor := 1024
	if strings.HasSuffix(l.Name, "_watches") {
		floor = 1 << 19
	}
	return max(floor, 1<<bits.Len(uint(max(l.Value, 1)*2-1)))
}

func lower(a, b Limit) Limit {
	if b.Value >= 0 && (a.Value < 0 || b.Value < a.Value) {
		return b
	}
	return a
}

func sysctl(name string) Limit {
	data, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return Limit{Name: name, Value: -1}
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		value = -1
	}
	return Limit{Name: name, Value: value}
}

func descriptors() Limit {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Limit{Name: nofile, Value: -1}
	}
	return Limit{Name: nofile, Value: int(limit.Cur)}
}

// spareDescriptor tells what EMFILE of inotify_init1 meant: if there is room for another descriptor, it was not that.
func spareDescriptor() bool {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}
