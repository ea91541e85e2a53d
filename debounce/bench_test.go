package debounce

import (
	"fmt"
	"slices"
	"testing"
	"time"
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
				in, out := make(chan Input[string, int], len(inputs)), make(chan Wave[string, int], 1)
				for _, input := range inputs {
					in <- input
				}
				close(in)
				opts := Options[string]{Lanes: slices.Repeat([]Lane{{Settle: Fixed(1)}}, n), Fold: newest}
				Run(b.Context(), in, out, opts)
				if w := <-out; len(w.Batches) != n || len(w.Batches[0].Items) != 20_000 {
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
