package runner

import "slices"

// wave takes the triggers of one moment. All rules are told before any starts.
func (m *machine) wave(w Wave) {
	m.batch++
	for _, t := range w.Triggers {
		if j := m.jobs[t.Rule]; j != nil {
			m.take(j, t)
		}
	}
	for _, mark := range w.Marks {
		m.pass(mark)
	}
}

// take tells a rule of its changes, but for those that are none.
func (m *machine) take(j *job, t Trigger) {
	var same, all dirt
	all.putAll(t.Changes)
	if slices.ContainsFunc(t.Changes, func(c Change) bool { return c.Same }) {
		same, all = m.sift(j, all)
	}
	if len(same.changes) > 0 {
		same.reasons = same.reasons.with(ReasonChange)
		same.first, same.last = m.batch, m.batch
		m.suppressed(j, &same, "the bytes are the same")
	}
	if len(all.changes) == 0 && len(t.Changes) > 0 {
		return
	}
	all.reasons = all.reasons.with(ReasonChange)
	all.first, all.last = m.inherited(j, &all), m.batch
	m.soil(j, all)
}

// sift parts the changes that left the bytes as they were, where those do not
// count, from the others.
func (m *machine) sift(j *job, d dirt) (same, all dirt) {
	mine := m.ownSpans(j, d.from, d.to)
	for _, c := range d.changes {
		if c.Same && j.ignoresSame(c, mine) {
			same.put(c)
		} else {
			all.put(c)
		}
	}
	return same, all
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

// ignoresSame tells whether a change that left the bytes as they were is none
// for the rule. mine are the times in which it, or one that it needs, ran.
func (j *job) ignoresSame(c Change, mine []*span) bool {
	switch j.rule.Content {
	case ContentAlways:
		return true
	case ContentNever:
		return false
	case ContentAuto:
	}
	return slices.ContainsFunc(mine, func(s *span) bool { return s.contains(c.Time) })
}

// inherited is the wave that the changes count as: what a run of another rule
// may have changed counts as from the wave that this run is from, so that who
// waits for that one waits for what it led to.
func (m *machine) inherited(j *job, d *dirt) uint64 {
	first := m.batch
	near := m.spansBetween(d.from, d.to, func(s *span) bool { return s.rule != j.rule.Name && s.first < first })
	for _, c := range d.changes {
		for _, s := range near {
			if s.contains(c.Time) {
				first = min(first, s.first)
			}
		}
	}
	return first
}
