package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// alone waits for changes with Next only: no mark and no sync wakes the Watcher.
func (p *probe) alone(want ...string) {
	p.t.Helper()
	slices.Sort(want)
	p.comes(want, func(got []string) bool { slices.Sort(got); return slices.Equal(got, want) })
}

// comes calls Next until what has come altogether is enough.
func (p *probe) comes(want []string, enough func(got []string) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	var net Set
	for got := []string(nil); !enough(got); got = lines(net.Changes()) {
		b, err := p.w.Next(ctx)
		if err != nil {
			p.t.Fatalf("nobody woke up; got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		for _, c := range b.Changes {
			net.Add(c)
		}
	}
}

// TestNobodyAsks: changes come although nothing happens after them.
func TestNobodyAsks(t *testing.T) {
	tests := []struct {
		name, setup string
		change      func(*Options)
		script      string
		want        []string
	}{
		{"root moved away", "touch r/f", nil, "mv r away", []string{"remove file f"}},
		{"root removed", "touch r/f", nil, "rm -r r", []string{"remove file f"}},
		{"root exchanged", "touch r/f; mkdir other; touch other/g", nil, "mv r away; mv other r", []string{"remove file f", "create file g"}},
		{"half of a rename", "mkdir r/a; touch r/a/f r/g", nil, "mv r/a out/a; mv r/g out/g", []string{"remove dir a", "remove file a/f", "remove file g"}},
		{"rename", "mkdir r/a; touch r/a/f", nil, "mv r/a r/b", []string{"rename dir b from a", "rename file b/f from a/f"}},
		{"a storm", "", nil, "mkdir r/d; for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6 7 8 9; do echo >r/d/$i$j; done; done; rm r/d/[1-9]*",
			[]string{"create dir d", "create file d/00", "create file d/01", "create file d/02", "create file d/03", "create file d/04",
				"create file d/05", "create file d/06", "create file d/07", "create file d/08", "create file d/09"}},
		{"polled root that comes", "", func(o *Options) { roots("x/y")(o); waitRoots(o); polling20(o) }, "mkdir -p x/y; touch x/y/f", []string{"create file f"}},
		{"root that comes", "", func(o *Options) { roots("x/y")(o); waitRoots(o) }, "mkdir -p x/y; touch x/y/f", []string{"create file f"}},
		{"polled rename", "touch r/f", polling20, "mv r/f r/g", []string{"rename file g from f"}},
		{"polled removal", "touch r/f", polling20, "rm r/f", []string{"remove file f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var with []func(*Options)
			if tt.change != nil {
				with = append(with, tt.change)
			}
			p := watchAfter(t, tt.setup, with...)
			p.sh(tt.script)
			p.alone(tt.want...)
		})
	}
}

// TestRootGoneInOneBatch: what was in a root comes with the word that it is gone.
func TestRootGoneInOneBatch(t *testing.T) {
	p := watchAfter(t, "mkdir r/d; touch r/d/f")
	if err := os.Rename(p.path("r"), p.path("away")); err != nil {
		t.Fatal(err)
	}
	b, err := p.nextWithin()
	if err != nil || len(b.Roots) != 1 || !b.Roots[0].Gone {
		t.Fatalf("got %+v, %v", b, err)
	}
	if got := lines(b.Changes); !slices.Equal(got, []string{"remove file d/f", "remove dir d"}) {
		t.Errorf("got %v", got)
	}
}

// TestRefreshMissesNothing: what really happens while the wishes change is told, and only that.
func TestRefreshMissesNothing(t *testing.T) {
	for _, tt := range []struct {
		name, setup, script string
		want                []string
	}{
		{"removed", "touch r/f", "rm r/f", []string{"remove file f"}},
		{"folder removed", "mkdir r/d; touch r/d/f", "rm -r r/d", []string{"remove dir d", "remove file d/f"}},
		{"made", "", "mkdir -p r/d/e; touch r/f r/d/e/g", []string{"create file f", "create dir d", "create dir d/e", "create file d/e/g"}},
		{"renamed", "touch r/a", "mv r/a r/b", []string{"rename file b from a"}},
		{"file to folder", "touch r/a", "rm r/a; mkdir r/a; touch r/a/f", []string{"write dir a", "create file a/f"}},
		{"chmod", "touch r/a", "chmod 600 r/a", []string{"attrib file a"}},
		{"written", "touch r/a", "echo >>r/a", []string{"write file a"}},
		{"made and gone", "", "mkdir r/d; touch r/f; rmdir r/d; rm r/f", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := watchAfter(t, tt.setup, func(o *Options) { o.Prune = func(int, string) bool { return false } })
			p.w.call(func() { // the listing comes before the events are read
				p.sh(tt.script)
				p.w.refresh()
				p.w.settle()
				p.w.refresh()
				p.w.settle()
			})
			p.same(tt.script, tt.want...)
		})
	}
}

// TestRefreshIsQuiet: what is newly wanted or unwanted is not told, by whatever backend, and what happens in it is.
func TestRefreshIsQuiet(t *testing.T) {
	for _, backend := range []string{"inotify", "poll"} {
		t.Run(backend, func(t *testing.T) {
			var wide atomic.Bool
			p := watchAfter(t, "mkdir -p r/a/s r/b/s; touch r/a/s/1 r/b/s/2 r/b/3; sleep 0.05", func(o *Options) {
				o.Backend, o.Poll = backend, 20*time.Millisecond
				o.Prune = func(_ int, dir string) bool { return !wide.Load() && strings.HasPrefix(dir, "b") }
				o.Skip = func(_ int, file string) bool { return wide.Load() && strings.HasPrefix(file, "a") }
			})
			for i := range 6 {
				wide.Store(i%2 == 0)
				p.w.Refresh()
				p.same("the wishes change")
			}
			wide.Store(true)
			p.w.Refresh()
			p.same("the last time")
			p.want("rm r/b/3; echo >>r/b/s/2; rm r/a/s/1", "remove file b/3", "write file b/s/2")
		})
	}
}

// TestTogether: all that can be asked for, granted in one go, in every order.
func TestTogether(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; touch r/a/f")
	ask := []func(){p.w.Refresh, func() { p.w.Mark(1) }, func() { p.w.asked.add(wish{done: make(chan struct{})}) }, func() { p.w.Mark(2) }}
	for i := range 24 {
		order := []int{0, 1, 2, 3}
		for j, n := 3, i; j > 0; j-- {
			k := n % (j + 1)
			n /= j + 1
			order[j], order[k] = order[k], order[j]
		}
		p.w.call(func() { // and nobody reads meanwhile
			for _, j := range order {
				ask[j]()
			}
		})
		for seen := 0; seen < 2; {
			b, err := p.nextWithin()
			if err != nil {
				t.Fatalf("order %v: %v", order, err)
			}
			seen += len(b.Marks)
		}
		if err := p.w.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOverflowInACrawl: events are lost while workers build the tree. (The race detector sees who walks through what is being
// built.)
func TestOverflowInACrawl(t *testing.T) {
	var lists, lost atomic.Int64
	k := system()
	k.getdents = func(fd int, buf []byte) (int, error) {
		lists.Add(1)
		return unix.Getdents(fd, buf)
	}
	sys := inotify.Syscalls{Read: func(fd int, buf []byte) (int, error) {
		n, err := unix.Read(fd, buf)
		if n > 0 && lists.Load() > 100 && lost.Add(1) <= 20 { // what was read is lost, and the marker is in its place
			ev := inotify.Event{WD: inotify.NoWD, Mask: inotify.Overflow}
			return copy(buf, overflowBytes(ev)), nil
		}
		return n, err
	}}
	p := watchWith(t, "", k, sys, Options{})
	p.sh("mkdir -p out/t; i=0; while [ $i -lt 400 ]; do mkdir -p out/t/$((i%20))/$i; i=$((i+1)); done")
	before := lost.Load()
	lists.Store(0)
	p.sh("mv out/t r/t; i=0; while [ $i -lt 400 ]; do echo >r/t/$((i%20))/$i/f; i=$((i+1)); done")
	got := p.changes()
	if len(got) != 1+20+400+400 {
		t.Errorf("%d changes, want %d", len(got), 1+20+400+400)
	}
	if lost.Load() == before {
		t.Error("nothing was lost")
	}
}

func overflowBytes(ev inotify.Event) []byte {
	var raw [unix.SizeofInotifyEvent]byte
	for i := range 4 {
		raw[i] = 0xff
		raw[4+i] = byte(uint32(ev.Mask) >> (8 * i))
	}
	return raw[:]
}

// TestNoChains: a look that goes wrong is taken again, once, however often it is asked for.
func TestNoChains(t *testing.T) {
	var broken atomic.Bool
	k := system()
	k.statx = func(dir int, name *byte, flags int, st *unix.Statx_t) error {
		if broken.Load() && flags&unix.AT_EMPTY_PATH == 0 {
			return unix.EIO
		}
		return statx(dir, name, flags, st)
	}
	p := watchWith(t, "touch r/f r/g", k, inotify.Syscalls{}, Options{})
	broken.Store(true)
	for range 40 {
		p.sh("echo >>r/f; echo >>r/g")
		p.changes()
	}
	p.w.call(func() {
		if n := len(p.w.postponed); n > 2 { // the folder and the roots
			t.Errorf("%d looks are postponed for one folder", n)
		}
	})
	broken.Store(false)
	p.alone("write file f", "write file g")
}

// TestTreeIsFreed: a context that lives on does not keep the tree of a Watcher that was closed.
func TestTreeIsFreed(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	freed := make(chan struct{})
	func() {
		w, err := New(ctx, Options{Roots: []string{t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(w, func(c chan struct{}) { close(c) }, freed)
		w.Close()
	}()
	deadline := time.After(10 * time.Second)
	for {
		runtime.GC()
		select {
		case <-freed:
			return
		case <-deadline:
			t.Fatal("it is still there")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestUnreadable: what may not be read is told once, and looked at when it may.
func TestUnreadable(t *testing.T) {
	if !humble(t) {
		return
	}
	warned := make(chan Warning, 100)
	p := watchAfter(t, "mkdir r/p; touch r/p/f; chmod 311 r/p", func(o *Options) { o.Warn = func(v Warning) { warned <- v } })
	p.want("touch r/g", "create file g")
	if v := <-warned; v.Kind != Denied || filepath.Base(v.Path) != "p" {
		t.Errorf("warning: %v", v)
	}
	if len(warned) > 0 {
		t.Errorf("warned again: %v", <-warned)
	}
	p.want("chmod 755 r/p", "attrib dir p", "create file p/f")
	p.want("touch r/p/h", "create file p/h")
}

// TestReadableAgain: a folder that was closed for longer than it is tried again, or one above it, or the root itself.
func TestReadableAgain(t *testing.T) {
	if !humble(t) {
		return
	}
	for _, tt := range []struct {
		name, closed string
		mode         os.FileMode
	}{
		{"folder", "r/a/b", 0}, {"folder that may be listed", "r/a/b", 0o600}, {"folder above", "r/a", 0},
		{"folder above that may be listed", "r/a", 0o600}, {"root", "r", 0}, {"root that may be listed", "r", 0o600}, {"above the root", ".", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := watchAfter(t, "mkdir -p r/a/b; touch r/a/b/old; chmod 755 . r r/a r/a/b", func(o *Options) { o.Warn = func(Warning) {} })
			dir, old, closed := p.open("r/a/b"), p.open("r/a/b/old"), p.open(tt.closed)
			if err := closed.Chmod(tt.mode); err != nil {
				t.Fatal(err)
			}
			defer closed.Chmod(0o755)
			// As a process does that was there before.
			_, _ = old.WriteString("x")
			want := []string{"write file a/b/old"}
			if fd, err := unix.Openat(int(dir.Fd()), "new", unix.O_CREAT|unix.O_WRONLY, 0o644); err == nil {
				unix.Close(fd)
				want = append(want, "create file a/b/new")
			}
			p.givenUp()
			if err := closed.Chmod(0o755); err != nil {
				t.Fatal(err)
			}
			p.holds(want)
		})
	}
}

// open opens a folder, or a file for writing, for the length of the test.
func (p *probe) open(rel string) *os.File {
	p.t.Helper()
	f, err := os.OpenFile(p.path(rel), os.O_RDWR, 0)
	if errors.Is(err, unix.EISDIR) {
		f, err = os.Open(p.path(rel))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { f.Close() })
	return f
}

// givenUp waits until nothing is tried again, except for the way to a root.
func (p *probe) givenUp() {
	p.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for trying := 1; trying > 0; {
		if time.Now().After(deadline) {
			p.t.Fatal("it is tried for ever")
		}
		p.w.call(func() {
			trying = len(p.w.dirty)
			for n := range p.w.postponed {
				if n != nil {
					trying++
				}
			}
		})
		runtime.Gosched()
	}
}

// holds waits until these changes have come, and perhaps others.
func (p *probe) holds(want []string) {
	p.t.Helper()
	p.comes(want, func(got []string) bool {
		return !slices.ContainsFunc(want, func(l string) bool { return !contains(got, l) })
	})
}
