package output

import (
	"bytes"
	"fmt"
	"sync"
)

// Budget is how many bytes of one stream wait for the printer before its reader
// stops reading. A run with separate standard output and error has two streams.
const Budget = 512 << 10

// chunk is how much is read, and about how much is written, at once.
const chunk = 64 << 10

// flowMax is how long an unfinished line may go on without a pause before other
// streams are let in between.
const flowMax = 32 << 20

// queue holds what waits to be printed, in the order in which it came. All
// fields of it and of its sources are under mu, but for those that never change.
type queue struct {
	wake chan struct{} // there is something to take; one reader: the printer

	mu      sync.Mutex
	sources []*source // those with items
	seq     uint64
	stuck   *source // whose line is flowing: nobody else is taken
	flowed  int
	readers int // that have not left
	free    [][]byte
}

// source is where text comes from: one stream of a run, or flinch's log.
type source struct {
	queue  *queue
	dest   *dest
	prefix []byte
	limit  int
	space  chan struct{} // there is room again; one reader: the source's goroutine

	items   []item
	bytes   int // of items, also of the one that is being written
	dropped int // lines of the log
	left    bool
}

// item is a run of text for one dest.
type item struct {
	src *source
	seq uint64
	piece
}

// piece is what an assembler makes: lines, or a part of one.
type piece struct {
	data []byte // the assembler's own, like sgr: whoever keeps them copies them
	cont bool   // it begins inside a line
	open bool   // it ends inside a line
	flow bool   // and more of that line is on its way
	sgr  []byte // the colour at its beginning, for cont
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) source(d *dest, prefix []byte, limit int) *source {
	return &source{queue: q, dest: d, prefix: prefix, limit: limit, space: make(chan struct{}, 1)}
}

// offer copies the piece into the queue; false when the source's room is full.
func (s *source) offer(p piece) bool {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.bytes >= s.limit {
		return false
	}
	s.add(p)
	return true
}

// log adds lines of flinch's own, or counts those that do not fit.
func (s *source) log(b []byte) {
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.bytes >= s.limit {
		s.dropped += max(1, bytes.Count(b, []byte("\n")))
		return
	}
	if s.dropped > 0 {
		s.add(piece{data: fmt.Appendf(nil, "(%d lines were dropped here: nobody read them)\n", s.dropped)})
		s.dropped = 0
	}
	s.add(piece{data: b, open: b[len(b)-1] != '\n'})
}

// add appends a piece, to the last item if nothing else came after that. The
// caller holds mu.
func (s *source) add(p piece) {
	q := s.queue
	s.bytes += len(p.data)
	if n := len(s.items); n > 0 && s.items[n-1].seq == q.seq && len(s.items[n-1].data) < chunk {
		last := &s.items[n-1]
		last.data = append(last.data, p.data...)
		last.open, last.flow = p.open, p.flow
		q.notify()
		return
	}
	q.seq++
	p.data = append(q.buffer(), p.data...)
	p.sgr = bytes.Clone(p.sgr)
	s.items = append(s.items, item{src: s, seq: q.seq, piece: p})
	if len(s.items) == 1 {
		q.sources = append(q.sources, s)
	}
	q.notify()
}

func (q *queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take removes the oldest item, or the next one of a flowing line.
func (q *queue) take() (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stuck
	if s == nil {
		s = q.oldest()
	}
	if s == nil || len(s.items) == 0 {
		return item{}, false
	}
	it := s.items[0]
	s.items = s.items[1:]
	if len(s.items) == 0 {
		s.items = nil
		q.forget(s)
	}
	q.follow(it)
	return it, true
}

func (q *queue) oldest() *source {
	var first *source
	for _, s := range q.sources {
		if first == nil || s.items[0].seq < first.items[0].seq {
			first = s
		}
	}
	return first
}

func (q *queue) forget(s *source) {
	for i, other := range q.sources {
		if other == s {
			last := len(q.sources) - 1
			q.sources[i] = q.sources[last]
			q.sources[last] = nil
			q.sources = q.sources[:last]
			return
		}
	}
}

// follow keeps to the source of a line that is still flowing. Its reader sends
// on within the time after which it shows unfinished lines, so this cannot hang.
func (q *queue) follow(it item) {
	if !it.flow {
		q.stuck, q.flowed = nil, 0
		return
	}
	q.flowed += len(it.data)
	q.stuck = it.src
	if q.flowed > flowMax || it.src.left {
		q.stuck = nil
	}
}

// enter says that a reader will use the queue, until it leaves.
func (q *queue) enter() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readers++
}

// leave is the end of a source: whatever line it was in does not go on.
func (q *queue) leave(s *source) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.readers--
	s.left = true
	if q.stuck == s && len(s.items) == 0 {
		q.stuck = nil
	}
	q.notify()
}

// over reports whether nothing waits and nothing more will come of readers.
func (q *queue) over() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.sources) == 0 && q.readers == 0
}

// give returns the room and the buffer of an item that was written.
func (q *queue) give(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it.src.bytes -= len(it.data)
	if cap(it.data) <= 4*chunk && len(q.free) < 4 {
		q.free = append(q.free, it.data[:0])
	}
	if it.src.bytes < it.src.limit {
		select {
		case it.src.space <- struct{}{}:
		default:
		}
	}
}

func (q *queue) buffer() []byte {
	n := len(q.free)
	if n == 0 {
		return nil
	}
	b := q.free[n-1]
	q.free = q.free[:n-1]
	return b
}

// cutNewline removes the end of a line from the front of data, with the reset of
// a colour before it.
func cutNewline(data []byte) ([]byte, bool) {
	rest := bytes.TrimPrefix(data, []byte(resetSGR))
	return bytes.CutPrefix(rest, []byte("\n"))
}
