package watch

import (
	"time"
)

// polling is the schedule of looks at what does not tell.
type polling struct {
	next  time.Time // zero: nothing is polled
	took  time.Duration
	quiet time.Time // since when nothing was found
}

const (
	defaultPoll = 250 * time.Millisecond
	pollShare   = 50              // polling takes one part in so many of one CPU's time
	pollTired   = time.Hour       // after so long without a change
	pollSlow    = 10              // it is so many times slower
	blindPoll   = 2 * time.Second // for ways to a root that cannot be watched
)

func (w *Watcher) shortest() time.Duration {
	if w.opts.Poll > 0 {
		return w.opts.Poll
	}
	return defaultPoll
}

// wakePoll starts the schedule, if it does not run.
func (w *Watcher) wakePoll() {
	if w.poll.next.IsZero() {
		w.poll.next = w.now.Add(w.shortest())
		w.poll.quiet = w.now
		w.wake(w.poll.next)
	}
}

// pollNow marks all that is polled. The looks are taken as for events.
func (w *Watcher) pollNow() {
	found := false
	for _, r := range w.roots {
		if w.silent || r.blind {
			r.stale, found = true, true
		}
		if r.top != nil {
			found = w.markPolled(r.top) || found
		}
	}
	w.poll.next = time.Time{}
	if !found {
		return
	}
	began := time.Now()
	w.heal()
	w.settle()
	w.poll.took = time.Since(began)
	if w.set.live > 0 {
		w.poll.quiet = w.now
	}
	w.poll.next = time.Now().Add(w.interval())
	w.wake(w.poll.next)
}

func (w *Watcher) markPolled(top *node) (found bool) {
	_ = top.walk(func(n *node) bool {
		if n.flags&polled != 0 && n.id != 0 && n.flags&cyclic == 0 {
			w.dirty.of(n.id).list = true
			found = true
		}
		return true
	})
	return found
}

// interval is the time to the next poll: as short as was asked for, if that is cheap.
func (w *Watcher) interval() time.Duration {
	d := max(w.shortest(), w.poll.took*pollShare)
	if w.now.Sub(w.poll.quiet) > pollTired {
		d *= pollSlow
	}
	return d
}

// heal tries to get watches for directories that were refused one. The kernel says no to the first while it would say no to
// all.
func (w *Watcher) heal() {
	if w.silent || w.health.limit == nil {
		return
	}
	short := 0
	for _, r := range w.roots {
		if r.top == nil {
			continue
		}
		refused := false
		_ = r.top.walk(func(n *node) bool {
			if n.id < 0 && n.flags&(cyclic|unreadable) == 0 {
				if refused = refused || !w.healOne(n); refused {
					short++
				}
			}
			return true
		})
	}
	w.health.short = short
	if short == 0 {
		w.health.limit, w.health.told = nil, false
		w.warn(Warning{Kind: LimitHealed, Dirs: w.index.size})
	}
}

// healOne watches a polled directory. What was done in it before is found by the look that follows.
func (w *Watcher) healOne(n *node) bool {
	fd, err := w.pin(w.eye, n)
	if err != nil {
		return troubleOf(err) == absent // its own look will tell
	}
	defer w.close(fd)
	id, err := w.watch(fd)
	if err != nil {
		return false
	}
	if !w.at(n.dev).poll {
		n.flags &^= polled
	}
	w.rewatch(n, id)
	return true
}
