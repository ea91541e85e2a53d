package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// benchDirs is the size of the benchmarks' tree: WATCH_BENCH_DIRS=100000 for the full one, with 1.8 files a folder.
func benchDirs() int {
	if n, err := strconv.Atoi(os.Getenv("WATCH_BENCH_DIRS")); err == nil {
		return n
	}
	return 10_000
}

// benchTree makes a tree of depth 3, in WATCH_BENCH_TREE if that is set, where it stays for the next time.
func benchTree(b *testing.B, dirs int) string {
	b.Helper()
	root := os.Getenv("WATCH_BENCH_TREE")
	if root == "" {
		root = b.TempDir()
	}
	root = filepath.Join(root, strconv.Itoa(dirs))
	if _, err := os.Stat(filepath.Join(root, "done")); err == nil {
		return root
	}
	per := max(dirs/100, 1)
	for i := range dirs {
		dir := fmt.Sprintf("%s/pkg%02d/mod%03d/dir%05d", root, i/per, i%per/100, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 1 + (i*4/5)%2 + i%5/4 {
			if err := os.WriteFile(fmt.Sprintf("%s/file%d.go", dir, j), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(root, "done"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	return root
}

// BenchmarkReady is the time of New, beside the least that anybody must do: watch and list each folder. They take turns, so
// that both see the same machine.
func BenchmarkReady(b *testing.B) {
	root := benchTree(b, benchDirs())
	var bare, ours []time.Duration
	for b.Loop() {
		began := time.Now()
		bareCrawl(b, root, workers())
		bare = append(bare, time.Since(began))
		runtime.GC()
		began = time.Now()
		w, err := New(b.Context(), Options{Roots: []string{root}})
		if err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		w.Close()
		runtime.GC()
	}
	slices.Sort(bare)
	slices.Sort(ours)
	b.ReportMetric(float64(bare[len(bare)/2].Microseconds())/1000, "bare-ms")
	b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "ready-ms")
	b.ReportMetric(float64(ours[len(ours)/2])/float64(bare[len(bare)/2]), "ratio")
}

// workers is how many New has.
func workers() int { return min(8, 2*runtime.GOMAXPROCS(0)) }

// BenchmarkCold is the time of New when nothing of the tree is in memory, beside a crawl by a single worker. It drops the caches of the
// whole machine, which needs root, so it runs only if it is asked for by WATCH_BENCH_COLD=1.
func BenchmarkCold(b *testing.B) {
	if os.Getenv("WATCH_BENCH_COLD") == "" {
		b.Skip("WATCH_BENCH_COLD=1 drops the caches of the whole machine")
	}
	root := benchTree(b, benchDirs())
	var alone, ours []time.Duration
	for b.Loop() {
		dropCaches(b)
		began := time.Now()
		bareCrawl(b, root, 1)
		alone = append(alone, time.Since(began))
		dropCaches(b)
		began = time.Now()
		w, err := New(b.Context(), Options{Roots: []string{root}})
		if err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(began))
		w.Close()
	}
	slices.Sort(alone)
	slices.Sort(ours)
	b.ReportMetric(float64(alone[len(alone)/2].Microseconds())/1000, "one-worker-ms")
	b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "ready-ms")
	b.ReportMetric(float64(alone[len(alone)/2])/float64(ours[len(ours)/2]), "times-faster")
}

func dropCaches(b *testing.B) {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		b.Skip(err)
	}
}

// bareCrawl watches and lists, and remembers nothing.
func bareCrawl(b *testing.B, root string, n int) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	c := bare{stack: []string{root}, fd: fd}
	c.more.L = &c.mu
	var workers sync.WaitGroup
	for range n {
		workers.Go(c.work)
	}
	workers.Wait()
}

type bare struct {
	fd    int
	mu    sync.Mutex
	more  sync.Cond
	stack []string
	busy  int
}

func (c *bare) work() {
	buf := make([]byte, 32<<10)
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.stack) == 0 {
			if c.busy == 0 {
				c.more.Broadcast()
				return
			}
			c.more.Wait()
		}
		dir := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		c.busy++
		c.mu.Unlock()
		found := c.list(dir, buf)
		c.mu.Lock()
		c.busy--
		c.stack = append(c.stack, found...)
		if len(found) > 0 || c.busy == 0 {
			c.more.Broadcast()
		}
	}
}

func (c *bare) list(dir string, buf []byte) (found []string) {
	if _, err := unix.InotifyAddWatch(c.fd, dir, uint32(treeMask)); err != nil {
		return nil
	}
	fd, err := unix.Open(dir, dirFlags|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Getdents(fd, buf)
		if n <= 0 || err != nil {
			return found
		}
		for rest := buf[:n]; len(rest) > 0; {
			var d dirent
			if d, rest = nextDirent(rest); d.kind == unix.DT_DIR && !isDots(d.name) {
				found = append(found, dir+"/"+string(d.name))
			}
		}
	}
}

// BenchmarkMemory is what a tree costs beyond the program.
func BenchmarkMemory(b *testing.B) {
	root := benchTree(b, benchDirs())
	for b.Loop() {
		debug.FreeOSMemory()
		before, rss := heap(), resident(b)
		w, err := New(b.Context(), Options{Roots: []string{root}})
		if err != nil {
			b.Fatal(err)
		}
		debug.FreeOSMemory()
		s := w.Stats()
		grown := heap() - before
		budget := 200*s.Dirs + 70*s.Files
		b.ReportMetric(float64(grown)/float64(s.Dirs), "B/folder-with-files")
		b.ReportMetric(float64(grown)/float64(budget), "of-budget")
		b.ReportMetric(float64(resident(b)-rss)/(1<<20), "rss-MiB")
		b.ReportMetric(float64(resident(b))/(1<<20), "rss-all-MiB")
		w.Close()
	}
}

func heap() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse)
}

func resident(b *testing.B) int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// BenchmarkRescan is a comparison of everything with the disk, as after an overflow.
func BenchmarkRescan(b *testing.B) {
	root := benchTree(b, benchDirs())
	w, err := New(b.Context(), Options{Roots: []string{root}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for b.Loop() {
		w.call(func() {
			w.now = time.Now()
			w.fold([]inotify.Event{{WD: inotify.NoWD, Mask: inotify.Overflow}})
			w.settle()
		})
	}
}
