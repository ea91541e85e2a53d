package main

import (
	"context"
	"sync"
	"time"

	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/output"
)

// history remembers what happened, so that every run and every silence can be
// asked about later. The stages of the path put news into a queue and never wait;
// the goroutine of run takes them out and alone touches what is remembered.
type history struct {
	wake  chan struct{} // to run: there is news
	ended chan struct{} // closed by run: no more questions

	mu     sync.Mutex
	queue  queue
	spare  queue // an empty one, to swap with
	closed bool

	waves uint64 // settled so far; only the goroutine of settle touches it
	m     *memory
}

// queue is news that nobody has taken yet. It is bounded: lines share a buffer of
// textMax and the older ones give way, of changes that nobody wants straysMax are
// kept; waves and events come no faster than batches settle and processes start,
// which takes far longer than to remember them.
type queue struct {
	news []news
	text []byte
}

// news is one thing that happened; one field is set.
type news struct {
	event  *runner.Event
	wave   *settled
	stray  *stray
	ask    func(*memory)
	line   line // run != 0
	missed int  // bytes of output that went by too fast
}

// settled is a wave that has left the debouncer.
type settled struct {
	number   uint64
	time     time.Time
	triggers []runner.Trigger
	plan     *plan
}

// stray is a change that no rule wants.
type stray struct {
	plan       *plan
	root       int
	path       string
	kind       rule.Ops // 0: the watcher dropped it unseen
	op, typ    string
	time       time.Time
	unverified bool // perhaps it was only looked at: a look tells
}

// line is one line of output; its text lies in queue.text.
type line struct {
	run     runner.RunID
	at, len int
	err     bool
	time    time.Time
}

// textMax is how much output waits for the history's goroutine; straysMax how
// many changes that nobody wants.
const (
	textMax   = 1 << 20
	straysMax = 1024
)

func newHistory(runs int) *history {
	return &history{wake: make(chan struct{}, 1), ended: make(chan struct{}), m: newMemory(runs)}
}

// run takes news until close was called and there is none left.
func (h *history) run() {
	defer close(h.ended)
	defer h.m.end()
	for range h.wake {
		q, closed := h.take()
		for _, n := range q.news {
			h.m.take(n, q.text)
		}
		h.give(q)
		if closed {
			return
		}
	}
}

// take swaps the queue for an empty one.
func (h *history) take() (q queue, closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q, h.queue, h.spare = h.queue, h.spare, queue{}
	return q, h.closed
}

// give hands an emptied queue back for its memory, unless that is too much to keep.
func (h *history) give(q queue) {
	const keep = 4096
	clear(q.news)
	if cap(q.news) > keep {
		q.news = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spare = queue{q.news[:0], q.text[:0]}
}

// close ends run after what has been put so far.
func (h *history) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.poke()
}

func (h *history) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// put never waits for anybody.
func (h *history) put(n news) bool {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return false
	}
	h.queue.news = append(h.queue.news, n)
	h.mu.Unlock()
	h.poke()
	return true
}

// event tells what the runner did. The runner's loop calls it.
func (h *history) event(e runner.Event) { h.put(news{event: &e}) }

// settled tells of a wave before the runner gets it. The numbers are the runner's.
func (h *history) settled(w runner.Wave, p *plan) {
	h.waves++
	if len(w.Triggers) > 0 {
		h.put(news{wave: &settled{number: h.waves, time: time.Now(), triggers: w.Triggers, plan: p}})
	}
}

// strays tells of changes that no rule wants. Of a storm of them the first are kept.
func (h *history) strays(list []stray) {
	for _, st := range list {
		h.glimpse(st)
	}
}

// line tells of a line of output. It has the form of output.StreamOptions.Tap.
func (h *history) line(run runner.RunID, l output.Line) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	q := &h.queue
	if len(q.text)+len(l.Text) > textMax {
		q.forget()
	}
	q.news = append(q.news, news{line: line{run: run, at: len(q.text), len: len(l.Text), err: l.Err, time: l.Time}})
	q.text = append(q.text, l.Text...)
	h.mu.Unlock()
	h.poke()
}

// forget drops the older half of the lines: of output that goes by faster than
// it can be looked at, the end counts.
func (q *queue) forget() {
	half := len(q.text) / 2
	kept, text := q.news[:0], []byte(nil)
	lost := map[runner.RunID]int{}
	for _, n := range q.news {
		if n.line.run != 0 && n.missed == 0 {
			if n.line.at < half {
				lost[n.line.run] += n.line.len + 1
				continue
			}
			from := n.line.at
			n.line.at = len(text)
			text = append(text, q.text[from:from+n.line.len]...)
		}
		kept = append(kept, n)
	}
	for run, bytes := range lost {
		kept = append(kept, news{line: line{run: run}, missed: bytes})
	}
	q.news, q.text = kept, text
}

// ask has f look at what is remembered, after all that was put before.
func (h *history) ask(ctx context.Context, f func(*memory)) error {
	done := make(chan struct{})
	if !h.put(news{ask: func(m *memory) { f(m); close(done) }}) {
		return runner.ErrClosed
	}
	select {
	case <-done:
		return nil
	case <-h.ended:
		select {
		case <-done:
			return nil
		default:
			return runner.ErrClosed
		}
	}
}
