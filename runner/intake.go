package runner

import "slices"

// begin0 is the first turn: the rules come to life.
func (m *machine) begin0(rules []Rule) {
	m.setRules(rules)
	m.advance()
}

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
	mine := m.ownSpans(j, t.First, t.Last)
	for _, c := range t.Changes {
		if c.Same && j.ignoresSame(c, mine) {
			same.put(c)
			continue
		}
		all.put(c)
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

// ignoresSame tells whether a change that left the bytes as they were is none
// for the rule. mine are the times in which it, or one that it needs, ran.
func (j *job) ignoresSame(c Change, mine []*span) bool {
	switch j.rule.Content {
	case ContentAlways:
		return true
	case ContentNever:
		return false
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

// end is the polite end: said again, it changes nothing.
func (m *machine) end() {
	if !m.quitting {
		m.quit()
	}
}

// next tells whether there is another turn to come.
func (m *machine) next() bool {
	if m.opt.Once && !m.quitting && m.settled() {
		m.keepResult()
		m.quit()
		m.advance()
	}
	return !m.done()
}

// settled tells whether each rule has had its run.
func (m *machine) settled() bool {
	for _, j := range m.order {
		if m.concerned(j, m.batch) || len(j.marks) > 0 {
			return false
		}
	}
	return true
}

// keepResult notes what the rules came to.
func (m *machine) keepResult() {
	if m.kept == nil {
		m.kept = m.status().Rules
	}
}

func (m *machine) result() Result { return Result{Rules: m.kept} }
