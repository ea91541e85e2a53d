package debounce

import (
	"fmt"
	"time"
)

// lane is what is pending for one consumer, and what it remembers of its storm. Only its Queue touches it.
type lane[T any] struct {
	Lane
	storm
	entries map[string]*entry[T] // of every key of the present storm
	batch   uint                 // number of the present batch, from 1

	oldest, newest *slot[T] // what is pending, by its last change
	live           int      // how much that is

	open  int  // keys that are Open
	fresh int  // those of them that were made within this batch
	gone  int  // keys that went within this batch
	vague bool // something of the batch is Unknown

	since    time.Time // when the oldest pending item came
	unlocked time.Time // when a lock went that had held what is pending
	released time.Time // the same, or noise soon after
	worked   time.Time // last sign that work goes on under a lock
}

// entry is what is known of a key in the present storm.
type entry[T any] struct {
	batch uint     // the last one it was in
	slot  *slot[T] // its item, or the newest of them, if that is the present batch; else nil
	state State
	born  bool // made within this batch
}

// slot is an item that is pending, between the one that changed last before it and the one that did next.
type slot[T any] struct {
	value        T
	entry        *entry[T]
	older, newer *slot[T]
}

func newLane[T any](l Lane) *lane[T] {
	if l.MaxWait <= 0 {
		l.MaxWait = DefaultMaxWait
	}
	return &lane[T]{Lane: l, batch: 1, entries: map[string]*entry[T]{}}
}

func (l *lane[T]) pending() bool { return l.live > 0 }

// add makes an item pending, or folds it into the pending one of its key. held says that a lock is held.
func (l *lane[T]) add(value T, f *Fact, now time.Time, held bool, fold func(T, T) (T, bool)) {
	l.advance(now, held)
	e := l.entries[f.Key]
	if e == nil {
		e = &entry[T]{born: f.New, state: Whole}
		l.entries[f.Key] = e
		l.keys++
		if held {
			l.worked = now
		}
	}
	l.count(e, -1)
	if e.batch != 0 && e.batch != l.batch {
		e.born = false // it has left once, and is known since
	}
	if !l.put(value, e, fold) { // the two cancelled out, as if the key had never been
		delete(l.entries, f.Key)
		l.keys--
		return
	}
	e.state, e.batch = f.State, l.batch
	l.count(e, +1)
}

// advance moves the storm on to now, or starts a new one. A pause under a lock says nothing about the next one: the lock does.
func (l *lane[T]) advance(now time.Time, held bool) {
	if l.over(now) {
		rested := now.Sub(l.last) > leadingRest
		l.forget()
		l.storm = storm{first: now, last: now, rested: rested}
	}
	if !held {
		l.gap = max(l.gap, now.Sub(l.last))
	}
	l.last = now
	if !l.pending() {
		l.since = now
	}
}

// over reports whether the storm has ended at now. It cannot while something is pending.
func (l *lane[T]) over(now time.Time) bool {
	return !l.pending() && now.Sub(l.last) >= stormEnd
}

// tidy forgets a storm that has ended.
func (l *lane[T]) tidy(now time.Time) {
	if l.over(now) {
		l.forget()
	}
}

// forget drops what is known of keys, the only memory that grows.
func (l *lane[T]) forget() {
	if len(l.entries) > 0 {
		l.entries = map[string]*entry[T]{}
	}
	l.open, l.fresh, l.gone = 0, 0, 0
}

// count adds an entry to the figures of its state, or takes it away.
func (l *lane[T]) count(e *entry[T], by int) {
	now := e.batch == l.batch
	switch {
	case e.state == Open:
		l.open += by
		if e.born && now {
			l.fresh += by
		}
	case e.state == Gone && !e.born && now:
		l.gone += by
	case e.state == Unknown && by > 0:
		l.vague = true
	}
}

// put stores a value, joined with the pending one of its key if there is one; false says that the two cancelled out. The joined one goes
// to the end: the order of items is that of their last change.
func (l *lane[T]) put(value T, e *entry[T], fold func(T, T) (T, bool)) bool {
	if fold == nil || e.slot == nil {
		e.slot = &slot[T]{value: value, entry: e}
		l.push(e.slot)
		return true
	}
	joined, keep := fold(e.slot.value, value)
	l.pull(e.slot)
	if !keep {
		l.dropEmpty()
		return false
	}
	e.slot.value = joined
	l.push(e.slot)
	return true
}

// push puts a slot at the end.
func (l *lane[T]) push(s *slot[T]) {
	s.older, s.newer = l.newest, nil
	if s.older == nil {
		l.oldest = s
	} else {
		s.older.newer = s
	}
	l.newest = s
	l.live++
}

// pull takes a slot out.
func (l *lane[T]) pull(s *slot[T]) {
	if s.older == nil {
		l.oldest = s.newer
	} else {
		s.older.newer = s.newer
	}
	if s.newer == nil {
		l.newest = s.older
	} else {
		s.newer.older = s.older
	}
	l.live--
}

// dropEmpty ends a batch of which nothing is left. The storm goes on.
func (l *lane[T]) dropEmpty() {
	if !l.pending() {
		l.next()
	}
}

// values returns what is pending, in the order of last changes.
func (l *lane[T]) values() []T {
	values := make([]T, 0, l.live)
	for s := l.oldest; s != nil; s = s.newer {
		values = append(values, s.value)
	}
	return values
}

// fired ends a batch that has left.
func (l *lane[T]) fired() {
	l.fires++
	l.next()
}

// next begins a new batch. Keys that were gone are so for good by now; those that are open stay so.
func (l *lane[T]) next() {
	l.batch++
	for s := l.oldest; s != nil; s = s.newer {
		s.entry.slot = nil
	}
	l.oldest, l.newest, l.live = nil, nil, 0
	l.fresh, l.gone, l.vague = 0, 0, false
	l.unlocked, l.released, l.worked = time.Time{}, time.Time{}, time.Time{}
}

// lock says that work goes on.
func (l *lane[T]) lock(now time.Time) {
	l.worked = now
	if !l.unlocked.IsZero() {
		l.relock = max(l.relock, now.Sub(l.unlocked))
	}
}

// unlock makes what is pending wait on: the next step of a rebase takes the lock again. held is how long the lock was there.
func (l *lane[T]) unlock(now time.Time, held time.Duration) {
	if l.pending() {
		l.unlocked, l.released, l.worked = now, now, now
		l.held = max(l.held, held)
	}
}

// noise soon after a lock went says that its owner is still at work.
func (l *lane[T]) noise(now time.Time) {
	if !l.released.IsZero() && now.Sub(l.unlocked) < maxQuiet {
		l.released = now
	}
}

// due says when the pending batch may leave, and why then. held says that a lock is held, age how long the storm of all lanes has lasted.
func (l *lane[T]) due(held bool, age time.Duration) (time.Time, reason) {
	last := l.since.Add(l.longest(held))
	at, why := l.quietDue(age)
	if held || at.After(last) {
		return last, reason{what: "longest wait", d: last.Sub(l.since)}
	}
	return at, why
}

// longest is how long the oldest pending item may wait.
func (l *lane[T]) longest(held bool) time.Duration {
	if !held && l.released.IsZero() {
		return l.MaxWait
	}
	d := max(l.MaxWait, holdWait)
	return max(d, min(l.worked.Add(idleHold).Sub(l.since), holdLongest))
}

func (l *lane[T]) quietDue(age time.Duration) (time.Time, reason) {
	if l.Settle == Leading && l.rested && l.fires == 0 && l.open == 0 && l.gone == 0 && l.released.IsZero() {
		return l.last, reason{what: "first of a storm"}
	}
	why := reason{what: "quiet", d: l.quietTime(age)}
	at := l.last.Add(why.d)
	if after := l.released.Add(l.afterLock()); !l.released.IsZero() && after.After(at) {
		return after, reason{what: "quiet since the lock went", d: l.afterLock()}
	}
	return at, why
}

func (l *lane[T]) quietTime(age time.Duration) time.Duration {
	if l.Settle > 0 {
		return time.Duration(l.Settle)
	}
	base := wholeQuiet
	if l.vague {
		base = unknownQuiet
	}
	q := l.storm.quiet(base, age)
	if l.open > 0 {
		q = max(q, openQuiet, min(3*l.gap, maxQuiet))
	}
	if l.fresh > 0 {
		q = max(q, freshQuiet)
	}
	if l.gone > 0 {
		q = max(q, goneQuiet)
	}
	return q
}

// reason is why a batch leaves.
type reason struct {
	what string
	d    time.Duration
}

func (r reason) String() string {
	if r.d == 0 {
		return r.what
	}
	return fmt.Sprintf("%s %v", r.what, r.d.Round(time.Millisecond/10))
}
