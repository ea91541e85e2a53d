package watch

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkLatency is the time from the call that changes something to the return of Next.
func BenchmarkLatency(b *testing.B) {
	b.Run("mkdir", func(b *testing.B) {
		latency(b, func(dir string, i int) { _ = os.Mkdir(filepath.Join(dir, strconv.Itoa(i)), 0o755) })
	})
	b.Run("write", func(b *testing.B) {
		latency(b, func(dir string, i int) {
			f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = f.WriteString("x")
			defer f.Close()
		})
	})
}

func latency(b *testing.B, change func(dir string, i int)) {
	dir := b.TempDir()
	w, err := New(b.Context(), Options{Roots: []string{dir}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	arrived := make(chan time.Time, 100)
	go func() {
		for {
			if _, err := w.Next(b.Context()); err != nil {
				return
			}
			arrived <- time.Now()
		}
	}()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		change(dir, i)
		took = append(took, (<-arrived).Sub(began))
		b.StopTimer()
		time.Sleep(2 * time.Millisecond) // let everybody fall asleep, as in life
		for len(arrived) > 0 {
			<-arrived
		}
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
