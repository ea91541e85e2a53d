package runner

import "slices"

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
