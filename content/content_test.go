package content

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// answers of Same.
const (
	unknown = "unknown"
	same    = "same"
	differs = "differs"
)

func ask(x *Index, path string) string { return answer(x.Same(path)) }

func answer(isSame, known bool) string {
	switch {
	case !known:
		return unknown
	case isSame:
		return same
	}
	return differs
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	x := NewIndex(NewReader(Options{}), 0)
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"the first look", func() { write(t, path, "one") }, unknown},
		{"no change", func() {}, same},
		{"the same bytes again", func() { write(t, path, "one") }, same},
		{"other bytes", func() { write(t, path, "two") }, differs},
		{"other bytes and the old times", func() {
			write(t, path, "six")
			must(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		}, differs},
		{"another mode", func() { must(t, os.Chmod(path, 0o755)) }, same},
		{"renamed into place", func() {
			write(t, path+".tmp", "six")
			must(t, os.Rename(path+".tmp", path))
		}, same},
		{"emptied", func() { write(t, path, "") }, differs},
		{"filled again", func() { write(t, path, "six") }, differs},
		{"removed", func() { must(t, os.Remove(path)) }, differs},
		{"still removed", func() {}, same},
		{"a link", func() { must(t, os.Symlink("six", path)) }, differs},
		{"the same link", func() {
			must(t, os.Remove(path))
			must(t, os.Symlink("six", path))
		}, same},
		{"a file with the link's bytes", func() {
			must(t, os.Remove(path))
			write(t, path, "six")
		}, differs},
		{"its folder is a file", func() {
			must(t, os.Remove(path))
			must(t, os.RemoveAll(filepath.Dir(path)))
			write(t, filepath.Dir(path), "")
		}, differs},
	} {
		step.do()
		if got := ask(x, path); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
}

// The moment between truncation and the first write is no content, and does not lose what was known before.
func TestSameWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	x := NewIndex(NewReader(Options{}), 0)
	write(t, path, "one")
	ask(x, path)
	f, err := os.Create(path)
	must(t, err)
	if got := answer(x.SameWhileOpen(path)); got != same {
		t.Errorf("empty and open: got %s, want %s", got, same)
	}
	f.WriteString("on")
	if got := answer(x.SameWhileOpen(path)); got != differs {
		t.Errorf("half-written: got %s, want %s", got, differs)
	}
	f.WriteString("e")
	must(t, f.Close())
	if got := ask(x, path); got != differs {
		t.Errorf("written, after half of it was seen: got %s, want %s", got, differs)
	}
	f, err = os.Create(path)
	must(t, err)
	x.SameWhileOpen(path)
	f.WriteString("one")
	must(t, f.Close())
	if got := ask(x, path); got != same {
		t.Errorf("the same bytes written again: got %s, want %s", got, same)
	}
}

// The same bytes in a new file are the same; the file that was there all the time is not, where it was away for a moment.
func TestRewritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	x := NewIndex(NewReader(Options{}), 0)
	write(t, path, "one")
	if x.Rewritten(path) {
		t.Error("the first look is called the same")
	}
	must(t, os.Rename(path, path+"~"))
	must(t, os.Rename(path+"~", path))
	if x.Rewritten(path) {
		t.Error("moved away and back is called written again")
	}
	must(t, os.Rename(path, path+"~"))
	write(t, path, "one")
	if !x.Rewritten(path) {
		t.Error("the same bytes in a new file are not called the same")
	}
	write(t, path, "two")
	if x.Rewritten(path) {
		t.Error("other bytes are called the same")
	}
}

// What could block, answer or be endless is not read.
func TestNotPlain(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	large := filepath.Join(dir, "large")
	write(t, large, "")
	must(t, os.Truncate(large, 1<<40))
	loop := filepath.Join(dir, "loop")
	must(t, os.Symlink("loop", loop))
	x := NewIndex(NewReader(Options{}), 0)
	for _, path := range []string{dir, fifo, large, "/dev/zero", "a\x00b", strings.Repeat("x", 300)} {
		for range 2 {
			if got := ask(x, path); got != unknown {
				t.Errorf("%.20q: got %s, want %s", path, got, unknown)
			}
		}
	}
	if ask(x, loop); ask(x, loop) != same {
		t.Error("a link to itself is not called the same")
	}
}

// A file that has become something else between lstat and open is seen through.
func TestSwapped(t *testing.T) {
	dir := t.TempDir()
	path, fifo := filepath.Join(dir, "f"), filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	write(t, path, "one")
	r := NewReader(Options{})
	l, err := r.look(path, look{})
	must(t, err)
	if _, err := r.file(fifo, l); !errors.Is(err, errKind) {
		t.Errorf("a FIFO in its place: got %v, want %v", err, errKind)
	}
	write(t, path, "others")
	if _, err := r.file(path, l); !errors.Is(err, errMoving) {
		t.Errorf("other bytes in its place: got %v, want %v", err, errMoving)
	}
}

// What holds more bytes than its size says is not known: /proc says that all of it is empty.
func TestWrongSize(t *testing.T) {
	x := NewIndex(NewReader(Options{}), 0)
	for range 2 {
		if got := ask(x, "/proc/self/stat"); got != unknown {
			t.Errorf("got %s, want %s", got, unknown)
		}
	}
}

func TestForget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	x := NewIndex(NewReader(Options{}), 0)
	ask(x, path)
	x.Forget(path)
	if got := ask(x, path); got != unknown {
		t.Errorf("got %s, want %s", got, unknown)
	}
}

func TestTwoIndexesHaveTheirOwnMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	r := NewReader(Options{})
	a, b := NewIndex(r, 0), NewIndex(r, 0)
	ask(a, path)
	ask(b, path)
	write(t, path, "one")
	if got := []string{ask(a, path), ask(b, path)}; got[0] != differs || got[1] != differs {
		t.Errorf("got %s, want both to differ", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	x := NewIndex(NewReader(Options{}), 10)
	for i := range 100 {
		ask(x, filepath.Join(dir, "recent"))
		ask(x, filepath.Join(dir, fmt.Sprint(i)))
		if n := len(x.young) + len(x.old); n > 10 {
			t.Fatalf("remembers %d paths, want 10 at most", n)
		}
	}
	for name, want := range map[string]string{"99": same, "recent": same, "0": unknown} {
		if got := ask(x, filepath.Join(dir, name)); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewReader(Options{MaxSize: overhead, Rate: overhead})
		x := NewIndex(r, 0)
		path := filepath.Join(t.TempDir(), "f")
		write(t, path, strings.Repeat("x", overhead))
		ask(x, path)
		if got := ask(x, path); got != unknown {
			t.Errorf("over budget: got %s, want %s", got, unknown)
		}
		time.Sleep(2 * time.Second)
		if got := ask(x, path); got != unknown {
			t.Errorf("the first look after one over budget: got %s, want %s", got, unknown)
		}
		time.Sleep(2 * time.Second)
		if got := ask(x, path); got != same {
			t.Errorf("within budget: got %s, want %s", got, same)
		}
		time.Sleep(time.Hour)
		r.gain()
		if r.spend(1); r.left >= r.burst() {
			t.Errorf("an idle hour saved %d bytes, want less than %d", r.left, r.burst())
		}
	})
}

// What a look costs in time is not won for the next: of many files on a slow disk the first are looked at, and no more.
func TestSlowLooksGainNothing(t *testing.T) {
	dir := t.TempDir()
	large, small := filepath.Join(dir, "large"), filepath.Join(dir, "small")
	write(t, large, "")
	must(t, os.Truncate(large, 64<<20))
	write(t, small, "x")
	for range 100 {
		r := NewReader(Options{MaxSize: 64 << 20, Rate: 1})
		began := time.Now()
		_, err := r.look(large, look{})
		must(t, err)
		took, ended := time.Since(began), time.Now()
		r.left, r.rate = 0, int64(4*overhead*float64(time.Second)/float64(took)) // the look would be worth four more
		_, err = r.look(small, look{})
		if time.Since(ended) > took/8 {
			continue // something else has taken the processor between the two
		}
		if err != errBudget {
			t.Errorf("got %v, want %v", err, errBudget)
		}
		return
	}
	t.Error("no two looks came soon enough after each other")
}

// A file whose last change is some time ago is not read again.
func TestUnchangedIsNotReadAgain(t *testing.T) {
	info, err := os.Stat("content.go")
	must(t, err)
	r := NewReader(Options{MaxSize: info.Size(), Rate: 1})
	x := NewIndex(r, 0)
	ask(x, "content.go")
	r.left = statCost
	if got := ask(x, "content.go"); got != same {
		t.Errorf("got %s, want %s", got, same)
	}
}

func TestRacy(t *testing.T) {
	now := time.Unix(1000, 500e6)
	for _, c := range []struct {
		changed time.Time
		want    bool
	}{
		{now.Add(-19 * time.Millisecond), true},
		{now.Add(-21 * time.Millisecond), false},
		{now.Add(time.Second), true},
		{time.Unix(999, 0), true},
		{time.Unix(998, 0), false},
	} {
		ts, err := unix.TimeToTimespec(c.changed)
		must(t, err)
		if got := racy(ts, now); got != c.want {
			t.Errorf("changed at %v: got %v, want %v", c.changed, got, c.want)
		}
	}
}

// TestRandom compares the index with a model that holds all bytes, over random writes of every kind.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	x := NewIndex(NewReader(Options{Rate: 1 << 40}), 0)
	now, seen := map[string]string{}, map[string]string{}
	for step := range 2_000 {
		path := filepath.Join(dir, fmt.Sprint(rnd.IntN(8)))
		change(t, rnd, path, now)
		if rnd.IntN(3) == 0 {
			continue
		}
		want := unknown
		if last, ok := seen[path]; ok {
			want = map[bool]string{true: same, false: differs}[last == now[path]]
		}
		if got := ask(x, path); got != want {
			t.Fatalf("seed %d, step %d: got %s, want %s; files %v, seen %v", seed, step, got, want, maps.Clone(now), seen)
		}
		seen[path] = now[path]
	}
}

// change does something to a file, and to the model, where a missing file is "" and others begin with a colon.
func change(t *testing.T, rnd *rand.Rand, path string, model map[string]string) {
	text := string(rune('a' + rnd.IntN(3)))
	switch rnd.IntN(6) {
	case 0:
		os.Remove(path)
		model[path] = ""
		return
	case 1:
		write(t, path+".tmp", text)
		must(t, os.Rename(path+".tmp", path))
	case 2: // the same bytes, if there are any
		if model[path] == "" {
			return
		}
		text = model[path][1:]
		write(t, path, text)
	case 3:
		write(t, path, text)
		must(t, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)))
	case 4:
		text = ""
		write(t, path, text)
	default:
		write(t, path, text)
	}
	model[path] = ":" + text
}

// BenchmarkPastBudget is what each file of a large checkout costs once the budget is used up.
func BenchmarkPastBudget(b *testing.B) {
	x := NewIndex(NewReader(Options{MaxSize: 1, Rate: 1}), 0)
	x.Same("content.go")
	b.ReportAllocs()
	for b.Loop() {
		x.Same("content.go")
	}
}

// BenchmarkSame looks at a small file that was just written, and at one of a megabyte.
func BenchmarkSame(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "f")
			if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
				b.Fatal(err)
			}
			x := NewIndex(NewReader(Options{Rate: 1 << 50}), 0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				x.Same(path)
				x.Forget(path)
			}
		})
	}
}
