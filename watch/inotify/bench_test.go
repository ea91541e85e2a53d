package inotify

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// untar is what the unpacking of an archive tells: for each file IN_CREATE, IN_MODIFY, IN_ATTRIB and IN_CLOSE_WRITE.
func untar(files int) []byte {
	var data []byte
	for i := range files {
		for _, mask := range []Mask{Create, Modify, Attrib, CloseWrite} {
			data = appendEvent(data, Event{WD: 1, Mask: mask, Name: fmt.Sprintf("file-%d.go", i)})
		}
	}
	return data
}

const filesPerRead = 512 // four events each, 32 bytes an event: a buffer full

// BenchmarkDecodeRaw and BenchmarkDecode: one read(2) of an untar; time and allocations by file.
func BenchmarkDecodeRaw(b *testing.B) {
	buffer := Buffer{whole: untar(filesPerRead)}
	bytes := 0
	b.ReportAllocs()
	for b.Loop() {
		for ev := range buffer.Events() {
			bytes += len(ev.Name)
		}
	}
	perFile(b)
}

func BenchmarkDecode(b *testing.B) {
	buffer := Buffer{whole: untar(filesPerRead)}
	var events []Event
	b.ReportAllocs()
	for b.Loop() {
		events = buffer.appendEvents(events[:0])
	}
	perFile(b)
}

func perFile(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/filesPerRead, "ns/file")
}

// BenchmarkQueue empties a full queue; time by event.
func BenchmarkQueue(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		var buffer Buffer
		benchmarkQueue(b, func(c *Conn) (n int, err error) {
			err = c.TryReadRaw(&buffer)
			for range buffer.Events() {
				n++
			}
			return n, err
		})
	})
	b.Run("events", func(b *testing.B) {
		var events []Event
		benchmarkQueue(b, func(c *Conn) (n int, err error) {
			events, err = c.TryRead(events[:0])
			return len(events), err
		})
	})
}

func benchmarkQueue(b *testing.B, read func(c *Conn) (int, error)) {
	s, c := newSandbox(b), newTestConn(b)
	s.touch("x", "y")
	add(b, c, s.dir, Modify)
	events := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		writeAll(s, 8000, "x", "y")
		b.StartTimer()
		for n := 1; n > 0; events += n {
			var err error
			n, err = read(c)
			must(b, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
}

// BenchmarkAdd asks for the watch that is there already, beside the bare system call.
func BenchmarkAdd(b *testing.B) {
	s, c := newSandbox(b), newTestConn(b)
	dir, err := os.Open(s.dir)
	must(b, err)
	defer dir.Close()
	b.Run("path", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			add(b, c, s.dir, WatchMask)
		}
	})
	b.Run("fd", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := c.AddFD(int(dir.Fd()), WatchMask)
			must(b, err)
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		onDescriptor(b, c, func(fd int) {
			for b.Loop() {
				_, err := unix.InotifyAddWatch(fd, s.dir, uint32(WatchMask|MaskAdd))
				must(b, err)
			}
		})
	})
}

func BenchmarkBarrier(b *testing.B) {
	c := newTestConn(b)
	var buffer Buffer
	b.ReportAllocs()
	for b.Loop() {
		_, err := c.Barrier()
		must(b, err)
		must(b, c.TryReadRaw(&buffer))
	}
}

// BenchmarkLatency is from the start of mkdir(2) to the event, with a reader that waits in the poller. Its ns/op are
// of no use; p50 and p99 are.
func BenchmarkLatency(b *testing.B) {
	s, c := newSandbox(b), newTestConn(b)
	add(b, c, s.dir, Create)
	arrivals := make(chan time.Time)
	go func() {
		defer close(arrivals)
		var buffer Buffer
		for c.ReadRaw(&buffer) == nil {
			arrivals <- time.Now()
		}
	}()
	name := s.path("d")
	var waits []time.Duration
	for b.Loop() {
		start := time.Now()
		must(b, os.Mkdir(name, 0o755))
		waits = append(waits, (<-arrivals).Sub(start))
		must(b, os.Remove(name))
	}
	must(b, c.Close())
	for range arrivals {
		b.Error("an event too many")
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(waits[len(waits)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkClose ends an instance with its watches; time by watch.
func BenchmarkClose(b *testing.B) {
	const watches = 10_000
	s := newSandbox(b)
	for i := range watches {
		s.mkdir(fmt.Sprint(i))
	}
	for b.Loop() {
		b.StopTimer()
		c, err := Init()
		must(b, err)
		for i := range watches {
			add(b, c, s.path(fmt.Sprint(i)), WatchMask)
		}
		b.StartTimer()
		must(b, c.Close())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/watches, "ns/watch")
}

func BenchmarkMaskString(b *testing.B) {
	for b.Loop() {
		_ = (Create | IsDir).String()
	}
}
