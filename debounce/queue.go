package debounce

import (
	"maps"
	"slices"
	"time"
)

// Queue is the machine under [Run]: it holds what is pending and says when that is due, by nothing but the times it is given. It is not
// safe for concurrent use.
type Queue[T, M any] struct {
	lanes []*lane[T]
	fold  func(older, newer T) (T, bool)
	marks []mark[T, M]
	locks map[string]time.Time // the held ones, and since when

	added time.Time // when the newest input came
	last  time.Time // when the newest item of it happened
	age   age
	plan  []moment // scratch of schedule, one a lane
	due   []int    // scratch of peek: the lanes of its wave
	spent int      // scratch of peek: the marks of its wave
}

// mark is a token on its way and the batches that leave before it.
type mark[T, M any] struct {
	token M
	waits []wait[T]
}

// wait names a batch that was pending when a mark came in. It is over when the lane has another one.
type wait[T any] struct {
	lane  *lane[T]
	batch uint
}

// moment is when a lane may leave, and why.
type moment struct {
	asked bool
	at    time.Time
	why   reason
}

// NewQueue returns an empty queue.
func NewQueue[T, M any](opts Options[T]) *Queue[T, M] {
	q := &Queue[T, M]{fold: opts.Fold, locks: map[string]time.Time{}}
	q.SetLanes(Lanes{Lanes: opts.Lanes})
	return q
}

// SetLanes replaces the lanes.
func (q *Queue[T, M]) SetLanes(next Lanes) {
	old := q.lanes
	q.lanes = make([]*lane[T], len(next.Lanes))
	for i, l := range next.Lanes {
		q.lanes[i] = newLane[T](l)
		if i < len(next.From) && next.From[i] >= 0 && next.From[i] < len(old) && old[next.From[i]] != nil {
			settings := q.lanes[i].Lane
			q.lanes[i] = old[next.From[i]]
			q.lanes[i].Lane = settings
			old[next.From[i]] = nil
		}
	}
	for _, l := range old {
		if l != nil {
			l.next() // lets go the marks that waited for it
		}
	}
}

// Add takes an input in at now.
func (q *Queue[T, M]) Add(in Input[T, M], now time.Time) {
	if in.Lanes != nil {
		q.SetLanes(*in.Lanes)
	}
	q.added = now
	released, held := false, time.Duration(0)
	for i := range in.Items {
		q.observe(&in.Items[i], now)
		if f := &in.Items[i].Fact; f.Release {
			released, held = true, max(held, q.unlock(f.Key))
		}
	}
	if released { // the last thing of a look, in which the order is not always that of the events
		for _, l := range q.lanes {
			l.unlock(q.last, held)
		}
	}
	for _, m := range in.Marks {
		q.mark(m)
	}
}

// Next returns the next moment at which [Queue.Take] may return something or the queue has something to forget, or false if it rests until
// the next input.
func (q *Queue[T, M]) Next() (time.Time, bool) {
	if q.freeMarks(nil) > 0 {
		return q.added, true
	}
	return q.next(time.Time{})
}

// next is the earliest such moment after now.
func (q *Queue[T, M]) next(now time.Time) (time.Time, bool) {
	q.schedule()
	var next time.Time
	for i, l := range q.lanes {
		at, ok := q.plan[i].at, l.pending()
		if !ok {
			at, ok = l.last.Add(stormEnd), len(l.entries) > 0
		}
		if ok && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, !next.IsZero()
}

// Pending reports whether anything waits to leave.
func (q *Queue[T, M]) Pending() bool {
	return len(q.marks) > 0 || slices.ContainsFunc(q.lanes, (*lane[T]).pending)
}

// Take removes and returns the wave that is due at now, if there is one.
func (q *Queue[T, M]) Take(now time.Time) (Wave[T, M], bool) {
	wave, ok := q.peek(now)
	if ok {
		q.commit(now)
	}
	return wave, ok
}

// observe takes in one item, but for the release of a lock.
func (q *Queue[T, M]) observe(it *Item[T], now time.Time) {
	f := &it.Fact
	at := q.clamp(f.Time, now)
	q.dropIdleLocks(at)
	q.last = at
	if f.Hold {
		q.hold(f.Key, at)
	}
	news := f.State != Noise && len(it.Lanes) > 0
	q.age.see(at, news)
	if !news {
		q.noise(at)
		return
	}
	for _, i := range it.Lanes {
		q.lanes[i].add(it.Value, f, at, len(q.locks) > 0, q.fold)
	}
}

// clamp keeps time from running backwards or ahead.
func (q *Queue[T, M]) clamp(t, now time.Time) time.Time {
	if t.IsZero() || t.After(now) {
		t = now
	}
	if t.Before(q.last) {
		t = q.last
	}
	return t
}

// dropIdleLocks forgets locks that are old while nothing went on: left by a process that was killed, or held by a commit while its message
// is being written.
func (q *Queue[T, M]) dropIdleLocks(now time.Time) {
	if len(q.locks) == 0 || now.Sub(q.last) < idleHold {
		return
	}
	maps.DeleteFunc(q.locks, func(_ string, since time.Time) bool { return now.Sub(since) >= holdWait })
}

func (q *Queue[T, M]) noise(now time.Time) {
	for _, l := range q.lanes {
		l.noise(now)
	}
}

func (q *Queue[T, M]) hold(lock string, now time.Time) {
	q.locks[lock] = now
	for _, l := range q.lanes {
		l.lock(now)
	}
}

// unlock takes a lock away and returns how long it was held.
func (q *Queue[T, M]) unlock(lock string) time.Duration {
	since, ok := q.locks[lock]
	if !ok {
		return 0
	}
	delete(q.locks, lock)
	return q.last.Sub(since)
}

func (q *Queue[T, M]) mark(token M) {
	m := mark[T, M]{token: token}
	for _, l := range q.lanes {
		if l.pending() {
			m.waits = append(m.waits, wait[T]{l, l.batch})
		}
	}
	q.marks = append(q.marks, m)
}

// peek returns the wave that is due at now and leaves it in place. commit, before any other call, makes it gone.
func (q *Queue[T, M]) peek(now time.Time) (Wave[T, M], bool) {
	var wave Wave[T, M]
	q.schedule()
	q.due = q.due[:0]
	for i, l := range q.lanes {
		if !l.pending() {
			l.tidy(now)
			continue
		}
		if q.plan[i].at.After(now) {
			continue
		}
		q.due = append(q.due, i)
		wave.Batches = append(wave.Batches, Batch[T]{Lane: i, Items: l.values(), First: l.since, Last: l.last, Why: q.plan[i].why.String()})
	}
	q.spent = q.freeMarks(q.due)
	for _, m := range q.marks[:q.spent] {
		wave.Marks = append(wave.Marks, m.token)
	}
	return wave, len(wave.Batches)+len(wave.Marks) > 0
}

func (q *Queue[T, M]) commit(now time.Time) {
	for _, i := range q.due {
		l := q.lanes[i]
		if now.Sub(l.worked) >= idleHold {
			clear(q.locks) // a batch that outwaited a lock is done with it until it is taken anew
		}
		l.fired()
		l.tidy(now)
	}
	clear(q.marks[:q.spent])
	q.marks = q.marks[q.spent:]
}

// freeMarks counts the marks, from the oldest, that may leave when the lanes of due do. A later mark never waits for less than an earlier
// one.
func (q *Queue[T, M]) freeMarks(due []int) int {
	for n, m := range q.marks {
		for _, w := range m.waits {
			leaves := slices.ContainsFunc(due, func(i int) bool { return q.lanes[i] == w.lane })
			if w.batch == w.lane.batch && !leaves {
				return n
			}
		}
	}
	return len(q.marks)
}

// schedule fills plan with the moment at which each pending lane may leave.
func (q *Queue[T, M]) schedule() {
	q.plan = slices.Grow(q.plan[:0], len(q.lanes))[:len(q.lanes)]
	clear(q.plan)
	for i := range q.lanes {
		q.moment(i)
	}
}

// moment is when lane i may leave: not before the pending lanes that it needs.
func (q *Queue[T, M]) moment(i int) *moment {
	m, l := &q.plan[i], q.lanes[i]
	if m.asked || !l.pending() {
		return m
	}
	m.asked = true
	m.at, m.why = l.due(len(q.locks) > 0, q.age.at(l.last))
	for _, need := range l.After {
		if need < 0 || need >= len(q.lanes) || need == i {
			continue
		}
		if n := q.moment(need); n.at.After(m.at) {
			m.at, m.why = n.at, n.why
		}
	}
	return m
}

// age is how long all lanes together have been in a storm. News starts one; noise bridges its pauses, but not for long, since some noise
// never ends.
type age struct {
	first, last, news time.Time
}

func (a *age) see(now time.Time, news bool) {
	if !news && now.Sub(a.news) > noiseBridge {
		return
	}
	if now.Sub(a.last) >= stormEnd {
		if !news {
			return
		}
		a.first = now
	}
	a.last = now
	if news {
		a.news = now
	}
}

func (a *age) at(now time.Time) time.Duration { return now.Sub(a.first) }
