package runner

import (
	"slices"
	"time"
)

// slowStop is the time after which a stop is worth a word.
const slowStop = time.Second

// stop tells a round to end. What it has not begun is not begun.
func (m *machine) stop(j *job, r *round, how ending, why string) {
	if r.ending == byItself || how == halted {
		r.ending = how
	}
	r.left = append(r.left, r.todo...)
	r.unlisted = r.unlisted || r.listing != 0
	r.todo, r.listing = nil, 0
	m.reopenSpan(j, r)
	for _, x := range r.runs {
		m.stopRun(j, r, x, why)
	}
}

func (m *machine) stopRun(j *job, r *round, x *run, why string) {
	if x.over || x.stopping {
		return
	}
	x.stopping, x.timeout = true, time.Time{}
	x.kill = m.now.Add(m.grace(j))
	x.slow = m.now.Add(slowStop)
	e := m.runEvent(EventStopping, j, r, x)
	e.Why, e.Left = why, m.grace(j)
	m.emit(e)
	if x.pid == 0 {
		m.host.Cancel(x.id)
		return
	}
	m.host.Stop(x.id, j.rule.stopSignal(), m.grace(j))
}

// grace is the time between the stop signal and SIGKILL.
func (m *machine) grace(j *job) time.Duration {
	grace := j.rule.stopTimeout()
	if m.quitting {
		grace = min(grace, max(0, m.killAt.Sub(m.now)))
	}
	return grace
}

// sayingSlow says that a stop takes long. After the kill there is nothing to wait for any more.
func (m *machine) sayingSlow(j *job, r *round, x *run) {
	x.slow = time.Time{}
	if !m.now.Before(x.kill) {
		return
	}
	e := m.runEvent(EventSlowStop, j, r, x)
	e.Left = x.kill.Sub(m.now)
	m.emit(e)
}

// quit ends everything. Called again, it kills.
func (m *machine) quit() {
	if m.quitting {
		m.kill()
		return
	}
	m.keepResult()
	m.quitting = true
	m.killAt = m.now.Add(m.opt.StopBudget)
	m.thaw()
	m.emit(Event{Kind: EventQuitting, Time: m.now})
	for _, j := range m.order {
		j.dirt, j.back = dirt{}, dirt{}
	}
}

// end is the polite end: said again, it changes nothing.
func (m *machine) end() {
	if !m.quitting {
		m.quit()
	}
}

// stopInOrder stops each rule that no living one needs any more.
func (m *machine) stopInOrder() {
	below := make(map[*job]bool) // something that needs it is alive
	for _, j := range slices.Backward(slices.Clone(m.order)) {
		alive := j.live() && !j.allStuck()
		if !below[j] && !j.resting() {
			m.step(j, halt)
			alive = j.live() && !j.allStuck()
		}
		if alive || below[j] {
			for _, n := range j.needs {
				below[n] = true
			}
		}
	}
}

// resting tells whether the rule has been stopped for good.
func (j *job) resting() bool {
	if j.phase == down {
		return true
	}
	for _, r := range j.rounds() {
		if r.live() && r.ending != halted {
			return false
		}
	}
	return j.phase == stopping
}

// rounds are those that there are.
func (j *job) rounds() []*round {
	return slices.DeleteFunc([]*round{j.cur, j.next, j.old}, func(r *round) bool { return r == nil })
}

// allStuck tells whether whatever lives of the rule cannot be killed.
func (j *job) allStuck() bool {
	for _, r := range j.rounds() {
		for _, x := range r.runs {
			if !x.over && !x.stuck {
				return false
			}
		}
	}
	return true
}

// kill ends everything at once.
func (m *machine) kill() {
	m.killed = true
	m.killAt = time.Time{}
	for _, j := range m.order {
		for _, r := range j.rounds() {
			m.stopNothingMore(r)
			for _, x := range r.runs {
				m.killRun(x)
			}
		}
	}
}

func (m *machine) stopNothingMore(r *round) {
	r.ending = halted
	r.todo, r.listing = nil, 0
}

func (m *machine) killRun(x *run) {
	if x.over {
		return
	}
	x.stopping, x.slow, x.timeout = true, time.Time{}, time.Time{}
	x.kill = m.now
	if x.pid == 0 {
		m.host.Cancel(x.id)
		return
	}
	m.host.Kill(x.id)
}

// done tells whether the end has come: all is stopped, but what cannot be.
func (m *machine) done() bool {
	if !m.quitting {
		return false
	}
	for _, j := range m.order {
		if j.live() && !j.allStuck() {
			return false
		}
	}
	return true
}

// suspend stops all runs and all clocks, and replies when they are stopped.
func (m *machine) suspend(reply func()) {
	if m.frozen.IsZero() {
		m.frozen = m.now
		m.host.Suspend()
		m.suspending = true
	}
	if !m.suspending {
		reply()
		return
	}
	m.onSuspended = append(m.onSuspended, reply)
}

// suspended: all runs are stopped.
func (m *machine) suspended() {
	m.suspending = false
	for _, reply := range m.onSuspended {
		reply()
	}
	m.onSuspended = nil
}

// thaw lets all runs and all clocks go on.
func (m *machine) thaw() {
	if m.frozen.IsZero() {
		return
	}
	m.suspended()
	d := m.now.Sub(m.frozen)
	m.frozen = time.Time{}
	for _, t := range m.timers() {
		*t = t.Add(d)
	}
	m.host.Resume()
}
