package debounce

import "time"

// DefaultMaxWait is the longest wait of a lane that names none.
const DefaultMaxWait = 2 * time.Second

// The figures of the policy. What they lead to on the recorded traces is in testdata/table.txt.
const (
	// wholeQuiet ends a batch of things that are all complete, unknownQuiet one of which that is not known.
	wholeQuiet   = 4 * time.Millisecond
	unknownQuiet = 10 * time.Millisecond
	// fewQuiet is the least for more than one key, keyQuiet that for each key, up to manyQuiet: who writes many files may stall between two.
	fewQuiet  = 10 * time.Millisecond
	keyQuiet  = 3 * time.Millisecond
	manyQuiet = 100 * time.Millisecond
	// openQuiet is the least for a file that a writer has open, freshQuiet for one that is also new: nobody makes a file to read half of it.
	// goneQuiet is the least for a known path that is missing, releaseQuiet after a lock.
	openQuiet    = 100 * time.Millisecond
	freshQuiet   = 500 * time.Millisecond
	goneQuiet    = 30 * time.Millisecond
	releaseQuiet = 100 * time.Millisecond
	heldQuiet    = 180 * time.Millisecond // the most that follows from how long the lock was held
	// maxQuiet bounds every quiet time that is derived from gaps, keys, age and fires.
	maxQuiet = 250 * time.Millisecond
	// narrowQuiet bounds the quiet time that follows from the gaps between few keys, which are hardly a storm.
	narrowQuiet = 60 * time.Millisecond
	// stormEnd is the silence after which a storm is over and forgotten.
	stormEnd = 250 * time.Millisecond
	// holdWait is the longest wait of an item while a lock is held, holdLongest that while there are signs of work under it: the lock goes
	// and comes, or keys appear that were not in the storm before. idleHold is how long such a sign lasts, and the silence after which an
	// old lock is a left-over.
	holdWait    = 5 * time.Second
	holdLongest = 30 * time.Second
	idleHold    = time.Second
	// noiseBridge is how long after the last news noise still counts for the age of a storm.
	noiseBridge = time.Second
	// leadingRest is the silence before a storm whose first batch leaves at once in a Leading lane.
	leadingRest = time.Second
	// wideStorm is the number of keys above which the age of a storm counts, ageShare the divisor by which it does.
	wideStorm = 3
	ageShare  = 7
)

// storm is what one lane remembers of the changes that came without a longer pause: the base of its quiet time.
type storm struct {
	first, last time.Time
	rested      bool          // more than leadingRest of silence came before it
	gap         time.Duration // biggest time between two changes
	held        time.Duration // longest time that a lock was held
	relock      time.Duration // biggest time between a lock that went and the next
	keys        int           // distinct ones
	fires       int           // batches that have left
}

// quiet is the quiet time that the storm asks for, where base is that of a lone change. age is how long the storm has lasted for all lanes
// together.
func (s *storm) quiet(base, age time.Duration) time.Duration {
	q := base << min(s.fires, 6)
	if s.keys > 1 {
		q = max(q, fewQuiet, min(time.Duration(s.keys)*keyQuiet, manyQuiet))
	}
	switch {
	case s.keys > wideStorm:
		q = max(q, 3*s.gap, age/ageShare)
	case s.fires > 1:
		q = max(q, 3*s.gap)
	case s.keys > 1:
		q = max(q, min(3*s.gap/2, narrowQuiet))
	}
	return min(q, maxQuiet)
}

// afterLock is the quiet time after a lock went: who works slowly under a lock also takes his time before the next one.
func (s *storm) afterLock() time.Duration {
	return max(releaseQuiet, min(3*s.held/2, heldQuiet), min(3*s.relock, maxQuiet))
}
