package runner

import (
	"cmp"
	"slices"
	"time"
)

// machine is what the rules do, without a clock and without processes: it is
// told what happens and when, and asks a Host for what is to be done. Only the
// loop touches it.
type machine struct {
	table    *table
	host     Host
	opt      Options
	now      time.Time
	batch    uint64 // waves so far
	lastRun  RunID
	lastMark uint64
	lastList uint64

	jobs  map[string]*job
	order []*job         // a rule comes after those that it needs
	runs  map[RunID]*job // living ones
	waits []*waiter

	quitting    bool
	killAt      time.Time // when quitting: kill whatever is left
	killed      bool
	frozen      time.Time // since when flinch and all runs are stopped (Ctrl-Z); zero: they are not
	suspending  bool      // the host has not said yet that they are
	onSuspended []func()
	kept        []RuleStatus // what the rules came to before the end
}

func newMachine(opt Options) *machine {
	return &machine{opt: opt, host: opt.Host, table: answers(), jobs: make(map[string]*job), runs: make(map[RunID]*job)}
}

// step lets a rule answer an input, and then the ends of its rounds.
func (m *machine) step(j *job, in input) {
	m.table[j.phase][in](m, j)
	m.reap(j)
}

// gate is what the dirt of a rule waits for.
type gate uint8

const (
	clean   gate = iota // there is none
	open                // nothing
	closed              // flinch ends, or the rule's end
	own                 // the end of its own run
	pause               // resume
	needs               // rules that it needs
	block               // their success
	barrier             // the changes that their runs made
	doubt               // it may feed itself
	loop                // it does feed itself
	slot                // the end of another task
)

// gate says what the dirt of a rule waits for, and where that is a rule, which.
func (m *machine) gate(j *job) (gate, string) {
	d := &j.dirt
	switch {
	case d.empty():
		return clean, ""
	case m.quitting || j.removed || j.successor != nil || !m.frozen.IsZero():
		return closed, ""
	case !j.acts():
		return own, ""
	case d.forced:
		return m.slotFor(j)
	case j.paused && !d.asked:
		return pause, ""
	case j.view.waitFor != "":
		return needs, j.view.waitFor
	case j.view.blockedBy != "":
		return block, j.view.blockedBy
	case len(j.marks) > 0:
		return barrier, ""
	case !d.asked && m.doubtful(j):
		if j.loop.held {
			return loop, ""
		}
		return doubt, ""
	}
	return m.slotFor(j)
}

func (m *machine) slotFor(j *job) (gate, string) {
	if j.phase == up && j.rule.signal() != 0 && !j.dirt.forced || m.slots() > 0 {
		return open, ""
	}
	return slot, ""
}

// acts tells whether the rule, where it is, would do something about its dirt.
func (j *job) acts() bool {
	restarts := j.dirt.forced || j.rule.Busy == Replace
	signals := j.rule.signal() != 0 && !j.dirt.forced
	switch j.phase {
	case down:
		return true
	case starting:
		return j.service() && restarts && !signals
	case up:
		return signals || j.service() && restarts
	case handover:
		return restarts
	}
	return false
}

// slots are how many more tasks, or services on their way up, may run.
func (m *machine) slots() int {
	n := m.opt.Jobs
	for _, j := range m.order {
		switch {
		case !j.service():
			n -= j.cur.running()
		case j.phase == starting || j.phase == handover:
			n--
		}
	}
	return n
}

// advance starts and stops what can be, until nothing more can.
func (m *machine) advance() {
	for m.advanceOne() {
	}
	if m.quitting {
		m.stopInOrder()
	}
	m.announce()
	m.answerWaits()
}

// advanceOne lets the rule that has waited longest act, if any can.
func (m *machine) advanceOne() bool {
	m.survey()
	for _, j := range m.byAge() {
		if m.fill(j) || m.act(j) {
			return true
		}
	}
	return false
}

// act lets the rule act on its dirt if its gate is open.
func (m *machine) act(j *job) bool {
	was := j.phase
	switch g, _ := m.gate(j); g {
	case open:
		m.step(j, due)
	case doubt:
		return m.wonder(j)
	default:
		return false
	}
	return j.phase != was || j.dirt.empty()
}

// byAge are the rules that have something to do, the one that has waited
// longest first; of those of one moment, the one that others need.
func (m *machine) byAge() []*job {
	var list []*job
	for _, j := range m.order {
		if !j.dirt.empty() || j.cur != nil && len(j.cur.todo) > 0 {
			list = append(list, j)
		}
	}
	slices.SortStableFunc(list, func(a, b *job) int { return a.since().Compare(b.since()) })
	return list
}

func (j *job) since() time.Time {
	if j.cur != nil && len(j.cur.todo) > 0 {
		return j.cur.begun
	}
	return j.dirt.since
}

// soil tells a rule to do something.
func (m *machine) soil(j *job, d dirt) {
	if why := m.deaf(j, &d); why != "" {
		m.suppressed(j, &d, why)
		return
	}
	d.since = m.now
	if d.asked {
		j.halted = false
	}
	j.dirt.add(d)
	e := m.event(EventTriggered, j)
	e.Reason, e.Changes, e.Causes, e.Batch = d.reasons.strongest(), d.changes, d.causes, d.last
	e.First, e.Last = d.from, d.to
	m.emit(e)
	if d.forced {
		m.step(j, forced)
		return
	}
	m.step(j, triggered)
}

// deaf says why the rule does not listen; empty: it does.
func (m *machine) deaf(j *job, d *dirt) string {
	switch {
	case m.quitting:
		return "flinch ends"
	case j.removed:
		return "the rule is not in the config any more"
	case j.halted && !d.asked:
		return "the rule is stopped"
	case d.startup && d.reasons.only(ReasonNeed) && !j.rule.AtStart && !m.opt.Once:
		return "the rule does not run at the start"
	}
	return ""
}

func (m *machine) suppressed(j *job, d *dirt, why string) {
	e := m.event(EventSuppressed, j)
	e.Reason, e.Changes, e.Causes, e.Batch, e.Why = d.reasons.strongest(), d.changes, d.causes, d.last, why
	e.First, e.Last = d.from, d.to
	m.emit(e)
}

// goStale drops the trigger of a rule that is busy and skips.
func (m *machine) goStale(j *job) {
	d := j.dirt
	j.dirt = dirt{}
	if j.stale.n == 0 {
		j.stale.since = m.now
	}
	j.stale.n += max(1, len(d.changes))
	e := m.event(EventStale, j)
	e.Reason, e.Changes, e.Batch, e.Why = d.reasons.strongest(), d.changes, d.last, "busy"
	m.emit(e)
}

// begin takes the rule's dirt and starts what it asks for.
func (m *machine) begin(j *job) *round {
	m.weigh(j)
	j.begun = m.now
	d := j.back
	d.add(j.dirt)
	j.dirt, j.back, j.stale = dirt{}, dirt{}, stale{}
	j.waits = ""
	r := &round{dirt: d, reason: d.reasons.strongest(), begun: m.now, fresh: j.cur == nil}
	r.all = d.all || d.reasons.has(ReasonStart) || len(d.changes) == 0
	r.span = m.openSpan(j, r)
	switch {
	case !j.rule.Each || j.service():
		m.launch(j, r, nil)
	case r.all:
		m.lastList++
		r.listing = m.lastList
		m.host.List(j.rule.Name, r.listing)
	default:
		r.todo = present(d.changes)
		m.checkNone(j, r)
	}
	return r
}

// present are the changes of files that are there.
func present(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Gone || c.Type == "dir" })
}

// checkNone says that there is no file to run for.
func (m *machine) checkNone(j *job, r *round) {
	if len(r.todo) > 0 {
		return
	}
	e := m.event(EventSkipped, j)
	e.Reason, e.Changes, e.Why = r.reason, r.dirt.changes, "none of the changed files is there any more"
	if r.all {
		e.Why = "no file matches"
	}
	m.emit(e)
}

// launch starts one run of a round; with each, for file.
func (m *machine) launch(j *job, r *round, file *Change) {
	m.lastRun++
	x := &run{id: m.lastRun, file: file}
	if j.rule.Timeout > 0 && !j.service() {
		x.timeout = m.now.Add(j.rule.Timeout)
	}
	r.runs = append(r.runs, x)
	m.runs[x.id] = j
	j.runs++
	l := Launch{ID: x.id, Rule: j.rule, Reason: r.reason, Changes: r.dirt.changes, Fresh: r.fresh && len(r.runs) == 1}
	if r.all {
		l.Changes = nil
	}
	if file != nil {
		l.Changes = []Change{*file}
	}
	m.host.Launch(l)
}

// fill starts the next run of a rule with each, if there is a slot.
func (m *machine) fill(j *job) bool {
	r := j.cur
	if r == nil || len(r.todo) == 0 || m.slots() <= 0 || !m.frozen.IsZero() {
		return false
	}
	file := r.todo[0]
	r.todo = r.todo[1:]
	m.launch(j, r, &file)
	return true
}

// signal acts on the dirt by a signal to what runs. Where nothing can take it any
// more the dirt stays, for the next start.
func (m *machine) signal(j *job) {
	var to []*run
	for _, x := range j.cur.runs {
		if !x.over && !x.stopping && !x.exited && x.pid != 0 {
			to = append(to, x)
		}
	}
	if len(to) == 0 {
		return
	}
	m.weigh(j)
	d := j.dirt
	j.dirt = dirt{}
	for _, x := range to {
		m.host.Signal(x.id, j.rule.signal())
		e := m.runEvent(EventSignalled, j, j.cur, x)
		e.Reason, e.Changes, e.Causes, e.Batch = d.reasons.strongest(), d.changes, d.causes, d.last
		e.Signal = j.rule.signal()
		m.emit(e)
	}
	if j.service() {
		j.cur.dirt.first, j.cur.dirt.last, j.cur.dirt.startup = d.first, d.last, d.startup
		m.propagate(j, j.cur)
	}
}

// serves makes a service's run the one that counts.
func (m *machine) serves(j *job, r *round) {
	r.ready, r.since = true, m.now
	j.green, j.broken = true, false
	if j.rule.probed() {
		m.emit(m.runEvent(EventReady, j, r, r.telling()))
	}
	m.closeSpan(j, r)
	m.propagate(j, r)
}

// propagate tells those who need the rule that it has succeeded. They wait for
// the barrier: what the run has changed is then part of their start.
func (m *machine) propagate(j *job, r *round) {
	if len(j.needed) == 0 {
		return
	}
	mark := r.span.mark
	if mark == 0 || r.span.closed {
		mark = m.ask()
	}
	var id RunID
	if x := r.telling(); x != nil {
		id = x.id
	}
	for _, d := range slices.Clone(j.needed) {
		m.soil(d, dirt{
			reasons: reasons(0).with(ReasonNeed), causes: []Cause{{j.rule.Name, id}}, parents: []*span{r.span},
			first: r.dirt.first, last: r.dirt.last, startup: r.dirt.startup,
		})
		d.await(mark)
	}
}

// await makes a barrier one that the next start of the rule waits for.
func (j *job) await(mark uint64) {
	if mark == 0 || j.dirt.empty() {
		return
	}
	if j.marks == nil {
		j.marks = make(map[uint64]bool)
	}
	j.marks[mark] = true
}

// ask asks for a barrier; 0: there are none.
func (m *machine) ask() uint64 {
	if m.opt.Mark == nil || m.opt.Once {
		return 0
	}
	m.lastMark++
	m.opt.Mark(m.lastMark)
	return m.lastMark
}

// record keeps the round for the status.
func (m *machine) record(j *job, r *round) {
	x := r.telling()
	if x == nil {
		return
	}
	j.last = &last{
		run: x.id, reason: r.reason, changes: r.dirt.changes, started: r.begun, duration: m.now.Sub(r.begun),
		exit: x.exit, signal: x.signal, err: x.err, outcome: r.outcome(),
	}
}

// wound deals with a round that was told to end and has.
func (m *machine) wound(j *job, r *round) {
	m.closeSpan(j, r)
	if r.ending == byItself {
		m.serviceEnded(j, r)
		return
	}
	m.record(j, r)
	switch r.ending {
	case superseded:
		m.takeBack(j, r)
	case failing:
		j.green, j.broken = false, true
	case halted:
		if !m.quitting {
			j.green, j.broken = false, false
		}
	}
}

// takeBack makes what a superseded round did not finish part of the next one. It
// is kept apart: who fed the rule is judged by what came since.
func (m *machine) takeBack(j *job, r *round) {
	if j.service() && r.ready {
		return
	}
	d := r.dirt.clone()
	d.all, d.forced, d.asked = r.all, false, false
	if j.rule.Each && !r.unlisted {
		d.only(r.unfinished())
	}
	d.add(j.back)
	j.back = d
}

// unfinished are the files of a stopped round with each whose run did not end by
// itself.
func (r *round) unfinished() []Change {
	list := slices.Clone(r.left)
	for _, x := range r.runs {
		if x.stopping && x.file != nil {
			list = append(list, *x.file)
		}
	}
	return list
}

// settle gives a rule at which nothing runs to its successor, or away.
func (m *machine) settle(j *job) {
	switch {
	case j.live():
	case j.removed:
		m.drop(j)
	case j.successor != nil:
		m.succeed(j)
	case j.halted || m.quitting:
		j.dirt, j.back = dirt{}, dirt{}
	}
}

// event begins an event about a rule.
func (m *machine) event(kind EventKind, j *job) Event {
	return Event{Kind: kind, Time: m.now, Rule: j.rule.Name, State: m.state(j)}
}

// runEvent begins an event about a run.
func (m *machine) runEvent(kind EventKind, j *job, r *round, x *run) Event {
	e := m.event(kind, j)
	e.Reason, e.Changes, e.Causes, e.Batch = r.reason, r.dirt.changes, r.dirt.causes, r.dirt.last
	e.First, e.Last = r.dirt.from, r.dirt.to
	if x == nil {
		return e
	}
	e.Run, e.PID, e.Started, e.Exit, e.Signal, e.Err = x.id, x.pid, x.started, x.exit, x.signal, x.err
	if x.file != nil {
		e.File = x.file.Path
	}
	return e
}

func (m *machine) emit(e Event) {
	if m.opt.Events != nil {
		m.opt.Events(e)
	}
}

// state is what the rule is doing, in the contract's words.
func (m *machine) state(j *job) State {
	switch j.phase {
	case starting, handover:
		return Starting
	case stopping, abandoning:
		return Stopping
	case backoff:
		return Backoff
	case crashed:
		return Held
	case up, retiring:
		return j.upState()
	case down:
	}
	switch {
	case j.loop.held:
		return Held
	case j.paused:
		return Paused
	case j.blocked != "":
		return Blocked
	case !j.dirt.empty():
		return Waiting
	case j.broken:
		return Broken
	}
	return Idle
}

// upState is the state of a rule that runs.
func (j *job) upState() State {
	switch {
	case !j.service():
		return Running
	case j.blocked != "":
		return Blocked
	case j.loop.held:
		return Held
	case j.broken:
		return Broken
	case !j.rule.probed():
		return Running
	}
	return Ready
}

// waitText says in words what the dirt waits for.
func waitText(g gate, by string) string {
	return [...]string{
		clean: "", open: "", closed: "", own: "", pause: "paused", needs: "waits for " + by, block: "blocked by " + by, barrier: "",
		doubt: "may feed itself", loop: "feeds itself", slot: "waits for another task to end",
	}[g]
}

// announce says what has changed about what rules wait for.
func (m *machine) announce() {
	m.survey()
	for _, j := range m.order {
		m.announceBlocked(j)
		g, by := m.gate(j)
		text := waitText(g, by)
		if text == j.waits {
			continue
		}
		j.waits = text
		if g == needs || g == slot || g == pause || g == doubt {
			e := m.event(EventWaiting, j)
			e.Why, e.Reason, e.Changes = text, j.dirt.reasons.strongest(), j.dirt.changes
			e.Left = max(0, j.loop.until.Sub(m.now))
			m.emit(e)
		}
	}
}

func (m *machine) announceBlocked(j *job) {
	by := ""
	if j.view.waitFor == "" && (j.phase == down || j.phase == up && j.service()) && !j.halted && !m.quitting {
		by = j.view.blockedBy
	}
	if by == j.blocked {
		return
	}
	kind := EventBlocked
	if by == "" {
		kind = EventUnblocked
	}
	e := m.event(kind, j)
	j.blocked = by
	e.State, e.Why = m.state(j), cmp.Or(by, "")
	m.emit(e)
}
