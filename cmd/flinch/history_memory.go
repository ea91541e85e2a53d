package main

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/runner"
)

// What is remembered is bounded: so many runs with the end of their output each,
// so many events and batches, and so many changes in all of them together.
const (
	outputMax  = 256 << 10 // bytes of a run
	eventsMax  = 4096
	batchesMax = 512
	changesMax = 100_000
	followMax  = 1024 // events that wait for one client
	runMax     = 1000 // changes of one run
)

// memory is what the history remembers. Only its goroutine touches it.
type memory struct {
	runsMax   int
	seq       uint64
	events    []control.Event // without output, the oldest first
	runs      []*pastRun      // in the order of their start
	byID      map[runner.RunID]*pastRun
	batches   []*pastBatch
	changes   int // in batches
	followers map[*follower]struct{}
	plan      *plan // of the last wave; nil: there was none yet
	figures   *figures
	own       []fs.FileInfo // files that flinch prints to
}

// pastRun is a run that is remembered, or lives.
type pastRun struct {
	started runner.Event // the first event about it
	over    *runner.Event
	more    int // changes that are not in started
	ready   time.Time
	settled time.Time
	skipped string
	lines   []control.Line
	bytes   int
	missed  int64
	plan    *plan
}

// pastBatch is a wave, or changes that came together and that no rule wanted.
type pastBatch struct {
	number   uint64 // 0: strays
	time     time.Time
	triggers []runner.Trigger
	strays   []stray
	more     int
	notes    []batchNote
	runs     []control.Cause
	plan     *plan
}

// batchNote is what became of a part of a batch in the end, other than a run.
type batchNote struct {
	kind  runner.EventKind
	rule  string
	why   string
	paths []runner.Change
}

func newMemory(runs int) *memory {
	m := &memory{
		runsMax: runs, byID: map[runner.RunID]*pastRun{}, followers: map[*follower]struct{}{}, figures: newFigures(),
	}
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if info, err := f.Stat(); err == nil {
			m.own = append(m.own, info)
		}
	}
	return m
}

// take remembers one piece of news.
func (m *memory) take(n news, text []byte) {
	switch {
	case n.event != nil:
		m.event(n.event)
	case n.wave != nil:
		m.settled(n.wave)
	case n.stray != nil:
		m.stray(*n.stray)
	case n.ask != nil:
		n.ask(m)
	case n.missed > 0:
		m.missed(n.line.run, n.missed)
	default:
		m.line(n.line, text[n.line.at:n.line.at+n.line.len])
	}
}

// settled remembers a batch before anything is done about it.
func (m *memory) settled(w *settled) {
	m.plan = w.plan
	b := &pastBatch{number: w.number, time: w.time, triggers: w.triggers, plan: w.plan}
	m.addBatch(b)
	m.figures.batch(w)
	e := control.Event{Kind: "batch", Time: w.time, Batch: w.number}
	for _, t := range w.triggers {
		e.Rules = append(e.Rules, t.Rule)
	}
	e.Paths, e.More = wireChanges(w.plan, b.changes(), wireMax)
	m.publish(e)
}

// changes are those of all the batch's rules, each once.
func (b *pastBatch) changes() (list []runner.Change) {
	if len(b.triggers) == 1 {
		return b.triggers[0].Changes
	}
	type key struct {
		root int
		path string
	}
	seen := map[key]bool{}
	for _, t := range b.triggers {
		for _, c := range t.Changes {
			if k := (key{c.Root, c.Path}); !seen[k] {
				seen[k] = true
				list = append(list, c)
			}
		}
	}
	return list
}

func (b *pastBatch) size() (n int) {
	for _, t := range b.triggers {
		n += len(t.Changes)
	}
	return n + len(b.strays)
}

func (m *memory) addBatch(b *pastBatch) {
	m.batches = append(m.batches, b)
	m.changes += b.size()
	for len(m.batches) > 1 && (len(m.batches) > batchesMax || m.changes > changesMax) {
		m.changes -= m.batches[0].size()
		m.batches[0] = nil
		m.batches = m.batches[1:]
	}
}

// strayGap parts changes that no rule wants into batches.
const strayGap = 250 * time.Millisecond

// stray remembers a change that no rule wants.
func (m *memory) stray(s stray) {
	if s.unverified && !m.freshlyChanged(&s) {
		return
	}
	b := m.lastStrays()
	if b == nil || s.time.Sub(b.time) > strayGap {
		b = &pastBatch{time: s.time, plan: s.plan}
		m.addBatch(b)
	}
	b.time = s.time
	if slices.ContainsFunc(b.strays, func(o stray) bool { return o.root == s.root && o.path == s.path }) {
		return
	}
	if len(b.strays) >= straysMax {
		b.more++
		return
	}
	b.strays = append(b.strays, s)
	m.changes++
}

// lastStrays is the batch of strays that the last one belongs to.
func (m *memory) lastStrays() *pastBatch {
	for _, b := range slices.Backward(m.batches) {
		if b.number == 0 {
			return b
		}
		if time.Since(b.time) > strayGap {
			break
		}
	}
	return nil
}

// freshlyChanged tells a file that has changed from one that was only looked at:
// the watcher asks about both in the same way. What flinch itself prints to is
// never a change.
func (m *memory) freshlyChanged(s *stray) bool {
	const fresh = 3 * time.Second
	info, err := os.Lstat(s.plan.abs(s.root, s.path))
	if err != nil {
		return false
	}
	if slices.ContainsFunc(m.own, func(own fs.FileInfo) bool { return os.SameFile(own, info) }) {
		return false
	}
	s.op, s.typ = "write", typeName(info.Mode())
	return changeTime(info).After(s.time.Add(-fresh))
}

func typeName(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "file"
	case mode.IsDir():
		return "dir"
	case mode&fs.ModeSymlink != 0:
		return "symlink"
	}
	return "other"
}

// event remembers what the runner did.
func (m *memory) event(e *runner.Event) {
	m.figures.event(e)
	if e.Run != 0 {
		m.runEvent(e)
	}
	m.noteBatch(e)
	m.publish(wireEvent(m.plan, e))
}

func (m *memory) runEvent(e *runner.Event) {
	r := m.byID[e.Run]
	if r == nil {
		r = &pastRun{plan: m.plan}
		r.begin(e)
		if b := m.batch(e.Batch); b != nil {
			r.settled, r.plan = b.time, b.plan
			b.runs = append(b.runs, control.Cause{Rule: e.Rule, Run: uint64(e.Run)})
		}
		m.byID[e.Run] = r
		m.runs = append(m.runs, r)
		m.forgetRuns()
	}
	switch e.Kind {
	case runner.EventStarted:
		r.begin(e)
	case runner.EventReady:
		r.ready = e.Time
	case runner.EventSkipped:
		r.skipped, r.over = e.Why, ending(e)
	case runner.EventOver:
		r.over = ending(e)
	}
}

// begin takes what the run is for; of very many changes the first.
func (r *pastRun) begin(e *runner.Event) {
	r.started = *e
	r.started.Changes, r.more = few(e.Changes)
}

func few(changes []runner.Change) (first []runner.Change, more int) {
	if len(changes) <= runMax {
		return changes, 0
	}
	return slices.Clone(changes[:runMax]), len(changes) - runMax
}

// ending is the event without what the beginning has told.
func ending(e *runner.Event) *runner.Event {
	end := *e
	end.Changes = nil
	return &end
}

// forgetRuns keeps so many runs; one that lives is not forgotten.
func (m *memory) forgetRuns() {
	for len(m.runs) > max(1, m.runsMax) {
		i := slices.IndexFunc(m.runs, func(r *pastRun) bool { return r.over != nil })
		if i < 0 {
			return
		}
		delete(m.byID, m.runs[i].started.Run)
		m.runs = slices.Delete(m.runs, i, i+1)
	}
}

func (m *memory) batch(number uint64) *pastBatch {
	i, found := slices.BinarySearchFunc(m.waves(), number, func(b *pastBatch, n uint64) int { return cmp.Compare(b.number, n) })
	if !found {
		return nil
	}
	return m.waves()[i]
}

// waves are the batches that rules wanted.
func (m *memory) waves() (list []*pastBatch) {
	for _, b := range m.batches {
		if b.number != 0 {
			list = append(list, b)
		}
	}
	return list
}

// noteBatch keeps with a batch what kept it from running something.
func (m *memory) noteBatch(e *runner.Event) {
	switch e.Kind {
	case runner.EventSuppressed, runner.EventStale, runner.EventSkipped, runner.EventWaiting, runner.EventSignalled:
	default:
		return
	}
	b := m.batch(e.Batch)
	if b == nil {
		b = m.batchOf(e)
	}
	if b != nil {
		paths, _ := few(e.Changes)
		b.notes = append(b.notes, batchNote{kind: e.Kind, rule: e.Rule, why: e.Why, paths: paths})
	}
}

// batchOf is the last batch that an event without a number can be about.
func (m *memory) batchOf(e *runner.Event) *pastBatch {
	if e.Reason != runner.ReasonChange {
		return nil
	}
	for _, b := range slices.Backward(m.batches) {
		if slices.ContainsFunc(b.triggers, func(t runner.Trigger) bool { return t.Rule == e.Rule }) {
			return b
		}
	}
	return nil
}

// line remembers a line of output.
func (m *memory) line(l line, text []byte) {
	r := m.byID[l.run]
	if r == nil {
		r = &pastRun{started: runner.Event{Run: l.run, Time: l.time, Started: l.time}, plan: m.plan}
		m.byID[l.run] = r
		m.runs = append(m.runs, r)
		m.forgetRuns()
	}
	stream := "stdout"
	if l.err {
		stream = "stderr"
	}
	m.keep(r, control.Line{Time: l.time, Stream: stream, Text: string(text)})
	if len(m.followers) > 0 {
		m.publish(control.Event{Kind: "output", Time: l.time, Rule: r.started.Rule, Run: uint64(l.run), Stream: stream, Text: string(text)})
		return
	}
	m.seq++
}

// keep appends a line to a run's and forgets the first of them.
func (m *memory) keep(r *pastRun, l control.Line) {
	if m.runsMax == 0 {
		return
	}
	r.lines = append(r.lines, l)
	r.bytes += lineCost(l)
	drop := 0
	for r.bytes > outputMax && drop < len(r.lines)-1 {
		r.bytes -= lineCost(r.lines[drop])
		r.missed += int64(len(r.lines[drop].Text)) + 1
		drop++
	}
	if drop > 0 {
		clear(r.lines[:drop])
		r.lines = r.lines[drop:]
	}
}

// lineCost is what a line takes in memory, about.
func lineCost(l control.Line) int { return len(l.Text) + 64 }

func (m *memory) missed(run runner.RunID, bytes int) {
	if r := m.byID[run]; r != nil {
		r.missed += int64(bytes)
	}
	m.publish(control.Event{Kind: "missed", Time: time.Now(), Run: uint64(run), Missed: 1, Text: "output went by too fast to be kept"})
}

// publish numbers an event, remembers it and passes it on to who follows.
func (m *memory) publish(e control.Event) {
	m.seq++
	e.V, e.Seq = 1, m.seq
	if e.Kind != "output" {
		m.events = append(m.events, e)
		if len(m.events) > eventsMax {
			m.events[0] = control.Event{}
			m.events = m.events[1:]
		}
	}
	for f := range m.followers {
		f.offer(e)
	}
}

// follower is one client of the stream of events. Only the history's goroutine
// sends to events, and closes it.
type follower struct {
	events chan control.Event
	missed atomic.Uint64 // not told yet; told by offer, or by who reads events when there is none
}

// lost is the event that tells what the client missed; false: nothing.
func (f *follower) lost(seq uint64) (e control.Event, any bool) {
	n := f.missed.Swap(0)
	return control.Event{V: 1, Seq: seq, Time: time.Now(), Kind: "missed", Missed: n}, n > 0
}

// tail is lost where nothing else waits: the client has caught up, and nothing may
// happen for long.
func (f *follower) tail(seq uint64) (e control.Event, any bool) {
	if len(f.events) > 0 {
		return e, false
	}
	return f.lost(seq)
}

// offer never waits: a client that is slow is told how many events it missed.
func (f *follower) offer(e control.Event) {
	if cap(f.events)-len(f.events) < 2 { // there is room for the event and for what was missed before it, or for neither
		f.missed.Add(1)
		return
	}
	if lost, any := f.lost(e.Seq - 1); any {
		f.events <- lost
	}
	f.events <- e
}

// follow begins to pass events on: those remembered after since, then all. It
// says first what is not remembered any more, and with "listening" that from here
// on nothing is left out silently.
func (m *memory) follow(since uint64) (*follower, []control.Event) {
	f := &follower{events: make(chan control.Event, followMax)}
	m.followers[f] = struct{}{}
	listening := control.Event{V: 1, Seq: m.seq, Time: time.Now(), Kind: "listening"}
	if since == control.Live || since > m.seq {
		return f, []control.Event{listening}
	}
	i, _ := slices.BinarySearchFunc(m.events, since+1, func(e control.Event, n uint64) int { return cmp.Compare(e.Seq, n) })
	past := slices.Clone(m.events[i:])
	if first := m.firstSeq(); first > since+1 {
		lost := control.Event{V: 1, Seq: first - 1, Time: time.Now(), Kind: "missed", Missed: first - since - 1}
		past = append([]control.Event{lost}, past...)
	}
	return f, append(past, listening)
}

// firstSeq is the number of the first event that is remembered.
func (m *memory) firstSeq() uint64 {
	if len(m.events) == 0 || len(m.events) < eventsMax {
		return 1
	}
	return m.events[0].Seq
}

func (m *memory) unfollow(f *follower) {
	if _, there := m.followers[f]; there {
		delete(m.followers, f)
		close(f.events)
	}
}

// end lets all followers go.
func (m *memory) end() {
	for f := range m.followers {
		m.unfollow(f)
	}
}
