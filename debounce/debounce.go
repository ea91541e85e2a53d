// Package debounce decides when a stream of changes is complete enough to act on.
//
// A fixed quiet time is either long enough for a git checkout or short enough for a save, never both. Here the quiet time follows from
// what is seen: a lone save whose close was seen waits some milliseconds, a storm waits in proportion to its width, its gaps and its age,
// a file that a writer still has open or a path that is missing for a moment waits longer, and nothing leaves while a version control
// system holds its lock.
//
// The package knows no files. Whoever feeds it says of each item, in a [Fact], which key it is about and how complete that looked, and
// which lanes want it. A lane is one consumer with a timer of its own (flinch has one for each rule).
//
// # Concurrency
//
// [Run] is one blocking function that owns all state; it starts no goroutine, uses one timer, and ends when its input is closed (and what
// was pending has left) or its context is done. A consumer that is slow does not stop the intake: what is due stays pending, goes on
// folding, and leaves in its newest form. [Queue] is the same machine without clock and channels, for replays and tests.
//
// Only differences of the times given are used, so they should carry Go's monotonic reading, as those of [time.Now] do.
package debounce

import (
	"context"
	"time"
)

// Lane is one consumer of items and how long its batches settle.
type Lane struct {
	// Settle is the quiet time that ends a batch; the zero value is [Auto].
	Settle Settle
	// MaxWait is the longest time an item waits under endless input; zero means [DefaultMaxWait]. While a lock is held it is more: 5 s, and
	// up to 30 s while there are signs of work under the lock.
	MaxWait time.Duration
	// After holds the indexes of the lanes that this one needs: while one of them is pending, this one waits for it, and they then leave
	// in the same wave. It waits for them as long as they do, also beyond its own MaxWait. Circles are cut at an arbitrary place.
	After []int
}

// Settle is a lane's quiet time: [Auto], [Leading] or a [Fixed] one.
type Settle time.Duration

const (
	// Auto takes the quiet time from what is seen.
	Auto Settle = 0
	// Leading is Auto, but the first batch after a second of rest leaves as soon as nothing of it is known to be incomplete, without any
	// quiet time. It answers soonest and costs one more run for each storm.
	Leading Settle = -1
)

// Fixed is a quiet time that only a lock ([Fact.Hold]) prolongs.
func Fixed(d time.Duration) Settle { return Settle(max(d, 1)) }

// State says how complete the thing behind a key looked.
type State uint8

const (
	// Unknown is for things of which nobody saw the end: found by polling or by a rescan.
	Unknown State = iota
	// Whole things are complete: the writer closed the file, it was moved into place, or it has no content (a folder, a link).
	Whole
	// Open things still have a writer.
	Open
	// Gone things were known and are no longer there, perhaps for a moment only.
	Gone
	// Noise is no news: it counts for the age of a storm, and no lane gets the item.
	Noise
)

// String is the state in lower case.
func (s State) String() string {
	return [...]string{"unknown", "whole", "open", "gone", "noise"}[min(s, Noise)]
}

// Fact is what the policy needs to know of an item.
type Fact struct {
	// Key names the thing, mostly a path. Items of one key fold (see [Options.Fold]).
	Key   string
	State State
	// New says that the key was not there before. A key that first appeared within a batch and goes again (a temporary file) is not
	// missed when it is Gone.
	New bool
	// Hold says that a lock named Key was seen being made: nothing leaves while it exists. A lock that was there before does not hold.
	Hold bool
	// Release says that the lock named Key is gone. It may come without a Hold, when both fell into one look.
	Release bool
	// Time is when it happened or was read; zero means now. Times that run backwards are read as standing still.
	Time time.Time
}

// Item is one change on its way.
type Item[T any] struct {
	Value T
	Fact  Fact
	// Lanes holds the indexes of the lanes that want it, each once; with none it counts for the age of a storm only. It is read, and not
	// kept. An index without a lane is a mistake of the caller's, and panics.
	Lanes []int
}

// Input is what goes in at once. Its parts take effect in the order of the fields.
type Input[T, M any] struct {
	// Lanes, if not nil, replaces the lanes.
	Lanes *Lanes
	Items []Item[T]
	// Marks are tokens that flow along with the items: each leaves with the wave after which no lane is pending that was so when the mark
	// came in, at once if none was. Marks leave in the order they came in.
	Marks []M
}

// Lanes replaces the lanes of a running machine.
type Lanes struct {
	Lanes []Lane
	// From holds for each new lane the index of the old lane whose pending items and memory it takes over, or -1; where it is too short,
	// -1. Pending items of old lanes that nobody takes over are dropped.
	From []int
}

// Batch is what leaves for one lane: its items, in the order of their last change.
type Batch[T any] struct {
	Lane        int
	Items       []T
	First, Last time.Time
	// Why says in a few words what ended the wait, such as "quiet 4ms".
	Why string
}

// Wave is what leaves at one moment, in the order of the lanes. It may hold marks only.
type Wave[T, M any] struct {
	Batches []Batch[T]
	Marks   []M
}

// Options configure [Run] and [NewQueue].
type Options[T any] struct {
	Lanes []Lane
	// Fold, if not nil, joins an item with a pending one of the same key and lane, so that what is pending is bounded by the number of
	// keys. It returns the joined value, or false when the two cancel out: both are then dropped, and a lane with nothing else pending
	// does not leave.
	Fold func(older, newer T) (T, bool)
}

// Run receives items until in is closed, and sends them, settled, to out, which it closes. What is pending when in is closed leaves at its
// proper time; when ctx is done it is dropped and Run returns at once. Run is the only sender to out.
func Run[T, M any](ctx context.Context, in <-chan Input[T, M], out chan<- Wave[T, M], opts Options[T]) {
	defer close(out)
	q := NewQueue[T, M](opts)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for in != nil || q.Pending() {
		now := time.Now()
		var ready chan<- Wave[T, M]
		wave, due := q.peek(now)
		if due {
			ready = out
		}
		arm(timer, q, now)
		select {
		case <-ctx.Done():
			return
		case input, ok := <-in:
			in = drain(q, add(q, in, input, ok))
		case <-timer.C:
			in = drain(q, grace(q, timer, in, now))
		case ready <- wave:
			q.commit(now)
		}
	}
}

// A timer that rings lateRing after its time says that the machine is busy: what happened before may still be on its way, and is given
// busyGrace.
const (
	lateRing  = time.Millisecond
	busyGrace = 2 * time.Millisecond
)

// grace waits a moment more if the timer that was armed at that time has rung late.
func grace[T, M any](q *Queue[T, M], timer *time.Timer, in <-chan Input[T, M], armed time.Time) <-chan Input[T, M] {
	due, ok := q.next(armed)
	if !ok || time.Since(due) < lateRing {
		return in
	}
	timer.Reset(busyGrace)
	select {
	case <-timer.C:
	case input, ok := <-in:
		in = add(q, in, input, ok)
	}
	return in
}

// arm sets the timer to the next moment after now at which the queue can change its mind.
func arm[T, M any](timer *time.Timer, q *Queue[T, M], now time.Time) {
	next, ok := q.next(now)
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(next.Sub(now))
}

// drain takes in what else has arrived, so that a late wake-up is not taken for quiet. It is bounded, so that an endless stream cannot keep
// a wave from leaving.
func drain[T, M any](q *Queue[T, M], in <-chan Input[T, M]) <-chan Input[T, M] {
	for range 64 {
		select {
		case input, ok := <-in:
			in = add(q, in, input, ok)
		default:
			return in
		}
	}
	return in
}

func add[T, M any](q *Queue[T, M], in <-chan Input[T, M], input Input[T, M], ok bool) <-chan Input[T, M] {
	if !ok {
		return nil
	}
	q.Add(input, time.Now())
	return in
}
