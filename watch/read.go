package watch

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/flinch-run/flinch/watch/inotify"
)

// reading is the Watcher's side of the reader's token: either the reader waits for the kernel, or it waits here and the
// Watcher reads. So events come in their order, and none is kept unfolded.
type reading struct {
	arrived chan []inotify.Event // from the reader, which then waits for onward
	onward  chan struct{}
	holding bool // the Watcher has the token
	buf     []inotify.Event
	lately  int       // events since the last pause
	streak  int       // reads that followed each other closely
	last    time.Time // when the last was
	until   time.Time // a storm's pause ends then

	gathering bool    // workers read the tree, and write to what is new in it: nothing in it may be changed or walked through
	ended     []int32 // watches that ended meanwhile
	lost      bool    // events were lost meanwhile
}

// barrier is a wait for an event that lies behind all that happened before.
type barrier struct {
	id   int32
	read bool
	then func()

	until time.Time // looks that were postponed when it was read are due by then
}

// A storm, many events at once or a stream of single ones, is left alone for a moment after each look, so that many events of
// one file cost one look. A lone write is never made to wait.
const (
	storm  = 128
	stream = 24
	near   = time.Millisecond // reads of one stream are not further apart
	pause  = 8 * time.Millisecond
)

// readSpan is how long the Watcher reads before it looks, while events keep coming.
const readSpan = 20 * time.Millisecond

// startReaders starts the goroutines that wait for the kernel, and returns what ends them.
func (w *Watcher) startReaders() (stop func()) {
	w.reading.arrived, w.reading.onward = make(chan []inotify.Event), make(chan struct{})
	mounts := w.watchMounts()
	if w.conn == nil {
		return mounts
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go w.reader(quit, done)
	return func() {
		close(quit)
		_ = w.conn.Close()
		<-done
		mounts()
	}
}

// reader ends when the connection is closed, or at quit.
func (w *Watcher) reader(quit <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	var events []inotify.Event
	for {
		var err error
		events, err = w.conn.Read(events[:0])
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil { // what was to be read is lost
			events = append(events, inotify.Event{WD: inotify.NoWD, Mask: inotify.Overflow})
		}
		select {
		case w.reading.arrived <- events:
		case <-quit:
			return
		}
		select {
		case <-w.reading.onward:
		case <-quit:
			return
		}
	}
}

// read folds what the reader brought, and all there is behind it.
func (w *Watcher) read(events []inotify.Event) {
	w.now = time.Now()
	w.reading.holding = true
	w.reading.beat(w.now)
	w.fold(events)
	w.drain()
}

// drain reads until the kernel's queue is empty, or for a while.
func (w *Watcher) drain() {
	if !w.reading.holding {
		return
	}
	r := &w.reading
	for deadline := w.now.Add(readSpan); w.now.Before(deadline); w.now = time.Now() {
		events, err := w.conn.TryRead(r.buf[:0])
		r.buf = events
		if err != nil {
			w.fold(events)
			w.overflowed()
			return
		}
		if len(events) == 0 {
			return
		}
		w.fold(events)
	}
}

// resume gives the token back, unless a storm is being left alone.
func (w *Watcher) resume() {
	r := &w.reading
	if !r.holding {
		return
	}
	if len(w.waits) == 0 && r.pauses(time.Now()) {
		w.wake(r.until)
		return
	}
	r.lately, r.until, r.holding = 0, time.Time{}, false
	select {
	case r.onward <- struct{}{}:
	case <-w.closing:
	}
}

// pauses tells whether to leave the kernel's queue alone for now.
func (r *reading) pauses(now time.Time) bool {
	if !r.until.After(now) && r.lately > 0 && (r.lately >= storm || r.streak >= stream) {
		r.until = now.Add(pause)
		r.lately = 0
	}
	return r.until.After(now)
}

// beat counts reads that follow each other closely.
func (r *reading) beat(now time.Time) {
	if now.Sub(r.last) > near {
		r.streak = 0
	}
	r.streak++
	r.last = now
}

// gather folds events while others work, so that the kernel's queue does not overflow meanwhile.
func (w *Watcher) gather(done <-chan struct{}) {
	r := &w.reading
	r.gathering = true
	w.readUntil(done)
	r.gathering = false
	for _, id := range r.ended {
		w.selfEvent(id, inotify.Ignored)
	}
	r.ended = r.ended[:0]
	if r.lost {
		r.lost = false
		w.overflowed()
	}
}

func (w *Watcher) readUntil(done <-chan struct{}) {
	for {
		if w.reading.holding {
			w.drain()
			w.reading.holding = false
			select {
			case w.reading.onward <- struct{}{}:
			case <-w.closing:
				<-done
				return
			}
		}
		select {
		case <-done:
			return
		case events := <-w.reading.arrived:
			w.now = time.Now()
			w.reading.holding = true
			w.fold(events)
		}
	}
}

// fold leaves marks.
func (w *Watcher) fold(events []inotify.Event) {
	w.reading.lately += len(events)
	for i := range events {
		w.foldOne(&events[i])
	}
}

const moves = inotify.MovedFrom | inotify.MovedTo | inotify.MoveSelf

const selfEvents = inotify.DeleteSelf | inotify.MoveSelf | inotify.Unmount | inotify.Ignored

func (w *Watcher) foldOne(ev *inotify.Event) {
	id := int32(ev.WD)
	switch {
	case ev.Overflow():
		w.overflowed()
		return
	case ev.Mask&inotify.Ignored != 0 && w.reached(id):
		return
	}
	if anchors := w.anchors[id]; anchors != nil {
		w.onTheWay(anchors, ev)
	}
	if ev.Name == "" && w.linkEvent(id, ev) {
		return
	}
	if ev.Mask&selfEvents != 0 {
		w.selfEvent(id, ev.Mask)
		return
	}
	if ev.Name != "" {
		w.dirty.event(id, ev.Name, ev.Mask, w.now)
		return
	}
	for _, n := range w.index.owners(id) { // a change of its mode; other folders have a parent that tells
		if n.flags&isTop != 0 {
			w.roots[n.root].stale, w.roots[n.root].shut = true, true
		}
	}
}

// onTheWay: something happened to a directory on the way to a root.
func (w *Watcher) onTheWay(anchors []anchor, ev *inotify.Event) {
	for _, a := range anchors {
		if a.name == ev.Name && ev.Mask&anchorMask != 0 || ev.Mask&selfEvents != 0 {
			w.roots[a.root].stale = true
			w.roots[a.root].shaken = w.roots[a.root].shaken || ev.Mask&moves != 0
		}
	}
	if ev.Mask&inotify.Ignored != 0 {
		delete(w.anchors, int32(ev.WD))
	}
}

// selfEvent: a directory itself has moved or gone, or has lost its watch.
func (w *Watcher) selfEvent(id int32, bits inotify.Mask) {
	gone := bits&inotify.Ignored != 0
	if gone && w.reading.gathering {
		w.reading.ended = append(w.reading.ended, id)
		gone = false
	}
	for _, n := range w.index.owners(id) {
		w.again(n)
		if n.flags&isTop != 0 && bits&moves != 0 {
			w.roots[n.root].shaken = true
		}
		if gone {
			w.index.drop(n)
			n.id = 0
		}
	}
}

// overflowed: events were lost. What was lost shows when the tree is compared with the disk, which must not begin
// before the marker was read: until then more may be lost.
func (w *Watcher) overflowed() {
	if w.reading.gathering {
		w.reading.lost = true
		return
	}
	w.health.overflows++
	w.rescan("the kernel's event queue was full")
	for i := range w.waits {
		w.waits[i].read = true
	}
}

// rescan compares everything with the disk.
func (w *Watcher) rescan(why string) {
	w.health.rescans++
	w.log().Warn("changes may have been lost: comparing all folders with the disk", "reason", why)
	w.everything(func(m *marks) { m.list, m.recovered = true, true })
	for _, r := range w.roots {
		r.stale = true
	}
}

// barrier calls then when everything that has happened until now has been read and looked at.
func (w *Watcher) barrier(then func()) {
	exact := func() {
		w.buryAll()
		then()
	}
	if told := w.fence(exact); told {
		w.pollFor(true)
	} else {
		w.pollFor(false)
		w.waits = append(w.waits, barrier{then: exact, read: true})
	}
}

// fence calls then when everything has been read, and looked at, that the kernel had told of until now; false: it cannot.
func (w *Watcher) fence(then func()) bool {
	if w.conn == nil {
		return false
	}
	wd, err := w.conn.Barrier()
	if err != nil {
		return false
	}
	w.wakeReader()
	w.waits = append(w.waits, barrier{id: int32(wd), then: then})
	return true
}

// pollFor looks at what does not tell, as far as it may take part in a barrier: where a look at all is dear, only at what has
// changed lately.
func (w *Watcher) pollFor(told bool) {
	for _, r := range w.roots {
		r.stale = r.stale || r.blind || !told
	}
	switch {
	case !told && !w.silent: // the kernel refused
		w.everything(func(m *marks) { m.list = true })
	case w.poll.took > barrierPoll:
		w.markHot()
	case w.silent || !w.poll.next.IsZero():
		w.markAllPolled()
	}
}

// wakeReader ends a storm's pause.
func (w *Watcher) wakeReader() {
	w.reading.until = time.Time{}
	w.reading.lately = 0
}

// reached notes that a barrier's event was read.
func (w *Watcher) reached(id int32) bool {
	i := slices.IndexFunc(w.waits, func(b barrier) bool { return b.id == id && !b.read })
	if i < 0 {
		return false
	}
	w.waits[i].read = true
	return true
}
