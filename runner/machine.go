package runner

import (
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
