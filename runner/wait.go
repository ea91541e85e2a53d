package runner

import "context"

// waiter is somebody who wants to know what became of the changes made before he
// asked.
type waiter struct {
	ctx   context.Context
	rules []*job
	mark  uint64
	batch uint64 // the last wave that can hold such a change; 0: not known yet
	known bool
	reply func(Reply)
}

// addWait begins a wait for the rules and those that they need; none: all.
func (m *machine) addWait(ctx context.Context, rules []*job, reply func(Reply)) {
	w := &waiter{ctx: ctx, reply: reply, rules: rules}
	if len(rules) == 0 {
		w.rules = m.order
	} else {
		w.rules = withNeeds(rules)
	}
	if w.mark = m.ask(); w.mark == 0 {
		w.batch, w.known = m.batch, true
	}
	m.waits = append(m.waits, w)
}

func withNeeds(rules []*job) (list []*job) {
	seen := make(map[*job]bool)
	add := func(j *job) {
		if !seen[j] {
			seen[j] = true
			list = append(list, j)
		}
	}
	for _, j := range rules {
		j.above(add)
		add(j)
	}
	return list
}

// answerWaits replies to those whose runs are over.
func (m *machine) answerWaits() {
	var left []*waiter
	for _, w := range m.waits {
		switch {
		case w.ctx.Err() != nil:
		case m.quitting:
			w.reply(Reply{Err: ErrClosed})
		case m.through(w):
			w.reply(Reply{Status: m.waited(w)})
		default:
			left = append(left, w)
		}
	}
	m.waits = left
}

func (m *machine) waited(w *waiter) Status {
	s := Status{Waves: m.batch, Slots: max(0, m.slots())}
	for _, j := range w.rules {
		s.Rules = append(s.Rules, m.ruleStatus(j))
	}
	return s
}

// through tells whether everything that the waiter's changes led to is over.
func (m *machine) through(w *waiter) bool {
	if !w.known {
		return false
	}
	for _, j := range w.rules {
		if m.jobs[j.rule.Name] == j && m.concerned(j, w.batch) {
			return false
		}
	}
	return true
}

// concerned tells whether the rule is yet to act, or is acting, on something of
// that wave or an earlier one.
func (m *machine) concerned(j *job, batch uint64) bool {
	for _, d := range []*dirt{&j.dirt, &j.back} {
		if !d.empty() && d.first <= batch && !m.given(j) {
			return true
		}
	}
	for _, r := range j.rounds() {
		if r.dirt.first <= batch && j.busyWith(r) {
			return true
		}
	}
	for _, s := range j.spans {
		if s.open && s.mark != 0 && s.first <= batch {
			return true // what the run changed is not known yet
		}
	}
	return j.successor != nil
}

// given tells whether the rule has given up acting on its dirt by itself.
func (m *machine) given(j *job) bool {
	return j.view.blockedBy != "" && j.view.waitFor == "" || j.phase == crashed || j.loop.held
}

// busyWith tells whether the round's verdict is not there yet.
func (j *job) busyWith(r *round) bool {
	if !r.live() {
		return false
	}
	serving := j.service() && (j.phase == up || j.phase == retiring || j.phase == handover || j.phase == abandoning)
	return !serving || r != j.cur && r != j.old
}
