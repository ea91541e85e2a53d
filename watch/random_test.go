package watch

import (
	"context"
	"flag"
	"fmt"
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
	queue   int // of the kernel; 0: as it is
	raced   bool
	pruned  bool
	poll    bool
	roots   int
}

func scenario(seed uint64) randomRun {
	r := rand.New(rand.NewPCG(seed, 1))
	s := randomRun{seed: seed, writers: 1 + r.IntN(4), raced: r.IntN(2) == 0, pruned: r.IntN(3) == 0, roots: 1}
	if os.Geteuid() == 0 {
		s.queue = []int{0, 64, 1000}[r.IntN(3)]
	}
	s.poll = r.IntN(12) == 0
	return s
}

func (s randomRun) String() string {
	return fmt.Sprintf("seed=%d,writers=%d,queue=%d,raced=%v,pruned=%v,poll=%v", s.seed, s.writers, s.queue, s.raced, s.pruned, s.poll)
}

func (s randomRun) options(dir string) Options {
	o := Options{Roots: []string{filepath.Join(dir, "p", "r")}, WaitRoots: true}
	if s.pruned {
		o.Prune = func(_ int, d string) bool { return ignored(d) }
		o.Skip = func(_ int, f string) bool { return ignored(f) }
	}
	if s.poll {
		o.Backend, o.Poll = "poll", 20*time.Millisecond
	}
	return o
}

// ignored are the paths that a pruned run does not want: a name, and a name in one place only.
func ignored(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "c" {
			return true
		}
	}
	return strings.HasPrefix(path, "a/b/") || path == "a/b"
}

func (s randomRun) run(t *testing.T, ops int64) int64 {
	dir := t.TempDir()
	for _, d := range []string{"p/r", "out"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var count atomic.Int64
	perRound := int64(100) << (s.seed % 7)
	writers := func() *sync.WaitGroup {
		var wg sync.WaitGroup
		until := count.Load() + perRound
		for i := range s.writers {
			v := &vandal{dir: dir, r: rand.New(rand.NewPCG(s.seed, uint64(count.Load())+uint64(i)<<32))}
			wg.Go(func() {
				for count.Add(1) < until {
					v.act()
				}
			})
		}
		return &wg
	}
	writers().Wait()
	first := new(sync.WaitGroup)
	if s.raced {
		first = writers()
	}
	w := lowered(t, s.queue, s.options(dir))
	v := follow(t, w, s, dir)
	first.Wait()
	v.check("start")
	for n := 0; count.Load() < ops && !t.Failed(); n++ {
		v.links(s.seed + uint64(n))
		writers().Wait()
		v.check(strconv.Itoa(n))
	}
	v.close()
	return count.Load()
}

// lowered makes a Watcher with a short event queue.
func lowered(t *testing.T, queue int, o Options) *Watcher {
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
	w, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// vandal changes a tree at random.
type vandal struct {
	dir string
	r   *rand.Rand
}

const names = "abcdef"

func (v *vandal) path() string {
	p := filepath.Join(v.dir, "p", "r")
	for range 1 + v.r.IntN(4) {
		p += "/" + names[v.r.IntN(len(names)):][:1]
	}
	return p
}

func (v *vandal) outside() string {
	return filepath.Join(v.dir, "out", names[v.r.IntN(len(names)):][:1])
}

// act does one thing; that it may fail is part of the game.
func (v *vandal) act() {
	switch p, n := v.path(), v.r.IntN(40); n {
	case 0, 1, 2, 3:
		trace("mkdir %s", p)
		_ = os.Mkdir(p, 0o755)
	case 4, 5:
		_ = os.MkdirAll(p, 0o755)
		v.write(p+"/"+names[v.r.IntN(len(names)):][:1], os.O_CREATE|os.O_TRUNC)
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
		_ = os.Symlink(names[v.r.IntN(len(names)):][:1], p)
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
	root := filepath.Join(v.dir, "p", "r")
	switch v.r.IntN(60) {
	case 0:
		_ = os.RemoveAll(root)
		_ = os.MkdirAll(root, 0o755)
	case 1:
		_ = os.Rename(filepath.Join(v.dir, "p"), filepath.Join(v.dir, "p2"))
		_ = os.MkdirAll(root, 0o755)
		_ = os.RemoveAll(filepath.Join(v.dir, "p2"))
	case 2:
		_ = os.Rename(root, root+"2")
		_ = os.Rename(root+"2", root)
	default:
		v.write(p, os.O_CREATE)
	}
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
	root   string
	cancel context.CancelFunc
	done   chan struct{}
	asked  uint64
	marks  chan uint64

	mu    sync.Mutex
	model map[string]seen
}

// seen is what a path was when it was last reported.
type seen struct {
	typ  Type
	stat string
}

func follow(t *testing.T, w *Watcher, s randomRun, dir string) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	v := &follower{t: t, w: w, s: s, root: filepath.Join(dir, "p", "r"), cancel: cancel, done: make(chan struct{}), marks: make(chan uint64, 1)}
	v.model = make(map[string]seen)
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
		v.mu.Unlock()
		for _, m := range b.Marks {
			v.marks <- m.ID
		}
	}
}

// replay is strict: a path that is made must not be there, one that is removed must.
func (v *follower) replay(b Batch) {
	for _, c := range b.Changes {
		trace("  %v %v %s from %s %v", c.Op, c.Type, c.Path, c.From, c.Recovered)
	}
	trace("  -- %v", b.Roots)
	for _, c := range b.Changes {
		gone := c.Path
		if c.Op == Rename {
			gone = c.From
		} else if c.Op != Remove {
			continue
		}
		if _, ok := v.model[gone]; !ok {
			v.t.Errorf("%v %s from %q: was not there", c.Op, c.Path, c.From)
		}
		delete(v.model, gone)
	}
	for _, c := range b.Changes {
		_, was := v.model[c.Path]
		switch c.Op {
		case Create, Rename:
			if was {
				v.t.Errorf("%v %s from %q: was there", c.Op, c.Path, c.From)
			}
		case Write, Attrib:
			if !was {
				v.t.Errorf("%v %s: was not there", c.Op, c.Path)
			}
		case Remove:
			continue
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
	if v.s.poll {
		v.eventually(0) // on a busy machine a barrier may leave out what is dear to poll
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	disk := v.disk()
	v.compare(when, "reported", disk, v.model)
	trace("==== %s", when)
	v.compare(when, "tree", disk, v.tree())
}

// links makes some further names of files, and waits until they are known: what is written through a name that is made and
// gone between two looks is told to nobody who watches folders.
func (v *follower) links(seed uint64) {
	d := &vandal{dir: strings.TrimSuffix(v.root, "/p/r"), r: rand.New(rand.NewPCG(seed, 9))}
	for range 5 {
		old, name := d.path(), d.path()+"l"
		if rel, _ := filepath.Rel(v.root, name); v.s.pruned && ignored(rel) {
			continue // a further name where nobody looks is told to nobody
		}
		_ = os.Link(old, name)
	}
	v.sync("links")
}

// sync waits until all that has happened was replayed.
func (v *follower) sync(when string) {
	v.asked++
	v.w.Mark(v.asked)
	select {
	case id := <-v.marks:
		if id != v.asked {
			v.t.Fatalf("round %s: mark %d came, not %d", when, id, v.asked)
		}
	case <-time.After(30 * time.Second):
		v.t.Fatalf("round %s: no mark", when)
	}
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
	_ = filepath.WalkDir(v.root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(v.root, path)
		if err != nil || rel == "." {
			return err
		}
		if v.s.pruned && ignored(rel) {
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
		} else if v.s.poll && have.stat == unix.ENOENT.Error() {
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
