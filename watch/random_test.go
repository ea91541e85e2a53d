package watch

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// The random test runs a few seconds by default. For hours: go test -run Random -ops 50000000 -timeout 0 ./watch
var (
	flagOps  = flag.Int64("ops", 30_000, "operations of the random tests in all")
	flagSeed = flag.Uint64("seed", 0, "first seed of the random tests; 0: from the clock")
)

func TestRandom(t *testing.T) {
	seed := *flagSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	var total atomic.Int64
	for i := uint64(0); total.Load() < *flagOps; i++ {
		s := scenario(seed + i)
		t.Run(s.String(), func(t *testing.T) { total.Add(s.run(t, min(*flagOps, 50_000))) })
		if t.Failed() {
			break
		}
	}
	t.Logf("%d operations from seed %d", total.Load(), seed)
}

// randomRun is one watch with writers beside it.
type randomRun struct {
	seed    uint64
	writers int
	callers int // goroutines that ask for marks, syncs and other wishes meanwhile
	queue   int // of the kernel; 0: as it is
	raced   bool
	pruned  bool
	poll    bool
	mixed   bool // a third of all folders lie on a device that is polled, too
	scarce  bool // every third watch is refused at first
	slow    bool // the consumer is busy with other things
	linked  bool // the way to the root goes through a symbolic link
	closed  bool // at the end, while all others are at work
}

func scenario(seed uint64) randomRun {
	r := rand.New(rand.NewPCG(seed, 1))
	s := randomRun{seed: seed, writers: 1 + r.IntN(4), raced: r.IntN(2) == 0, pruned: r.IntN(3) == 0}
	if os.Geteuid() == 0 {
		s.queue = []int{0, 64, 1000}[r.IntN(3)]
	}
	s.poll = r.IntN(12) == 0
	s.mixed = !s.poll && r.IntN(10) == 0
	s.scarce = !s.poll && r.IntN(12) == 0
	s.callers = max(0, r.IntN(8)-4)
	s.slow = r.IntN(8) == 0
	s.linked = r.IntN(4) == 0
	s.closed = r.IntN(3) == 0
	return s
}

func (s randomRun) String() string {
	text := fmt.Sprintf("seed=%d,writers=%d,callers=%d,queue=%d", s.seed, s.writers, s.callers, s.queue)
	for _, x := range []struct {
		name string
		on   bool
	}{{"raced", s.raced}, {"pruned", s.pruned}, {"poll", s.poll}, {"mixed", s.mixed}, {"scarce", s.scarce}, {"slow", s.slow},
		{"linked", s.linked}, {"closed", s.closed}} {
		if x.on {
			text += "," + x.name
		}
	}
	return text
}

// polls tells whether something is seen by polling only, which may leave out at a barrier what is dear to look at.
func (s randomRun) polls() bool { return s.poll || s.mixed || s.scarce }

// way is the path of the root below the run's folder.
func (s randomRun) way() string {
	if s.linked {
		return "way/r"
	}
	return "p/r"
}

func (s randomRun) options(dir string, wishes *wishes) Options {
	o := Options{Roots: []string{filepath.Join(dir, s.way())}, WaitRoots: true, Warn: func(Warning) {}}
	if s.pruned || s.callers > 0 {
		o.Prune = func(_ int, d string) bool { return wishes.ignore(d) }
		o.Skip = func(_ int, f string) bool { return wishes.ignore(f) }
	}
	if s.polls() {
		o.Poll = 20 * time.Millisecond
	}
	if s.poll {
		o.Backend = "poll"
	}
	return o
}

// kernel is the one of the run: with devices that are not there, or too few watches.
func (s randomRun) kernel() (kernel, inotify.Syscalls) {
	k, sys := system(), inotify.Syscalls{}
	if s.mixed {
		k.statx = func(dir int, name *byte, flags int, st *unix.Statx_t) error {
			err := statx(dir, name, flags, st)
			if st.Ino%3 == 0 {
				st.Dev_minor += 1000
			}
			return err
		}
		k.fsType = func(fd int) (int64, error) {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil || st.Ino%3 > 0 {
				return unix.EXT4_SUPER_MAGIC, err
			}
			return unix.FUSE_SUPER_MAGIC, nil
		}
	}
	if s.scarce {
		var calls atomic.Int64
		sys.Add = func(fd int, path string, mask uint32) (int, error) {
			if mask&unix.IN_ONLYDIR != 0 && calls.Add(1)%3 == 0 {
				return -1, unix.ENOSPC
			}
			return unix.InotifyAddWatch(fd, path, mask)
		}
	}
	return k, sys
}

// wishes are what the caller of a run wants to see; they may change.
type wishes struct {
	now atomic.Int32 // index into ignored

	mu    sync.Mutex
	since []int32 // what they were since the last check
}

// ignored are the wishes: each says which paths it does not want, and with a folder all that is in it.
var ignored = []func(path string) bool{
	func(string) bool { return false },
	func(path string) bool { return hasName(path, "c") || under(path, "a/b") },
	func(path string) bool { return hasName(path, "d") },
	func(path string) bool { return hasName(path, "e") || under(path, "b") || under(path, "c/a") },
}

func hasName(path, name string) bool { return slices.Contains(strings.Split(path, "/"), name) }

func under(path, base string) bool { return path == base || strings.HasPrefix(path, base+"/") }

func (s *wishes) ignore(path string) bool { return ignored[s.now.Load()](path) }

func (s *wishes) change(to int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = append(s.since, s.now.Load(), to)
	trace("== wish %d", to)
	s.now.Store(to)
}

// unsure tells whether a path was wanted and not wanted since the last check.
func (s *wishes) unsure(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.since, func(i int32) bool { return ignored[i](path) != ignored[s.since[0]](path) })
}

func (s *wishes) checked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = nil
}

func (s randomRun) run(t *testing.T, ops int64) int64 {
	dir := t.TempDir()
	for _, d := range []string{"p/r", "q/r", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("p", filepath.Join(dir, "way")); err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	perRound := int64(100) << (s.seed % 7)
	writers := func() *sync.WaitGroup {
		var wg sync.WaitGroup
		until := count.Load() + perRound
		for i := range s.writers {
			v := &vandal{dir: dir, way: s.way(), r: rand.New(rand.NewPCG(s.seed, uint64(count.Load())+uint64(i)<<32))}
			wg.Go(func() {
				for count.Add(1) < until {
					v.act()
				}
				v.letGo()
			})
		}
		return &wg
	}
	writers().Wait()
	first := new(sync.WaitGroup)
	if s.raced {
		first = writers()
	}
	wishes := new(wishes)
	if s.pruned {
		wishes.now.Store(1)
	}
	k, sys := s.kernel()
	w := lowered(t, s.queue, func() (*Watcher, error) { return newWatcher(context.Background(), s.options(dir, wishes), k, sys) })
	v := follow(t, w, s, dir, wishes)
	first.Wait()
	v.check("start")
	for n := 0; count.Load() < ops && !t.Failed(); n++ {
		v.links(s.seed + uint64(n))
		v.busy(uint64(n), writers())
		v.check(strconv.Itoa(n))
	}
	if s.closed && !t.Failed() {
		v.closeAmong(writers())
	}
	v.close()
	return count.Load()
}

// lowered makes a Watcher with a short event queue.
func lowered(t *testing.T, queue int, start func() (*Watcher, error)) *Watcher {
	t.Helper()
	const sysctl = "/proc/sys/fs/inotify/max_queued_events"
	if queue > 0 {
		lock, err := os.Open(sysctl) // it is the machine's, and other tests may do the same
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Close()
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(sysctl)
		if err == nil {
			err = os.WriteFile(sysctl, []byte(strconv.Itoa(queue)), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(sysctl, old, 0)
	}
	w, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// vandal changes a tree at random.
type vandal struct {
	dir, way string
	r        *rand.Rand
	held     []*os.File // folders that are kept open, so that their inodes outlive them
}

const letters = "abcdef"

func (v *vandal) path() string {
	p := filepath.Join(v.dir, v.way)
	for range 1 + v.r.IntN(4) {
		p += "/" + letters[v.r.IntN(len(letters)):][:1]
	}
	return p
}

func (v *vandal) outside() string {
	return filepath.Join(v.dir, "out", letters[v.r.IntN(len(letters)):][:1])
}

// act does one thing; that it may fail is part of the game.
func (v *vandal) act() {
	switch p, n := v.path(), v.r.IntN(40); n {
	case 0, 1, 2, 3:
		_ = os.Mkdir(p, 0o755)
	case 4, 5:
		_ = os.MkdirAll(p, 0o755)
		v.write(p+"/"+letters[v.r.IntN(len(letters)):][:1], os.O_CREATE|os.O_TRUNC)
	case 6, 7, 8, 9, 10, 11, 12:
		v.write(p, os.O_CREATE|os.O_TRUNC)
	case 13, 14, 15:
		v.write(p, os.O_APPEND)
	case 16, 17:
		_ = os.Remove(p)
	case 18:
		_ = os.RemoveAll(p)
	case 19, 20, 21, 22, 23:
		_ = os.Rename(p, v.path())
	case 24, 25:
		_ = unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, v.path(), unix.RENAME_EXCHANGE)
	case 26:
		_ = os.Symlink(letters[v.r.IntN(len(letters)):][:1], p)
	case 27:
		_ = os.Rename(p, v.outside())
	case 28, 29:
		_ = os.Rename(v.outside(), p)
	case 30, 31:
		tmp := p + ".tmp"
		v.write(tmp, os.O_CREATE)
		_ = os.Rename(tmp, p)
	case 32:
		_ = os.Chmod(p, os.FileMode(0o700+v.r.IntN(64)))
	case 33:
		v.write(p+"l", os.O_APPEND)
	case 34:
		_ = os.Truncate(p, int64(v.r.IntN(100)))
	case 35:
		_ = os.Rename(p, p+"x")
		_ = os.Rename(p+"x", p)
	case 36:
		_ = os.Chtimes(p, time.Unix(int64(v.r.IntN(1000)), 0), time.Unix(int64(v.r.IntN(1000)), 0))
	default:
		v.rare(p)
	}
}

// rare is what hits the root itself.
func (v *vandal) rare(p string) {
	root := filepath.Join(v.dir, v.way)
	switch v.r.IntN(60) {
	case 0:
		_ = os.RemoveAll(root)
		_ = os.MkdirAll(root, 0o755)
	case 1:
		_ = os.Rename(filepath.Join(v.dir, "p"), filepath.Join(v.dir, "p2"))
		_ = os.MkdirAll(filepath.Join(v.dir, "p", "r"), 0o755)
		_ = os.RemoveAll(filepath.Join(v.dir, "p2"))
	case 2:
		_ = os.Rename(root, root+"2")
		_ = os.Rename(root+"2", root)
	case 3:
		v.hold(root)
	case 4:
		v.hold(filepath.Dir(root))
	case 5:
		to := []string{"p", "q"}[v.r.IntN(2)]
		_ = os.Symlink(to, filepath.Join(v.dir, "next"))
		_ = os.Rename(filepath.Join(v.dir, "next"), filepath.Join(v.dir, "way"))
	case 6:
		_ = os.Mkdir(root+"3", 0o755)
		_ = unix.Renameat2(unix.AT_FDCWD, root, unix.AT_FDCWD, root+"3", unix.RENAME_EXCHANGE)
		_ = os.RemoveAll(root + "3")
	case 7:
		_ = os.RemoveAll(root)
		_ = os.Remove(filepath.Dir(root))
		_ = os.MkdirAll(filepath.Join(v.dir, "p", "r"), 0o755)
		_ = os.MkdirAll(root, 0o755)
	default:
		v.write(p, os.O_CREATE)
	}
}

// hold keeps a folder open: its end is then told to its parent only.
func (v *vandal) hold(path string) {
	if len(v.held) >= 4 {
		v.letGo()
	}
	if f, err := os.Open(path); err == nil {
		v.held = append(v.held, f)
	}
}

func (v *vandal) letGo() {
	for _, f := range v.held {
		_ = f.Close()
	}
	v.held = nil
}

func (v *vandal) write(p string, flags int) {
	f, err := os.OpenFile(p, os.O_WRONLY|flags, 0o644)
	if err != nil {
		return
	}
	for range v.r.IntN(3) {
		_, _ = f.WriteString(strings.Repeat("x", 1+v.r.IntN(50)))
	}
	_ = f.Close()
}

// follower replays batches.
type follower struct {
	t      *testing.T
	w      *Watcher
	s      randomRun
	dir    string
	root   string
	wishes *wishes
	cancel context.CancelFunc
	done   chan struct{}
	asked  atomic.Uint64
	r      *rand.Rand // of the loop

	mu    sync.Mutex
	model map[string]seen
	marks map[uint64]chan struct{} // closed when they come
}

// seen is what a path was when it was last reported.
type seen struct {
	typ  Type
	stat string
}

func follow(t *testing.T, w *Watcher, s randomRun, dir string, wishes *wishes) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	v := &follower{t: t, w: w, s: s, dir: dir, root: filepath.Join(dir, s.way()), cancel: cancel, done: make(chan struct{}),
		wishes: wishes, r: rand.New(rand.NewPCG(s.seed, 5)), model: make(map[string]seen), marks: make(map[uint64]chan struct{})}
	w.call(func() { // the state to begin with is what the tree holds
		if top := w.roots[0].top; top != nil {
			w.tellTree(top, func(path string, typ Type, _ ident) { v.model[path] = seen{typ: typ} })
		}
		for at, it := range w.set.items { // what is found since is still to come
			delete(v.model, at.path)
			if it.before {
				v.model[at.path] = seen{typ: it.wasType}
			}
		}
		for path, x := range v.model {
			v.model[path] = seen{x.typ, v.stat(path, x.typ)}
		}
	})
	go v.loop(ctx)
	return v
}

func (v *follower) loop(ctx context.Context) {
	defer close(v.done)
	for {
		b, err := v.w.Next(ctx)
		if err != nil {
			return
		}
		v.mu.Lock()
		v.replay(b)
		for _, m := range b.Marks {
			v.arrive(m.ID)
		}
		v.mu.Unlock()
		if v.s.slow {
			<-time.After(time.Duration(v.r.IntN(20)) * time.Millisecond) // the consumer works
		}
	}
}

func (v *follower) arrive(id uint64) {
	c, asked := v.marks[id]
	if !asked {
		v.t.Errorf("mark %d came twice, or was never asked for", id)
		return
	}
	delete(v.marks, id)
	close(c)
}

// busy has callers ask for this and that while writers are at work.
func (v *follower) busy(round uint64, writers *sync.WaitGroup) {
	ended := make(chan struct{})
	var callers sync.WaitGroup
	for i := range v.s.callers {
		r := rand.New(rand.NewPCG(v.s.seed+round, uint64(i)))
		callers.Go(func() {
			for {
				v.call(r)
				select {
				case <-ended:
					return
				case <-v.w.ended:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(ended)
	callers.Wait()
}

// call asks for something.
func (v *follower) call(r *rand.Rand) {
	switch r.IntN(8) {
	case 0:
		v.wishes.change(int32(r.IntN(len(ignored))))
		v.w.Refresh()
	case 1:
		trace("== refresh")
		v.w.Refresh()
	case 2:
		_ = v.w.Stats()
	case 3, 4:
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := v.w.Sync(ctx); err != nil && err != io.EOF {
			v.t.Errorf("sync: %v", err)
		}
	case 5: // all together
		v.w.Refresh()
		one, two := v.mark(), v.mark()
		v.await("refresh and marks", one)
		v.await("refresh and marks", two)
	default:
		v.await("caller", v.mark())
	}
}

// mark asks for a mark, and gives what is closed when it comes.
func (v *follower) mark() chan struct{} {
	c := make(chan struct{})
	v.mu.Lock()
	id := v.asked.Add(1)
	trace("== mark %d", id)
	v.marks[id] = c
	v.mu.Unlock()
	v.w.Mark(id)
	return c
}

func (v *follower) await(what string, mark chan struct{}) {
	select {
	case <-mark:
	case <-v.w.ended:
	case <-time.After(30 * time.Second):
		v.t.Errorf("%s: no mark: %s", what, v.stuck())
	}
}

// stuck says what the Watcher waits for.
func (v *follower) stuck() (text string) {
	v.w.call(func() {
		w := v.w
		text = fmt.Sprintf("%d waits, first read %v until %v; dirty %d, unsettled %v, clock %v, postponed %d, vital %d, limbo %d, now %v", len(w.waits),
			len(w.waits) > 0 && w.waits[0].read, len(w.waits) > 0 && w.waits[0].until.After(w.now), len(w.dirty), w.unsettled(), w.clock.at,
			len(w.postponed), len(w.vital), len(w.limbo), time.Now())
	})
	return text
}

// closeAmong closes the Watcher while all others are at work, who must not wait for ever.
func (v *follower) closeAmong(writers *sync.WaitGroup) {
	closed := make(chan struct{})
	go func() {
		<-time.After(time.Duration(v.s.seed%16) * time.Millisecond) // some time in the middle
		_ = v.w.Close()
		close(closed)
	}()
	v.busy(1<<32, writers)
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		v.t.Error("the end of Close does not come")
	}
}

// replay is strict: a path that is made must not be there, one that is removed must.
func (v *follower) replay(b Batch) {
	for _, c := range b.Changes {
		trace("  %v %v %s from %s %v", c.Op, c.Type, c.Path, c.From, c.Recovered)
	}
	trace("  -- %v", b.Roots)
	defer func(failed bool) {
		if !failed && v.t.Failed() {
			v.t.Log(strings.Join(traced.all(), "\n"))
		}
	}(v.t.Failed())
	for _, c := range b.Changes {
		gone := c.Path
		if c.Op == Rename {
			gone = c.From
		} else if c.Op != Remove {
			continue
		}
		if _, ok := v.model[gone]; !ok && !v.wishes.unsure(gone) {
			v.t.Errorf("%v %s from %q: was not there", c.Op, c.Path, c.From)
		}
		delete(v.model, gone)
	}
	for _, c := range b.Changes {
		_, was := v.model[c.Path]
		if c.Op == Remove {
			continue
		}
		if v.wishes.unsure(c.Path) {
			v.model[c.Path] = seen{c.Type, v.stat(c.Path, c.Type)}
			continue
		}
		switch c.Op {
		case Create, Rename:
			if was {
				v.t.Errorf("%v %s from %q: was there: %+v", c.Op, c.Path, c.From, c)
			}
		case Write, Attrib:
			if !was {
				v.t.Errorf("%v %s: was not there: %+v", c.Op, c.Path, c)
			}
		}
		v.model[c.Path] = seen{c.Type, v.stat(c.Path, c.Type)}
	}
}

func (v *follower) stat(path string, typ Type) string {
	if typ == Dir {
		return "dir"
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(filepath.Join(v.root, path), &st); err != nil {
		return err.Error()
	}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		return "dir"
	}
	return fmt.Sprint(st.Ino, st.Size, st.Mtim)
}

// check waits for quiet and compares the disk with what was reported and with the tree.
func (v *follower) check(when string) {
	v.sync(when)
	if v.s.polls() {
		v.eventually(0) // on a busy machine a barrier may leave out what is dear to poll
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	disk := v.disk()
	v.adopt(disk)
	defer v.wishes.checked()
	v.compare(when, "reported", disk, v.model)
	trace("==== %s", when)
	v.compare(when, "tree", disk, v.tree())
}

// adopt takes over what came to be wanted or unwanted since the last check: that is not told.
func (v *follower) adopt(disk map[string]seen) {
	for path := range v.model {
		if v.wishes.unsure(path) {
			delete(v.model, path)
		}
	}
	for path, x := range disk {
		if v.wishes.unsure(path) {
			v.model[path] = x
		}
	}
}

// links makes some further names of files, and waits until they are known: what is written through a name that is made and
// gone between two looks is told to nobody who watches folders.
func (v *follower) links(seed uint64) {
	d := &vandal{dir: v.dir, way: v.s.way(), r: rand.New(rand.NewPCG(seed, 9))}
	for range 5 {
		old, name := d.path(), d.path()+"l"
		rel, _ := filepath.Rel(v.root, name)
		if slices.ContainsFunc(ignored, func(f func(string) bool) bool { return (v.s.pruned || v.s.callers > 0) && f(rel) }) {
			continue // a further name where nobody looks is told to nobody
		}
		_ = os.Link(old, name)
	}
	v.sync("links")
}

// sync waits until all that has happened was replayed.
func (v *follower) sync(when string) {
	v.await("round "+when, v.mark())
}

// tree is what the Watcher remembers.
func (v *follower) tree() map[string]seen {
	tree := make(map[string]seen)
	v.w.call(func() {
		if top := v.w.roots[0].top; top != nil {
			v.w.tellTree(top, func(path string, typ Type, id ident) {
				x := seen{typ, "dir"}
				if typ != Dir {
					x.stat = fmt.Sprint(id.ino, id.size, syscall.NsecToTimespec(id.mtime))
				}
				tree[path] = x
			})
		}
	})
	return tree
}

func (v *follower) disk() map[string]seen {
	disk := make(map[string]seen)
	_ = filepath.WalkDir(v.root+"/", func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(v.root, path)
		if err != nil || rel == "." {
			return err
		}
		if v.wishes.ignore(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		disk[rel] = seen{typeOf(uint16(st.Mode)), v.stat(rel, 0)}
		return nil
	})
	return disk
}

func (v *follower) compare(when, what string, disk, got map[string]seen) {
	wrong := v.diff(disk, got)
	if len(wrong) > 0 {
		slices.Sort(wrong)
		for _, l := range traced.all() {
			v.t.Log(l)
		}
		v.t.Errorf("round %s: %s differs from the disk in %d paths:\n%s", when, what, len(wrong),
			strings.Join(wrong[:min(len(wrong), 12)], "\n"))
	}
}

func (v *follower) diff(disk, got map[string]seen) (wrong []string) {
	for path, want := range disk {
		if have, ok := got[path]; !ok {
			wrong = append(wrong, fmt.Sprintf("missing %v %s", want.typ, path))
		} else if v.s.polls() && have.stat == unix.ENOENT.Error() {
			continue // away when it was looked for, and back before the next poll
		} else if have != want {
			wrong = append(wrong, fmt.Sprintf("%s is %v, not %v", path, want, have), v.names(path))
		}
	}
	for path, have := range got {
		if _, ok := disk[path]; !ok {
			wrong = append(wrong, fmt.Sprintf("is no more: %v %s", have.typ, path))
		}
	}
	return wrong
}

// names says what is known of the names of a file.
func (v *follower) names(path string) string {
	var st syscall.Stat_t
	_ = syscall.Lstat(filepath.Join(v.root, path), &st)
	text := fmt.Sprintf("%s has %d names;", path, st.Nlink)
	v.w.call(func() {
		for l, id := range v.w.hard.of {
			if i, ok := l.node.files.find(l.name); ok && l.node.files.list[i].ino == st.Ino {
				text += fmt.Sprintf(" %s has watch %d, alive %v;", l.node.pathOf(l.name), id, l.node.alive())
			}
		}
		text += fmt.Sprint(v.w.hard.ids, v.w.hard.new)
	})
	return text
}

func (v *follower) close() {
	v.cancel()
	<-v.done
	if err := v.w.Close(); err != nil {
		v.t.Error(err)
	}
}
