package runner

import "slices"

// setRules makes the rules those of a new config. What does not differ is left
// as it is; what does is stopped and started.
func (m *machine) setRules(rules []Rule) {
	list := make([]*job, 0, len(rules)+len(m.order))
	var added, changed []*job
	for i := range rules {
		r := rules[i].clone()
		j := m.jobs[r.Name]
		switch {
		case j == nil:
			j = &job{rule: r}
			m.jobs[r.Name] = j
			added = append(added, j)
		case j.removed || !j.planned().same(r):
			j.successor, j.removed = r, false
			changed = append(changed, j)
		}
		list = append(list, j)
	}
	gone := slices.DeleteFunc(slices.Clone(m.order), func(j *job) bool { return slices.Contains(list, j) })
	m.link(append(list, gone...))
	m.configure(rules)
	m.forgiveLoops()
	for _, j := range gone {
		j.removed = true
	}
	m.link(append(list, gone...))
	for _, j := range append(gone, changed...) {
		j.dirt, j.back, j.marks = dirt{}, dirt{}, nil
		m.step(j, halt)
	}
	for _, j := range added {
		m.emit(m.event(EventAdded, j))
		m.startUp(j)
	}
}

func (m *machine) configure(rules []Rule) {
	list := make([]*Rule, len(rules))
	for i := range rules {
		list[i] = m.jobs[rules[i].Name].planned()
	}
	m.host.Configure(list)
}

// forgiveLoops lets rules that fed themselves try the new config.
func (m *machine) forgiveLoops() {
	for _, j := range m.order {
		j.loop = suspicion{}
	}
}

// startUp is what a rule's life begins with.
func (m *machine) startUp(j *job) {
	if j.rule.AtStart || m.opt.Once {
		m.soil(j, dirt{reasons: reasons(0).with(ReasonStart), first: m.batch, last: m.batch, startup: true})
	}
}

// drop forgets a rule that is not in the config any more.
func (m *machine) drop(j *job) {
	if !slices.Contains(m.order, j) {
		return
	}
	e := m.event(EventRemoved, j)
	delete(m.jobs, j.rule.Name)
	m.order = slices.DeleteFunc(slices.Clone(m.order), func(o *job) bool { return o == j })
	m.emit(e)
}

// succeed gives the rule's place to the one of the new config, with what came in
// since it is there.
func (m *machine) succeed(j *job) {
	wasUp := j.last != nil && j.service() && !j.halted
	runs, paused := j.runs, j.paused
	needs, needed := j.needs, j.needed
	*j = job{rule: j.successor, runs: runs, paused: paused, needs: needs, needed: needed, spans: j.spans, last: j.last, dirt: j.dirt}
	m.emit(m.event(EventReplaced, j))
	if m.quitting {
		return
	}
	if wasUp && !j.rule.AtStart {
		m.soil(j, dirt{reasons: reasons(0).with(ReasonStart), first: m.batch, last: m.batch, asked: true})
		return
	}
	m.startUp(j)
}
