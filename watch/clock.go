package watch

import (
	"maps"
	"slices"
	"time"
)

// clock is the Watcher's one timer. It runs only while something waits for its time.
type clock struct {
	timer  *time.Timer
	at     time.Time     // when it rings; zero: not at all
	mounts chan struct{} // the mount table has changed
	woke   chan struct{} // the machine was asleep
}

func (c *clock) init() {
	c.timer = time.NewTimer(time.Hour)
	c.timer.Stop()
	c.mounts, c.woke = make(chan struct{}, 1), make(chan struct{}, 1)
}

// postponed is a look that is to be taken later.
type postponed struct {
	at    time.Time
	node  *node
	marks *marks
}

// wake makes the clock ring at that time, if it would not before.
func (w *Watcher) wake(at time.Time) {
	if w.clock.at.IsZero() || at.Before(w.clock.at) {
		w.clock.at = at
		w.clock.timer.Reset(time.Until(at))
	}
}

// later postpones a look at a directory; without one, at the roots. What goes wrong goes wrong again: looks at the same
// directory are taken together, or they would multiply.
func (w *Watcher) later(at time.Time, n *node, m *marks) {
	p, known := w.postponed[n]
	if !known {
		p = &postponed{node: n, marks: new(marks)}
		w.postponed[n] = p
	}
	p.at = earlier(p.at, at)
	if m != nil {
		p.marks.back(m)
	}
	w.wake(at)
}

// soon postpones a look at a name, and all barriers with it. It happens a few times to a name at most.
func (w *Watcher) soon(d time.Duration, p spot, k mark) {
	k.again++
	at := time.Now().Add(d)
	w.vital = append(w.vital, postponed{at: at, node: p.node, marks: &marks{names: map[string]mark{p.name: k}}})
	w.wake(at)
}

// lastVital is when the last look is due that a barrier waits for.
func (w *Watcher) lastVital() (at time.Time) {
	for _, p := range w.vital {
		if p.at.After(at) {
			at = p.at
		}
	}
	return at
}

// ring does what is due and sets the clock anew.
func (w *Watcher) ring() {
	w.clock.at = time.Time{}
	w.drain()
	if w.reading.lately > 0 {
		w.reading.last = w.now // the stream goes on
	}
	w.expire()
	w.vital = slices.DeleteFunc(w.vital, func(p postponed) bool { return w.due(&p) })
	maps.DeleteFunc(w.postponed, func(_ *node, p *postponed) bool { return w.due(p) })
	if !w.poll.next.IsZero() && !w.poll.next.After(w.now) {
		w.pollNow()
	}
	if next := w.nextRing(); !next.IsZero() {
		w.wake(next)
	}
}

// expire ends the wait for the other halves of renames. They may lie unread in the queue, if this program got no CPU
// meanwhile: so it ends behind a barrier.
func (w *Watcher) expire() {
	if w.expiring || len(w.limbo)+len(w.set.holds) == 0 {
		return
	}
	now := w.now
	over := func() {
		w.expiring = false
		w.bury(func(until time.Time) bool { return !until.After(now) })
		w.set.release(now)
		if next := w.nextRing(); !next.IsZero() {
			w.wake(next)
		}
	}
	if w.expiring = w.fence(over); !w.expiring {
		over()
	}
}

// due takes up a look whose time has come.
func (w *Watcher) due(p *postponed) bool {
	switch {
	case p.at.After(w.now):
		return false
	case p.node == nil:
		for _, r := range w.roots {
			r.stale = true
		}
	case p.node.id != 0:
		w.dirty.of(p.node.id).back(p.marks)
	}
	return true
}

// nextRing is the earliest moment that something waits for.
func (w *Watcher) nextRing() (at time.Time) {
	if !w.expiring {
		at = w.nextExpiry()
	}
	for _, p := range w.vital {
		at = earlier(at, p.at)
	}
	for _, p := range w.postponed {
		at = earlier(at, p.at)
	}
	if w.reading.until.After(w.now) {
		at = earlier(at, w.reading.until)
	}
	return earlier(at, w.poll.next)
}

func (w *Watcher) nextExpiry() (at time.Time) {
	for _, x := range w.limbo {
		at = earlier(at, x.until)
	}
	if len(w.set.holds) > 0 {
		at = earlier(at, w.set.holds[0].until)
	}
	return at
}
