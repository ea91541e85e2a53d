package runner

import (
	"fmt"
	"time"
)

// Timers are facts about the thing that they are for, not things of their own:
// one that has become pointless is gone with its round or run, so that none can
// strike the wrong one.

// timers are all that are set.
func (m *machine) timers() (list []*time.Time) {
	add := func(t *time.Time) {
		if !t.IsZero() {
			list = append(list, t)
		}
	}
	add(&m.killAt)
	for _, j := range m.order {
		add(&j.wake)
		add(&j.loop.until)
		for _, r := range j.rounds() {
			for _, x := range r.runs {
				if !x.over {
					add(&x.slow)
					add(&x.timeout)
				}
			}
		}
	}
	return list
}

// deadline is when the next timer is due; zero: none is set.
func (m *machine) deadline() (next time.Time) {
	if !m.frozen.IsZero() {
		return time.Time{}
	}
	for _, t := range m.timers() {
		// A doubt that is over waits for something else: its timer has done its work.
		if t.After(m.now) && (next.IsZero() || t.Before(next)) {
			next = *t
		}
	}
	return next
}

// expire does what is due.
func (m *machine) expire() {
	if !m.frozen.IsZero() {
		return
	}
	if m.due(m.killAt) && !m.killed {
		m.kill()
	}
	for _, j := range m.order {
		m.expireJob(j)
	}
}

func (m *machine) expireJob(j *job) {
	if m.due(j.wake) {
		j.wake = time.Time{}
		m.step(j, retry)
	}
	for _, r := range j.rounds() {
		for _, x := range r.runs {
			m.expireRun(j, r, x)
		}
	}
}

func (m *machine) expireRun(j *job, r *round, x *run) {
	if x.over {
		return
	}
	if m.due(x.timeout) {
		x.err = fmt.Errorf("took longer than %v", j.rule.Timeout)
		if j.rule.Each {
			m.stopRun(j, r, x, x.err.Error())
		} else {
			m.step(j, expired)
		}
	}
	if m.due(x.slow) {
		m.sayingSlow(j, r, x)
	}
}

func (m *machine) due(t time.Time) bool { return !t.IsZero() && !m.now.Before(t) }
