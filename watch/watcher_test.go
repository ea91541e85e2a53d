package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNothingIsLeft: goroutines, descriptors and watches are given back by Close.
func TestNothingIsLeft(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; touch r/a/f; ln r/a/f r/a/g")
	p.w.Close()
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for i := range 30 {
		w, err := New(t.Context(), Options{Roots: []string{p.path("r")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.path(fmt.Sprintf("r/a/n%d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if _, err := w.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines || descriptors(t) > fds {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d descriptors; before %d, %d", runtime.NumGoroutine(), descriptors(t), goroutines, fds)
		}
		runtime.Gosched()
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestWatchesAreGivenBack: what is moved out or removed is not watched any more.
func TestWatchesAreGivenBack(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/keep")
	before := kernelWatches(t)
	for i := range 20 {
		p.sh(fmt.Sprintf("mkdir -p r/a/b/c; touch r/a/b/c/f; ln r/a/b/c/f r/a/l; mv r/a out/%d", i))
		p.changes()
	}
	if got := kernelWatches(t); got != before {
		t.Errorf("%d watches, before %d", got, before)
	}
	if s := p.w.Stats(); s.Dirs != 2 {
		t.Errorf("%d folders", s.Dirs)
	}
}

// kernelWatches counts the watches of this process's inotify instances as the kernel has them.
func kernelWatches(t *testing.T) (n int) {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(infos) == 0 {
		t.Skip("no fdinfo")
	}
	for _, name := range infos {
		data, err := os.ReadFile(name)
		if err == nil {
			n += strings.Count(string(data), "inotify wd:")
		}
	}
	return n
}

func TestClose(t *testing.T) {
	p := watchAfter(t, "")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for range 50 {
				p.w.Close()
			}
		})
	}
	all.Go(func() {
		if _, err := p.w.Next(t.Context()); err != io.EOF {
			t.Errorf("next: %v", err)
		}
	})
	all.Wait()
	if err := p.w.Sync(t.Context()); err != io.EOF {
		t.Errorf("sync: %v", err)
	}
	p.w.Mark(1)
	p.w.Refresh()
	if s := p.w.Stats(); s.Dirs != 0 {
		t.Errorf("stats after Close: %+v", s)
	}
}

func TestContextCloses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := New(ctx, Options{Roots: []string{t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Next(t.Context()); err != io.EOF {
		t.Errorf("next: %v", err)
	}
	if _, err := New(ctx, Options{Roots: []string{t.TempDir()}}); !errors.Is(err, context.Canceled) {
		t.Errorf("new: %v", err)
	}
}

func TestNextGivesUp(t *testing.T) {
	p := watchAfter(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	p.want("touch r/f", "create file f")
}

// TestCloseWhileNobodyReads: a consumer that has gone does not keep the Watcher.
func TestCloseWhileNobodyReads(t *testing.T) {
	p := watchAfter(t, "i=0; while [ $i -lt 200 ]; do touch r/$i; i=$((i+1)); done")
	p.sh("rm -r r/*; mkdir r/x r/y")
	p.w.Close()
}

// TestCloseWhileCrawling: Close does not wait for the end of a big tree.
func TestCloseWhileCrawling(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		if err := os.MkdirAll(fmt.Sprintf("%s/%d/%d", dir, i%50, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := descriptors(t)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond/2)
		if w, err := New(ctx, Options{Roots: []string{dir}}); err == nil {
			w.Close()
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("new: %v", err)
		}
		cancel()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
}

// TestSlowConsumer: memory is bounded by the names that change, not by the events.
func TestSlowConsumer(t *testing.T) {
	p := watchAfter(t, "touch r/a r/b")
	for range 3 {
		p.sh("i=0; while [ $i -lt 5000 ]; do echo >>r/a; echo >>r/b; i=$((i+1)); done")
	}
	var left int
	p.w.call(func() { left = len(p.w.set.items) + len(p.w.dirty) })
	if left > 4 {
		t.Errorf("%d things are kept for two files", left)
	}
	p.same("after all", "write file a", "write file b")
}

func TestMarksComeInOrder(t *testing.T) {
	p := watchAfter(t, "")
	for i := range uint64(100) {
		if err := os.WriteFile(p.path(fmt.Sprintf("r/f%02d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		p.w.Mark(1000 + i)
	}
	next, seen := uint64(1000), make(map[string]bool)
	for next < 1100 {
		b, err := p.nextWithin()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Changes {
			seen[c.Path] = true
		}
		for _, m := range b.Marks {
			if m.ID != next || m.Time.IsZero() {
				t.Fatalf("mark %d, want %d", m.ID, next)
			}
			if f := fmt.Sprintf("f%02d", m.ID-1000); !seen[f] {
				t.Fatalf("mark %d came before %s", m.ID, f)
			}
			next++
		}
	}
}

func TestSync(t *testing.T) {
	p := watchAfter(t, "")
	if err := p.w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.sh("touch r/f")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := p.w.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sync with a change that nobody has taken: %v", err)
	}
	p.same("taken", "create file f")
	if err := p.w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestIdle: nothing wakes up while nothing happens.
func TestIdle(t *testing.T) {
	p := watchAfter(t, "mkdir r/a; touch r/a/f")
	p.want("mv r/a out/a", "remove dir a", "remove file a/f")
	var armed bool
	wakes := 0
	p.w.call(func() { armed = !p.w.clock.at.IsZero() && p.w.clock.at.After(time.Now().Add(50*time.Millisecond)) })
	deadline := time.Now().Add(time.Second)
	for p.armed() {
		if wakes++; time.Now().After(deadline) {
			t.Fatal("the clock is never still")
		}
		runtime.Gosched()
	}
	if armed {
		t.Error("the clock runs though nothing is polled")
	}
}

func (p *probe) armed() (armed bool) {
	p.w.call(func() { armed = !p.w.clock.at.IsZero() })
	return armed
}

// TestManyWritersRename: pairs of renames are neither adjacent nor in one read.
func TestManyWritersRename(t *testing.T) {
	p := watchAfter(t, "mkdir r/x r/y; for i in 0 1 2 3; do mkdir r/x/$i; touch r/x/$i/f; done")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			a, b := p.path(fmt.Sprintf("r/x/%d", i)), p.path(fmt.Sprintf("r/y/%d", i))
			for range 250 {
				_ = os.Rename(a, b)
				_ = os.Rename(b, a)
			}
			_ = os.Rename(a, b)
		})
	}
	all.Wait()
	got := p.changes()
	for i := range 4 {
		// Looked at while it goes to and fro, the two ends may be seen on their own.
		whole := fmt.Sprintf("rename file y/%d/f from x/%d/f", i, i)
		gone, made := fmt.Sprintf("remove file x/%d/f", i), fmt.Sprintf("create file y/%d/f", i)
		if !contains(got, whole) && !(contains(got, gone) && contains(got, made)) {
			t.Errorf("missing %s in\n%s", whole, strings.Join(got, "\n"))
		}
	}
}

// TestScanBeforeWatch: files made while a new folder is being taken in.
func TestScanBeforeWatch(t *testing.T) {
	p := watchAfter(t, "")
	const dirs = 500
	for i := range dirs {
		d := p.path(fmt.Sprintf("r/d%d", i))
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for range i % 7 {
			runtime.Gosched()
		}
		if err := os.WriteFile(d+"/f", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.changes(); len(got) != 2*dirs {
		t.Errorf("%d changes, want %d", len(got), 2*dirs)
	}
}

// TestBigTree: a tree of which not every file is looked at before the watch stands.
func TestBigTree(t *testing.T) {
	p := &probe{t: t, dir: t.TempDir()}
	const dirs, files = 40, 200
	for i := range dirs {
		d := p.path(fmt.Sprintf("r/d%02d", i))
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for j := range files {
			if err := os.WriteFile(fmt.Sprintf("%s/f%03d", d, j), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	w, err := New(t.Context(), Options{Roots: []string{p.path("r")}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.w = w
	p.want("echo >>r/d00/f000; rm r/d39/f199; touch r/d20/f100; mv r/d10/f010 r/d10/moved; mv r/d30 r/e30; chmod 600 r/e30/f007",
		func() []string {
			want := []string{"write file d00/f000", "remove file d39/f199", "write file d20/f100", "rename file d10/moved from d10/f010", "rename dir e30 from d30"}
			for j := range files {
				want = append(want, fmt.Sprintf("rename file e30/f%03d from d30/f%03d", j, j))
			}
			return want
		}()...)
	for left := 1; left > 0; { // until all is filled in
		w.call(func() { left = len(w.unseen) })
	}
	p.want("chmod 600 r/d01/f001; cat r/d02/*; touch r/d03/f003", "attrib file d01/f001", "write file d03/f003")
}
