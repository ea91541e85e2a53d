package debounce

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// checkout is what a checkout of 20,000 files looks like: each goes, comes, is written and closed; a look takes in sixteen facts.
func checkout(lanes []int) []Input[string, int] {
	var items []Item[string]
	now := time.Now()
	items = append(items, Item[string]{Fact: Fact{Key: ".git/index.lock", State: Noise, Hold: true, Time: now}})
	for i := range 20_000 {
		key := fmt.Sprintf("src/package%d/file%d.go", i/20, i)
		for _, s := range []State{Gone, Open, Open, Whole} {
			now = now.Add(20 * time.Microsecond)
			items = append(items, Item[string]{Value: key, Fact: Fact{Key: key, State: s, Time: now}, Lanes: lanes})
		}
	}
	items = append(items, Item[string]{Fact: Fact{Key: ".git/index.lock", State: Noise, Release: true, Time: now}})
	var inputs []Input[string, int]
	for look := range slices.Chunk(items, 16) {
		inputs = append(inputs, Input[string, int]{Items: look})
	}
	return inputs
}

// BenchmarkCheckout takes a checkout in, and asks after each look what is due, as Run does at its busiest.
func BenchmarkCheckout(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprint("lanes=", n), func(b *testing.B) {
			var lanes []int
			for i := range n {
				lanes = append(lanes, i)
			}
			inputs := checkout(lanes)
			b.ReportAllocs()
			for b.Loop() {
				q := NewQueue[string, int](Options[string]{Lanes: make([]Lane, n), Fold: newest})
				for _, in := range inputs {
					now := in.Items[len(in.Items)-1].Fact.Time
					q.Add(in, now)
					q.peek(now)
					q.next(now)
				}
				at, _ := q.Next()
				if w, ok := q.Take(at); !ok || len(w.Batches) != n || len(w.Batches[0].Items) != 20_000 {
					b.Fatalf("got %d batches", len(w.Batches))
				}
			}
		})
	}
}

// BenchmarkLook is the cost of one look with one item, taken in and asked about, as Run does it.
func BenchmarkLook(b *testing.B) {
	inputs := checkout([]int{0})
	q := NewQueue[string, int](Options[string]{Lanes: make([]Lane, 50), Fold: newest})
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		items := inputs[i/16%len(inputs)].Items
		q.Add(Input[string, int]{Items: items[i%len(items):][:1]}, now)
		q.peek(now)
		q.next(now)
	}
}

// BenchmarkSave is the time from before a save to its wave, through the real kernel: what debounce adds to it. The floor without any wait is
// reported beside it.
func BenchmarkSave(b *testing.B) {
	file := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		b.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		b.Fatal(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer events.Close()
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(file), unix.IN_MODIFY|unix.IN_CLOSE_WRITE); err != nil {
		b.Fatal(err)
	}
	in, out, seen := make(chan Input[string, int]), make(chan Wave[string, int]), make(chan time.Time, 16)
	go Run(b.Context(), in, out, Options[string]{Lanes: make([]Lane, 1), Fold: newest})
	go follow(b.Context(), events, in, seen)
	var waits, floors []time.Duration
	for b.Loop() {
		begin := time.Now()
		if err := os.WriteFile(file, []byte("hello\n"), 0o644); err != nil {
			b.Fatal(err)
		}
		<-out
		waits, floors = append(waits, time.Since(begin)), append(floors, (<-seen).Sub(begin))
		time.Sleep(stormEnd + 10*time.Millisecond) // each save is a lone one
	}
	for name, d := range map[string][]time.Duration{"wave": waits, "floor": floors} {
		slices.Sort(d)
		b.ReportMetric(millis(d[len(d)/2]), name+"-p50-ms")
		b.ReportMetric(millis(d[len(d)*99/100]), name+"-p99-ms")
	}
}

// follow turns the kernel's events into items, and tells when it has seen a close.
func follow(ctx context.Context, events *os.File, in chan<- Input[string, int], seen chan<- time.Time) {
	buf := make([]byte, 4096)
	for {
		n, err := events.Read(buf)
		if err != nil {
			return
		}
		now := time.Now()
		var input Input[string, int]
		for b := buf[:n]; len(b) > 0; b = b[unix.SizeofInotifyEvent+binary.NativeEndian.Uint32(b[12:]):] {
			f := Fact{Key: "f", State: Open, Time: now}
			if binary.NativeEndian.Uint32(b[4:])&unix.IN_CLOSE_WRITE != 0 {
				f.State = Whole
				seen <- now
			}
			input.Items = append(input.Items, Item[string]{Value: "f", Fact: f, Lanes: []int{0}})
		}
		select {
		case in <- input:
		case <-ctx.Done():
			return
		}
	}
}
