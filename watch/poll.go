package watch

import (
	"time"
)

// polling is the schedule of looks at what does not tell. Directories where something was found lately are looked at
// more often than all of them: a look at all may be dear.
type polling struct {
	next  time.Time // zero: nothing is polled
	all   time.Time // when all are due
	took  time.Duration
	quiet time.Time // since when nothing was found
	hot   map[int32]time.Time
}

const (
	defaultPoll = 250 * time.Millisecond
	pollShare   = 50                     // polling takes one part in so many of one CPU's time
	pollTired   = time.Hour              // after so long without a change
	pollSlow    = 10                     // it is so many times slower
	pollHot     = time.Minute            // how long a directory is looked at more often
	barrierPoll = 250 * time.Millisecond // what a barrier may cost
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
		w.poll.all = w.poll.next
		w.poll.quiet = w.now
		w.wake(w.poll.next)
	}
}

// heat has a polled directory looked at more often for a while.
func (w *Watcher) heat(n *node) {
	if n.flags&polled == 0 || n.id == 0 {
		return
	}
	if w.poll.hot == nil {
		w.poll.hot = make(map[int32]time.Time)
	}
	w.poll.hot[n.id] = w.now
	w.poll.quiet = w.now
}

// pollNow marks what is to be polled. The looks are taken as for events.
func (w *Watcher) pollNow() {
	began := time.Now()
	full := !w.poll.all.After(began)
	found := w.markRoots()
	if full {
		found = w.markAllPolled() || found
		w.heal()
	} else {
		found = true
		w.markHot()
	}
	w.settle()
	if full {
		w.acquit()
	}
	w.schedule(found, full, time.Since(began))
}

// markRoots has the ways to roots walked again that tell nothing.
func (w *Watcher) markRoots() (found bool) {
	for _, r := range w.roots {
		if w.silent || r.blind {
			r.stale, found = true, true
		}
	}
	return found
}

func (w *Watcher) markHot() {
	for id, since := range w.poll.hot {
		if n := w.index.get(id); n == nil || n.flags&polled == 0 || w.now.Sub(since) > pollHot {
			delete(w.poll.hot, id)
		} else {
			w.dirty.of(id).list = true
		}
	}
}

func (w *Watcher) markAllPolled() (found bool) {
	for _, r := range w.roots {
		if r.top != nil {
			found = w.markPolled(r.top) || found
		}
	}
	return found
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

// schedule sets the time of the next look: as soon as was asked for, if that is cheap.
func (w *Watcher) schedule(found, full bool, took time.Duration) {
	p := &w.poll
	p.next = time.Time{}
	if !found && !w.anyPolled() && !w.anyBlind() { // also what came to be polled by this look
		return
	}
	now := time.Now()
	p.next = now.Add(max(w.shortest(), took*pollShare))
	if full {
		p.took = took
		p.all = p.next
		if now.Sub(p.quiet) > pollTired {
			p.all = now.Add(pollSlow * max(w.shortest(), took*pollShare))
		}
	}
	switch {
	case len(p.hot) == 0 && !w.anyBlind():
		p.next = p.all
	case full:
		p.next = now.Add(w.shortest())
	}
	w.wake(p.next)
}

func (w *Watcher) anyPolled() bool {
	for _, r := range w.roots {
		if r.top != nil && !r.top.walk(func(n *node) bool { return n.flags&polled == 0 || n.flags&cyclic != 0 }) {
			return true
		}
	}
	return false
}

func (w *Watcher) anyBlind() bool {
	for _, r := range w.roots {
		if r.blind {
			return true
		}
	}
	return false
}

// heal tries to get watches for directories that were refused one. The kernel says no to the first while it would say no to
// all.
func (w *Watcher) heal() {
	if w.silent || w.health.limit == nil {
		return
	}
	short := 0
	for _, r := range w.roots {
		if r.top != nil {
			short += w.healBelow(r.top)
		}
	}
	if short == 0 {
		w.health.limit, w.health.told = nil, false
		w.warn(Warning{Kind: LimitHealed, Dirs: w.index.size})
	}
}

// healBelow says how many directories are still without a watch.
func (w *Watcher) healBelow(top *node) (short int) {
	refused := false
	_ = top.walk(func(n *node) bool {
		if n.id < 0 && n.flags&(cyclic|unreadable) == 0 {
			if refused = refused || !w.healOne(n); n.id < 0 {
				short++
			}
		}
		return true
	})
	return short
}

// healOne watches a polled directory, and says whether the kernel gives watches. What was done in it before is found by the look
// that follows.
func (w *Watcher) healOne(n *node) bool {
	fd, err := w.reach(n)
	if err != nil {
		return true // for all that is known; its own look will tell
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
