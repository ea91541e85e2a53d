package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/flinch-run/flinch/watch/inotify"
)

// Options say what to watch, and how.
type Options struct {
	// Roots are directories or files. A root that is a symbolic link is followed, and followed again when the link, or a
	// directory on the way to it, changes.
	Roots []string

	// Optional are further roots, which need not exist; their numbers follow those of Roots.
	Optional []string

	// Prune says which directories below a root nobody wants: they are neither opened nor watched. It is called by
	// several goroutines at the same time, with a slash-separated path relative to the root.
	Prune func(root int, dir string) bool

	// Skip says which files nobody wants: they are not looked at, not remembered and not reported.
	// It is called as Prune is.
	Skip func(root int, path string) bool

	// Backend is "auto" or "" (inotify, and polling where it does not serve), "inotify", or "poll".
	Backend string

	// Poll is the shortest interval of polling; 0 is 250 ms. What is polled much costs no more than 2 % of one CPU.
	Poll time.Duration

	// Follow goes into symbolic links to directories, too, if they lead out of the root.
	Follow bool

	// WaitRoots takes roots that do not exist yet. A root that vanishes later is waited for in any case.
	WaitRoots bool

	Logger *slog.Logger  // nil: silent
	Warn   func(Warning) // called from the Watcher's goroutine; it must not wait for the Watcher. nil: to the Logger
}

// Watcher tells what changes below its roots. Its methods are safe for concurrent use; Next has one caller at a time.
type Watcher struct {
	opts    Options
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed when the goroutine has ended
	once    sync.Once
	calls   chan func()
	turn    chan struct{} // taken by Next when there is something to hand over
	out     chan Batch    // and then that
	asked   wishlist

	// All below belongs to the Watcher's goroutine.
	ground
	conn       *inotify.Conn
	eye        *eye
	index      index
	dirty      dirt
	parked     dirt // marks of what is in limbo
	limbo      []exile
	roots      []*root
	anchors    map[int32][]anchor
	hard       hardLinks
	unseen     []*node       // directories with files that were only listed
	free       chan struct{} // closed: taken when there is nothing else to do
	mounted    mountTable
	set        Set
	marks      []Mark // reached, to be handed over
	turns      []RootEvent
	waits      []barrier
	syncs      []chan struct{}      // closed with the next hand-over
	postponed  map[*node]*postponed // looks that went wrong; nil: at the roots
	newly      []linkAt             // names that a refresh has come upon
	sought     map[linkAt]bool      // those of them of which no event has told
	vital      []postponed          // looks that barriers wait for
	clock      clock
	reading    reading
	mute       bool
	expiring   bool // a barrier for the end of waits for other halves is under way
	now        time.Time
	lastPolled int32
	health     health
	poll       polling
}

// New watches the roots. When it returns, every later change is sure to be reported, and nothing that was before
// is. When ctx ends, the Watcher closes.
func New(ctx context.Context, opts Options) (*Watcher, error) {
	return newWatcher(ctx, opts, system(), inotify.Syscalls{})
}

func newWatcher(ctx context.Context, opts Options, k kernel, sys inotify.Syscalls) (*Watcher, error) {
	roots, err := newRoots(slices.Concat(opts.Roots, opts.Optional))
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		opts: opts, roots: roots,
		closing: make(chan struct{}), ended: make(chan struct{}),
		calls: make(chan func()), turn: make(chan struct{}), out: make(chan Batch),
		asked: wishlist{wake: make(chan struct{}, 1)},
		dirty: make(dirt), parked: make(dirt), anchors: make(map[int32][]anchor), postponed: make(map[*node]*postponed),
		sought: make(map[linkAt]bool), mute: true, now: time.Now(), free: make(chan struct{}),
	}
	close(w.free)
	w.ground = ground{kernel: k, devices: &devices{}, prune: opts.Prune, skip: opts.Skip, follow: opts.Follow, stop: w.closing,
		bases: make([]string, len(roots)), since: w.now.Add(-tickFine).UnixNano()}
	if err := w.choose(sys); err != nil {
		return nil, err
	}
	w.eye = newEye(w.kernel)
	w.clock.init()
	up := make(chan error)
	// The context may live much longer than the Watcher, and must not keep its tree.
	unhook := context.AfterFunc(ctx, w.shut)
	go func() {
		defer unhook()
		w.run(up)
	}()
	select {
	case err = <-up:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// choose opens the backend.
func (w *Watcher) choose(sys inotify.Syscalls) (err error) {
	switch w.opts.Backend {
	case "", "auto", "inotify":
	case "poll":
		w.silent = true
		return nil
	default:
		return fmt.Errorf("watch: unknown backend %q: auto, inotify or poll", w.opts.Backend)
	}
	if w.conn, err = inotify.InitWith(sys); err == nil {
		w.connect()
		return nil
	}
	w.silent = true
	if w.opts.Backend == "inotify" {
		return fmt.Errorf("watch: %w", err)
	}
	w.health.noInotify = err
	return nil
}

func (w *Watcher) connect() {
	w.watch = func(fd int) (int32, error) {
		id, err := w.conn.AddFD(fd, treeMask)
		return int32(id), err
	}
	w.unwatch = func(id int32) error { return w.conn.Remove(inotify.WD(id)) }
}

// Next waits for changes and hands over all that have come together since the last call. It does not wait for
// quiet. After Close it returns [io.EOF].
func (w *Watcher) Next(ctx context.Context) (Batch, error) {
	select {
	case <-w.turn:
		return <-w.out, nil
	case <-w.ended:
		return Batch{}, io.EOF
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	}
}

// Mark asks for a barrier and returns at once. It comes back in a later Batch.Marks, when all that happened before this
// call has been handed over. What is polled is looked at for it; where that takes longer than 250 ms, only folders are that have
// changed within the last minute.
func (w *Watcher) Mark(id uint64) { w.asked.add(wish{mark: Mark{ID: id, Time: time.Now()}}) }

// Sync waits until Next has handed over all that happened before the call.
func (w *Watcher) Sync(ctx context.Context) error {
	done := make(chan struct{})
	w.asked.add(wish{done: done})
	select {
	case <-done:
		return nil
	case <-w.ended:
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refresh says that the answers of Prune and Skip have changed. What is newly wanted is taken in and what is not is given back; neither is
// reported as a change. It returns at once; Sync waits for the end of it.
func (w *Watcher) Refresh() { w.asked.add(wish{refresh: true}) }

// Close ends the watch and waits for its end. Further calls do nothing.
func (w *Watcher) Close() error {
	w.shut()
	<-w.ended
	return nil
}

func (w *Watcher) shut() { w.once.Do(func() { close(w.closing) }) }

// call runs f in the Watcher's goroutine, if that is still there.
func (w *Watcher) call(f func()) {
	done := make(chan struct{})
	select {
	case w.calls <- func() { f(); close(done) }:
		<-done
	case <-w.ended:
	}
}

// wishlist is what callers who must not wait ask of the Watcher.
type wishlist struct {
	mu   sync.Mutex
	list []wish
	wake chan struct{}
}

type wish struct {
	mark    Mark
	done    chan struct{} // of Sync
	refresh bool
}

func (l *wishlist) add(v wish) {
	l.mu.Lock()
	l.list = append(l.list, v)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *wishlist) take() []wish {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

// run owns the tree. It ends when Close was called.
func (w *Watcher) run(up chan<- error) {
	defer close(w.ended)
	readers := w.startReaders()
	defer readers()
	err := w.start()
	select {
	case up <- err:
	case <-w.closing:
		return
	}
	for err == nil {
		w.settle()
		w.warnLimits()
		w.hand()
		if !w.wait() {
			return
		}
	}
}

// start takes the state to begin with.
func (w *Watcher) start() error {
	w.settle()
	if !w.opts.WaitRoots {
		if err := w.mustExist(); err != nil {
			return err
		}
	}
	reached := false
	w.barrier(func() { reached = true })
	for !reached {
		w.settle()
		w.hand()
		if !reached && !w.wait() {
			return io.EOF
		}
	}
	w.set, w.turns, w.mute = Set{}, nil, false
	w.warnLimits()
	return nil
}

// hand answers the barriers that were reached, when all before them has been worked off.
func (w *Watcher) hand() {
	if w.unsettled() {
		return
	}
	for len(w.waits) > 0 && w.waits[0].read && !w.unsettled() {
		if b := &w.waits[0]; b.until.IsZero() {
			b.until = w.lastVital()
		}
		if w.waits[0].until.After(w.now) {
			return
		}
		then := w.waits[0].then
		w.waits = slices.Delete(w.waits, 0, 1)
		then()
		w.settle() // it may have left marks, and nothing else may come to wake us
	}
	if !w.unsettled() && !w.deliverable() {
		w.synced()
	}
}

func (w *Watcher) deliverable() bool {
	return w.set.live > 0 || len(w.marks) > 0 || len(w.turns) > 0
}

func (w *Watcher) synced() {
	for _, done := range w.syncs {
		close(done)
	}
	w.syncs = nil
}

// wait waits for whatever comes next; false: the end.
func (w *Watcher) wait() bool {
	var turn chan<- struct{}
	if w.deliverable() && !w.mute {
		turn = w.turn
	}
	w.resume()
	var free <-chan struct{}
	if len(w.unseen) > 0 && !w.mute {
		free = w.free
	}
	select {
	case <-w.closing:
		return false
	case turn <- struct{}{}:
		w.deliver()
	case events := <-w.reading.arrived:
		w.read(events)
	case <-w.asked.wake:
		w.now = time.Now()
		w.grant(w.asked.take())
	case f := <-w.calls:
		f()
	case <-free:
		w.fill()
	case <-w.clock.mounts:
		w.now = time.Now()
		w.mountsChanged()
	case <-w.clock.woke:
		w.now = time.Now()
		w.rescan("the machine was asleep")
	case <-w.clock.timer.C:
		w.now = time.Now()
		w.ring()
	}
	return true
}

// deliver hands over; Next waits for it and nothing else.
func (w *Watcher) deliver() {
	b := Batch{Changes: w.set.take(), Marks: w.marks, Roots: w.turns}
	w.marks, w.turns = nil, nil
	w.out <- b
	w.synced()
}

// grant does what was asked for.
func (w *Watcher) grant(list []wish) {
	for _, v := range list {
		switch {
		case v.refresh:
			w.barrier(w.refresh)
		case v.done != nil:
			w.barrier(func() { w.syncs = append(w.syncs, v.done) })
		default:
			w.barrier(func() { w.marks = append(w.marks, v.mark) })
		}
	}
}

// refresh looks at everything with the new wishes.
func (w *Watcher) refresh() {
	w.everything(func(m *marks) { m.quiet = true })
}

// everything leaves marks on all directories, also on those in limbo.
func (w *Watcher) everything(put func(m *marks)) {
	for _, x := range w.limbo {
		_ = x.node.walk(func(n *node) bool { put(w.parked.of(n.id)); return true })
	}
	for _, r := range w.roots {
		if r.top == nil {
			continue
		}
		_ = r.top.walk(func(n *node) bool {
			if n.id != 0 && n.flags&cyclic == 0 {
				put(w.dirty.of(n.id))
			}
			return true
		})
	}
}
