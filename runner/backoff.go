package runner

import (
	"fmt"
	"slices"
	"time"
)

// A service that ended though nobody asked is started again: later each time,
// and not for ever.
const (
	firstBackoff   = 250 * time.Millisecond
	longestBackoff = 8 * time.Second
	steadyAfter    = 10 * time.Second // of being ready: the next end counts as the first
	crashesToHold  = 5
	crashWindow    = 30 * time.Second
)

// serviceEnded deals with the end of a service that nobody asked for.
func (m *machine) serviceEnded(j *job, r *round) {
	m.closeSpan(j, r)
	m.record(j, r)
	j.phase = down
	out := r.outcome()
	if out == Skipped {
		return
	}
	steady := r.ready && m.now.Sub(r.since) >= steadyAfter
	j.green, j.broken = out == Succeeded && r.ready, out == Failed || !r.ready
	if steady {
		j.fails, j.crashes = 0, nil
	}
	if !j.restarts(out) || m.opt.Once {
		return
	}
	if !j.dirt.empty() {
		return // the next start is on its way
	}
	m.countCrash(j, r)
	if len(j.crashes) >= crashesToHold {
		m.holdCrashed(j)
		return
	}
	m.backOff(j)
}

// restarts tells whether the service is to be started again after such an end.
func (j *job) restarts(out Outcome) bool {
	switch j.rule.Restart {
	case Never:
		return false
	case OnFailure:
		return out == Failed
	case Always:
	}
	return true
}

// countCrash remembers the ends that count for holding the service. One without
// a readiness is never known to have been ready.
func (m *machine) countCrash(j *job, r *round) {
	j.fails++
	if r.ready && j.rule.probed() {
		j.crashes = nil
		return
	}
	j.crashes = slices.DeleteFunc(append(j.crashes, m.now), func(t time.Time) bool { return m.now.Sub(t) > crashWindow })
}

func (m *machine) backOff(j *job) {
	j.phase = backoff
	d := longestBackoff
	if shift := j.fails - 1; shift < 5 {
		d = min(d, firstBackoff<<shift)
	}
	j.wake = m.now.Add(d)
	e := m.event(EventBackoff, j)
	e.Left = d
	m.emit(e)
}

func (m *machine) holdCrashed(j *job) {
	j.phase = crashed
	e := m.event(EventHeld, j)
	e.Why = fmt.Sprintf("ended %d times within %v", crashesToHold, crashWindow)
	m.emit(e)
}

// revive answers a trigger of a service that was to be started later, or not at
// all: it is started now.
func revive(_ *machine, j *job) {
	j.phase = down
	j.wake = time.Time{}
	j.fails, j.crashes = 0, nil
}

// again answers the end of the back-off.
func again(m *machine, j *job) {
	j.phase = down
	m.soil(j, dirt{reasons: reasons(0).with(ReasonRestart), first: m.batch, last: m.batch})
}
