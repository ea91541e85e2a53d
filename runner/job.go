package runner

import "time"

// job is a rule and all that is known of it. Only the loop touches it.
type job struct {
	rule  *Rule
	phase phase

	cur  *round // the one that runs, or serves
	next *round // of a handover: the one that is starting
	old  *round // of a handover: the one that is told to end
	dirt dirt
	back dirt // of superseded rounds; empty if dirt is

	needs, needed []*job // direct ones
	view          view   // see survey

	green   bool // the last round that counted succeeded; superseded ones do not count
	broken  bool // it failed
	halted  bool // by `stop RULE`: only trigger and restart leave it
	paused  bool
	stale   stale
	blocked string // the rule that blocks it, as last announced
	waits   string // what it waits for, as last announced

	successor *Rule // takes over when nothing runs any more
	removed   bool  // goes when nothing runs any more

	marks map[uint64]bool // barriers to come back before the next start
	spans []*span
	loop  suspicion
	begun time.Time // the last round

	fails   int // ends in a row, for the back-off
	crashes []time.Time
	wake    time.Time // end of the back-off

	runs int
	last *last
}

// stale tells of triggers that were dropped because the rule was busy.
type stale struct {
	n     int
	since time.Time
}

func (j *job) live() bool { return j.cur.live() || j.next.live() || j.old.live() }

func (j *job) service() bool { return j.rule.service() }

// newest is the round that inputs of a start are about.
func (j *job) newest() *round {
	if j.phase == handover || j.phase == abandoning {
		return j.next
	}
	return j.cur
}

func stay(*machine, *job) {}

// rest answers halt where nothing runs.
func rest(m *machine, j *job) {
	j.phase = down
	j.wake = time.Time{}
	if j.halted {
		j.broken = false
	}
	m.settle(j)
}

// start is the one place where a rule with no live run begins one.
func start(m *machine, j *job) {
	j.phase = starting
	j.cur = m.begin(j)
}

// interrupt answers a trigger of a rule that runs, by its policy. Queue, and a
// service's restart, wait for the gate; so does a signal.
func interrupt(m *machine, j *job) {
	switch {
	case j.rule.Busy == Skip && !j.dirt.forced:
		m.goStale(j)
	case j.rule.Busy == Replace && !j.service():
		m.stop(j, j.cur, superseded, "superseded")
		j.phase = stopping
	}
}

// replace answers a restart by command. A service's waits for the gate, so that
// it can hand over.
func replace(m *machine, j *job) {
	if !j.service() {
		m.stop(j, j.cur, superseded, "restart")
		j.phase = stopping
	}
}

// The answers to due: acts has told that there is something to do.

// startOver starts a service anew that is not ready yet.
func startOver(m *machine, j *job) {
	m.stop(j, j.cur, superseded, "superseded")
	j.phase = stopping
}

// renew acts on the dirt of a rule that is up.
func renew(m *machine, j *job) {
	switch {
	case j.rule.signal() != 0 && !j.dirt.forced:
		m.signal(j)
	case j.rule.Overlap:
		j.phase = handover
		j.next = m.begin(j)
	default:
		m.stop(j, j.cur, superseded, "restart")
		j.phase = stopping
	}
}

// wentUp answers that the process is there.
func wentUp(m *machine, j *job) {
	if !j.service() {
		j.phase = up
		return
	}
	if !j.rule.probed() {
		becameReady(m, j)
	}
}

func becameReady(m *machine, j *job) {
	j.phase = up
	m.serves(j, j.cur)
}

func nextUp(m *machine, j *job) {
	if !j.rule.probed() {
		promote(m, j)
	}
}

// promote makes the new run the one that serves and ends the old one.
func promote(m *machine, j *job) {
	j.old, j.cur, j.next = j.cur, j.next, nil
	j.phase = retiring
	m.serves(j, j.cur)
	m.stop(j, j.old, handedOver, "the new one serves")
}

func giveUp(m *machine, j *job) {
	m.stop(j, j.cur, failing, "not ready")
	j.phase = stopping
}

func giveUpNext(m *machine, j *job) {
	m.stop(j, j.next, failing, "not ready")
	j.phase = abandoning
}

// abandon stops the new run of a handover for a newer one. The old one serves on.
func abandon(m *machine, j *job) {
	m.stop(j, j.next, superseded, "superseded")
	j.phase = abandoning
}

func timeOut(m *machine, j *job) {
	m.stop(j, j.cur, failing, "out of time")
	j.phase = stopping
}

// stopAll ends whatever runs, for good.
func stopAll(m *machine, j *job) {
	j.phase = stopping
	for _, r := range []*round{j.cur, j.next, j.old} {
		if r.live() {
			m.stop(j, r, halted, "stop")
		}
	}
}

// ended answers the end of a round that nobody asked for.
func ended(m *machine, j *job) {
	r := j.cur
	j.cur = nil
	j.phase = down
	if j.service() {
		m.serviceEnded(j, r)
		return
	}
	m.closeSpan(j, r)
	m.record(j, r)
	switch r.outcome() {
	case Succeeded:
		j.green, j.broken = true, false
		m.propagate(j, r)
	case Failed:
		j.green, j.broken = false, true
	}
}

// stopped answers the end of what was told to end. The next start waits until
// all of it has.
func stopped(m *machine, j *job) {
	if j.live() {
		return
	}
	j.phase = down
	for _, r := range []*round{j.old, j.next, j.cur} {
		if r != nil {
			m.wound(j, r)
		}
	}
	j.cur, j.next, j.old = nil, nil, nil
	m.settle(j)
}

// retired answers the end of a handover.
func retired(m *machine, j *job) {
	m.wound(j, j.old)
	j.old = nil
	j.phase = up
}

// lostOld: the one that serves ended while the new one is starting.
func lostOld(m *machine, j *job) {
	m.record(j, j.cur)
	j.cur, j.next = j.next, nil
	j.phase = starting
}

// lostNext: the new one ended before it was ready. The old one serves on.
func lostNext(m *machine, j *job) {
	r := j.next
	j.next = nil
	j.phase = up
	m.closeSpan(j, r)
	m.record(j, r)
	if r.outcome() != Skipped {
		j.green, j.broken = false, true
	}
}

// abandoned: the new one is gone, the old one serves on.
func abandoned(m *machine, j *job) {
	r := j.next
	j.next = nil
	j.phase = up
	m.wound(j, r)
}

// lostNew: the new one ended while the old one is still ending.
func lostNew(_ *machine, j *job) { j.phase = stopping }

// lostServing: the old one ended while the new one is still ending.
func lostServing(_ *machine, j *job) { j.phase = stopping }
