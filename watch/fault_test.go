package watch

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// quota is a kernel that gives only so many watches.
type quota struct {
	mu    sync.Mutex
	limit int
	given map[int]bool
}

func (q *quota) syscalls() inotify.Syscalls {
	q.given = make(map[int]bool)
	return inotify.Syscalls{Add: q.add, Remove: q.remove}
}

func (q *quota) add(fd int, path string, mask uint32) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wd, err := unix.InotifyAddWatch(fd, path, mask)
	if err != nil || q.given[wd] {
		return wd, err
	}
	if len(q.given) >= q.limit {
		_, _ = unix.InotifyRmWatch(fd, uint32(wd))
		return -1, unix.ENOSPC
	}
	q.given[wd] = true
	return wd, nil
}

func (q *quota) remove(fd int, wd uint32) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.given, int(wd))
	return unix.InotifyRmWatch(fd, wd)
}

func (q *quota) raise(limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
}

// watchWith is watchAfter with another kernel.
func watchWith(t *testing.T, setup string, k kernel, sys inotify.Syscalls, o Options) *probe {
	t.Helper()
	p := &probe{t: t, dir: t.TempDir()}
	p.sh("mkdir r out; " + setup)
	o.Roots = []string{filepath.Join(p.dir, "r")}
	w, err := newWatcher(t.Context(), o, k, sys)
	if err != nil {
		t.Fatal(err)
	}
	p.w = w
	t.Cleanup(func() { w.Close() })
	return p
}

// TestTooFewWatches: what cannot be watched is polled, the user is told once, and it heals.
func TestTooFewWatches(t *testing.T) {
	warnings := make(chan Warning, 10)
	q := &quota{limit: 20}
	p := watchWith(t, "for i in 0 1 2 3 4 5 6 7 8 9; do mkdir -p r/$i/a r/$i/b; touch r/$i/a/f; done", system(), q.syscalls(),
		Options{Poll: 20 * time.Millisecond, Warn: func(v Warning) { warnings <- v }})
	v := <-warnings
	if v.Kind != LimitReached || v.Dirs != 31 || v.Polled < 10 || v.Polled > 30 || v.Limit.Name != "fs.inotify.max_user_watches" &&
		v.Limit.Name != "user.max_inotify_watches" || !strings.Contains(v.Hint(), "/etc/sysctl.d/") {
		t.Errorf("warning %+v: %v; hint %q", v, v, v.Hint())
	}
	p.sh("for i in 0 1 2 3 4 5 6 7 8 9; do echo >>r/$i/a/f; mkdir -p r/$i/b/n; touch r/$i/b/n/g; done")
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("write file %d/a/f", i), fmt.Sprintf("create dir %d/b/n", i), fmt.Sprintf("create file %d/b/n/g", i))
	}
	p.until(want...)
	if len(warnings) > 0 {
		t.Errorf("warned again: %v", <-warnings)
	}
	q.raise(1000)
	if v := <-warnings; v.Kind != LimitHealed || v.Dirs != 41 {
		t.Errorf("warning %+v: %v", v, v)
	}
	p.changes()
	if s := p.w.Stats(); s.Polled != 0 || s.Backend != "inotify" || s.Dirs != 41 {
		t.Errorf("stats: %+v", s)
	}
	p.want("for i in 0 1 2 3 4 5 6 7 8 9; do touch r/$i/b/n/h; done", func() (want []string) {
		for i := range 10 {
			want = append(want, fmt.Sprintf("create file %d/b/n/h", i))
		}
		return want
	}()...)
}

// TestRootWithoutWatch: a root that was made again while no watch is to be had, with the inode number of the one before.
func TestRootWithoutWatch(t *testing.T) {
	var refuse atomic.Bool
	q := &quota{limit: 1000}
	sys := q.syscalls()
	add := sys.Add
	sys.Add = func(fd int, path string, mask uint32) (int, error) {
		if refuse.Load() && mask&unix.IN_MODIFY != 0 {
			return -1, unix.ENOSPC
		}
		return add(fd, path, mask)
	}
	k := system()
	k.statx = func(dir int, name *byte, flags int, st *unix.Statx_t) error {
		err := statx(dir, name, flags, st)
		if typeOf(st.Mode) == Dir {
			st.Ino = 42
		}
		return err
	}
	p := watchWith(t, "touch r/0", k, sys, Options{Poll: 20 * time.Millisecond, Warn: func(Warning) {}})
	refuse.Store(true)
	for i := range 5 {
		p.w.call(func() { p.sh(fmt.Sprintf("rm -r r; mkdir r; touch r/%d", i+1)) }) // nobody looks between
		p.until(fmt.Sprintf("remove file %d", i), fmt.Sprintf("create file %d", i+1))
	}
	refuse.Store(false)
	p.sh("touch r/last")
	p.until("create file last")
	p.want("touch r/more", "create file more")
}

func TestNoInotify(t *testing.T) {
	var warned []Warning
	sys := inotify.Syscalls{Init: func(int) (int, error) { return -1, unix.EMFILE }}
	o := Options{Poll: 20 * time.Millisecond, Warn: func(v Warning) { warned = append(warned, v) }}
	p := watchWith(t, "touch r/f", system(), sys, o)
	p.sh("echo >r/f; mkdir r/d; touch r/d/g")
	p.until("write file f", "create dir d", "create file d/g")
	if len(warned) != 1 || warned[0].Kind != NoInotify || warned[0].Hint() == "" {
		t.Errorf("warnings: %v", warned)
	}
	if s := p.w.Stats(); s.Backend != "poll" || s.Polled != 2 {
		t.Errorf("stats: %+v", s)
	}
	o.Backend, o.Roots = "inotify", []string{p.dir}
	if _, err := newWatcher(t.Context(), o, system(), sys); err == nil {
		t.Error("inotify was asked for and cannot be had: no error")
	}
}

// sabotage makes calls fail at random while it is on.
type sabotage struct {
	kernel
	on   atomic.Bool
	mu   sync.Mutex
	r    *rand.Rand
	hits atomic.Int64
}

func newSabotage(seed uint64) *sabotage {
	return &sabotage{kernel: system(), r: rand.New(rand.NewPCG(seed, 7))}
}

// fails is one of the errors, or none.
func (s *sabotage) fails(one int, errs ...error) error {
	if !s.on.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r.IntN(one) > 0 {
		return nil
	}
	s.hits.Add(1)
	return errs[s.r.IntN(len(errs))]
}

func (s *sabotage) faulty() kernel {
	k := s.kernel
	k.openat = func(dir int, name string, flags int) (int, error) {
		if err := s.fails(40, unix.EINTR, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EACCES, unix.EIO); err != nil {
			return -1, err
		}
		return s.kernel.openat(dir, name, flags)
	}
	k.statx = func(dir int, name *byte, flags int, st *unix.Statx_t) error {
		if err := s.fails(40, unix.EINTR, unix.ENOMEM, unix.EIO); err != nil {
			return err
		}
		return s.kernel.statx(dir, name, flags, st)
	}
	k.getdents = func(fd int, buf []byte) (int, error) {
		if err := s.fails(40, unix.EINTR, unix.ENOMEM, unix.EIO); err != nil {
			return -1, err
		}
		if s.fails(3, unix.EINTR) != nil { // a short answer
			buf = buf[:600]
		}
		return s.kernel.getdents(fd, buf)
	}
	return k
}

func (s *sabotage) syscalls() inotify.Syscalls {
	return inotify.Syscalls{
		Add: func(fd int, path string, mask uint32) (int, error) {
			if err := s.fails(30, unix.EINTR, unix.ENOSPC, unix.ENOMEM, unix.EACCES); err != nil {
				return -1, err
			}
			return unix.InotifyAddWatch(fd, path, mask)
		},
		Remove: func(fd int, wd uint32) (int, error) {
			if err := s.fails(30, unix.EINTR, unix.EINVAL); err != nil {
				return -1, err
			}
			return unix.InotifyRmWatch(fd, wd)
		},
		Read: func(fd int, p []byte) (int, error) {
			if err := s.fails(60, unix.EINTR, unix.EIO); err != nil {
				return -1, err
			}
			if s.fails(3, unix.EINTR) != nil {
				p = p[:min(len(p), 300)]
			}
			return unix.Read(fd, p)
		},
	}
}

// TestFaults: writers at work while calls fail at random; when the faults have ended, nothing is missing.
func TestFaults(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { faults(t, seed+*flagSeed) })
	}
}

func faults(t *testing.T, seed uint64) {
	dir := t.TempDir()
	s := randomRun{seed: seed, writers: 2, raced: seed%2 == 0, pruned: seed%3 == 0}
	v := &vandal{dir: dir, way: s.way(), r: rand.New(rand.NewPCG(seed, 3))}
	p := &probe{t: t, dir: dir}
	p.sh("mkdir -p p/r out")
	for range 300 {
		v.act()
	}
	bad := newSabotage(seed)
	wishes := new(wishes)
	if s.pruned {
		wishes.now.Store(1)
	}
	o := s.options(dir, wishes)
	o.Poll = 20 * time.Millisecond
	o.Warn = func(Warning) {}
	bad.on.Store(s.raced)
	w, err := newWatcher(t.Context(), o, bad.faulty(), bad.syscalls())
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, w, s, dir, wishes)
	for n := range 5 {
		bad.on.Store(true)
		for range 400 {
			v.act()
		}
		bad.on.Store(false)
		f.eventually(n)
	}
	if bad.hits.Load() < 10 {
		t.Errorf("only %d calls failed", bad.hits.Load())
	}
	f.close()
}

// eventually waits until nothing differs, for as long as healing may take.
func (v *follower) eventually(round int) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		wrong := v.differences()
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("round %d: %s\ndiffers from the disk in %d paths:\n%s", round, v.state(wrong[0]), len(wrong), strings.Join(wrong[:min(len(wrong), 12)], "\n"))
		}
		<-time.After(20 * time.Millisecond) // polling takes its time
	}
}

func (v *follower) differences() []string {
	v.sync("faults")
	v.mu.Lock()
	defer v.mu.Unlock()
	disk := v.disk()
	v.adopt(disk)
	wrong := append(v.diff(disk, v.model), v.diff(disk, v.tree())...)
	v.w.call(func() {
		if n := len(v.w.set.items); n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d paths are still to be told", n))
		}
	})
	slices.Sort(wrong)
	return wrong
}

// state is what the Watcher knows of the folders on the way to what is wrong.
func (v *follower) state(wrong string) (text string) {
	fields := strings.Fields(wrong)
	v.w.call(func() {
		n := v.w.roots[0].top
		for _, field := range fields {
			for part := range strings.SplitSeq(field, "/") {
				if c := n.child(part); c != nil {
					n = c
					text += fmt.Sprintf(" %s: id %d, flags %b, ctime %d, indexed %v;", part, n.id, n.flags, n.ctime, slices.Contains(v.w.index.owners(n.id), n))
				}
			}
		}
		text += fmt.Sprintf(" poll at %v, %d postponed, limit %v, stats %+v", v.w.poll.next, len(v.w.postponed), v.w.health.limit, v.w.count())
	})
	return text
}

// TestNoWatchAtAll: inotify can be opened, and gives nothing, not even the watch of a barrier.
func TestNoWatchAtAll(t *testing.T) {
	q := &quota{}
	p := watchWith(t, "mkdir r/d; touch r/d/f", system(), q.syscalls(), Options{Poll: 20 * time.Millisecond, Warn: func(Warning) {}})
	p.sh("echo >>r/d/f; mkdir r/e; touch r/e/g")
	p.until("write file d/f", "create dir e", "create file e/g")
	p.sh("mv r x; mkdir r; touch r/h")
	p.until("remove dir d", "remove file d/f", "remove dir e", "remove file e/g", "create file h")
	q.raise(1000)
	p.sh("touch r/i")
	p.until("create file i")
	for polled := 1; polled > 0; {
		polled = p.w.Stats().Polled
	}
	p.want("mkdir r/j; touch r/j/k", "create dir j", "create file j/k")
}
