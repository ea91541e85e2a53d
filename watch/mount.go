package watch

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sentry waits for what inotify does not tell of: changes of the mount table, and the end of a sleep of the
// machine. The state "changed" of the mount table belongs to the open file and is eaten by whoever polls first, so the
// runtime's poller must not have it: a thread waits in poll(2).
type sentry struct {
	mounts, alarm, quit int // descriptors; -1: not to be had
	changed             chan<- struct{}
	woke                chan<- struct{}
}

// watchMounts starts the sentry, and returns what ends it.
func (w *Watcher) watchMounts() (stop func()) {
	s := sentry{changed: w.clock.mounts, woke: w.clock.woke}
	s.mounts = orNone(unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0))
	s.alarm = orNone(unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK))
	s.quit = orNone(unix.Eventfd(0, unix.EFD_CLOEXEC))
	if s.quit < 0 {
		s.close()
		return func() {}
	}
	w.mounted = readMounts()
	done := make(chan struct{})
	go s.run(done)
	return func() {
		_, _ = unix.Write(s.quit, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-done
		s.close()
	}
}

func orNone(fd int, err error) int {
	if err != nil {
		return -1
	}
	return fd
}

func (s *sentry) close() {
	for _, fd := range []int{s.mounts, s.alarm, s.quit} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (s *sentry) run(done chan<- struct{}) {
	defer close(done)
	slept := asleep()
	s.arm()
	for {
		fds := []unix.PollFd{{Fd: int32(s.quit), Events: unix.POLLIN}, {Fd: int32(s.mounts), Events: unix.POLLPRI},
			{Fd: int32(s.alarm), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[0].Revents != 0 {
			return
		}
		if fds[1].Revents != 0 {
			ring(s.changed)
		}
		if fds[2].Revents != 0 {
			s.arm()
			if now := asleep(); now-slept > time.Second {
				slept = now
				ring(s.woke)
			}
		}
	}
}

// ring wakes the Watcher, unless a ring is waiting for it already.
func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// arm sets an alarm that never rings, but is cancelled when the clock is set, as it is after a sleep. So
// nothing needs to wake up to see that time has jumped.
func (s *sentry) arm() {
	if s.alarm < 0 {
		return
	}
	var buf [8]byte
	_, _ = unix.Read(s.alarm, buf[:]) // says ECANCELED
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1 << 33}}
	_ = unix.TimerfdSettime(s.alarm, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
}

// asleep is how long the machine has slept since it was started.
func asleep() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}

// mountTable is the mount points by the id of the mount.
type mountTable map[int]string

func readMounts() mountTable {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(string(data))
}

// parseMounts reads the lines of mountinfo, of which field 1 is the id and field 5 the mount point.
func parseMounts(text string) mountTable {
	t := make(mountTable)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if id, err := strconv.Atoi(fields[0]); err == nil {
			t[id] = unescape(fields[4])
		}
	}
	return t
}

// unescape turns \040 and the like into the bytes that they stand for.
func unescape(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			return b.String() + s
		}
		b.WriteString(s[:i])
		if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			b.WriteByte(byte(c))
		} else {
			b.WriteString(s[i : i+4])
		}
		s = s[i+4:]
	}
}

// mountsChanged looks at the places where something was mounted or unmounted.
func (w *Watcher) mountsChanged() {
	old := w.mounted
	w.mounted = readMounts()
	for id, path := range old {
		if w.mounted[id] != path {
			w.mountChanged(path)
		}
	}
	for id, path := range w.mounted {
		if old[id] != path {
			w.mountChanged(path)
		}
	}
}

func (w *Watcher) mountChanged(path string) {
	for _, r := range w.roots {
		base := w.bases[r.index]
		if base == "" || isBelow(base, path) || isBelow(r.path, path) {
			r.stale = true
		} else if isBelow(path, base) && r.top != nil {
			w.mountBelow(r.top, strings.TrimPrefix(path, strings.TrimSuffix(base, "/")+"/"))
		}
	}
}

// mountBelow marks the name of a mount point in the tree.
func (w *Watcher) mountBelow(n *node, rel string) {
	dir, name := filepath.Split(rel)
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if part == "" {
			continue
		}
		if n = n.child(part); n == nil {
			return
		}
	}
	w.suspect(n, name, mark{at: w.now})
}

// isBelow tells whether path is base or lies below it.
func isBelow(path, base string) bool {
	return path == base || strings.HasPrefix(path, strings.TrimSuffix(base, "/")+"/")
}
