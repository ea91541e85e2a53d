package debounce_test

import (
	"context"
	"fmt"
	"time"

	"github.com/flinch-run/flinch/debounce"
)

func newest(_, newer string) (string, bool) { return newer, true }

func save(path string, s debounce.State, lanes ...int) debounce.Item[string] {
	return debounce.Item[string]{Value: path, Fact: debounce.Fact{Key: path, State: s}, Lanes: lanes}
}

// A file is seen while it is written, and again when it is closed: one batch, and the mark behind it.
func ExampleRun() {
	in := make(chan debounce.Input[string, int])
	out := make(chan debounce.Wave[string, int])
	go debounce.Run(context.Background(), in, out, debounce.Options[string]{Lanes: []debounce.Lane{{}}, Fold: newest})
	go func() {
		defer close(in)
		in <- debounce.Input[string, int]{Items: []debounce.Item[string]{save("main.go", debounce.Open, 0)}}
		in <- debounce.Input[string, int]{Items: []debounce.Item[string]{save("main.go", debounce.Whole, 0)}, Marks: []int{7}}
	}()
	for wave := range out {
		fmt.Println(wave.Batches[0].Items, wave.Batches[0].Why, wave.Marks)
	}
	// Output: [main.go] quiet 4ms [7]
}

// The same machine by hand, at times of one's own: two lanes, of which the second needs the first. A checkout holds both back.
func ExampleQueue() {
	q := debounce.NewQueue[string, int](debounce.Options[string]{Lanes: []debounce.Lane{{}, {After: []int{0}}}, Fold: newest})
	start := time.Now()
	add := func(after time.Duration, items ...debounce.Item[string]) {
		q.Add(debounce.Input[string, int]{Items: items}, start.Add(after))
	}
	lock := debounce.Fact{Key: ".git/index.lock", State: debounce.Noise}
	taken, gone := lock, lock
	taken.Hold, gone.Release = true, true

	add(0, debounce.Item[string]{Fact: taken}, save("api.proto", debounce.Whole, 0, 1))
	add(50*time.Millisecond, save("main.go", debounce.Whole, 1), debounce.Item[string]{Fact: gone})
	at, _ := q.Next()
	wave, _ := q.Take(at)
	for _, b := range wave.Batches {
		fmt.Println(at.Sub(start), "lane", b.Lane, b.Items, b.Why)
	}
	// Output:
	// 150ms lane 0 [api.proto] quiet since the lock went 100ms
	// 150ms lane 1 [api.proto main.go] quiet since the lock went 100ms
}
