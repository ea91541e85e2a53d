package runner

// view is how a rule looks to those who need it. It is made anew by survey.
type view struct {
	unsettled bool   // something is to come: those who need it wait
	bad       bool   // nothing is to come and it did not succeed: those who need it are blocked
	waitFor   string // a rule that it needs, directly or not, is unsettled
	blockedBy string // a rule that it needs is bad
}

// survey looks at all rules in the order of their needs.
func (m *machine) survey() {
	for _, j := range m.order {
		v := view{}
		for _, n := range j.needs {
			if n.view.unsettled && v.waitFor == "" {
				v.waitFor = n.rule.Name
			}
			if n.view.bad && v.blockedBy == "" {
				v.blockedBy = n.rule.Name
			}
		}
		v.bad = v.blockedBy != "" || j.bad()
		j.view = v
		j.view.unsettled = v.waitFor != "" || j.unsettled()
	}
}

// unsettled tells whether the rule itself is triggered, running or stopping.
func (j *job) unsettled() bool {
	switch j.phase {
	case starting, stopping, backoff, handover, abandoning:
		return true
	case up:
		if !j.service() {
			return true
		}
	case down, crashed, retiring:
	}
	return !j.dirt.empty() && j.view.blockedBy == "" && j.phase != crashed && !j.loop.held && !j.halted
}

// bad tells whether the rule itself has not succeeded.
func (j *job) bad() bool {
	return j.broken || j.phase == crashed || j.halted && (j.service() || !j.green)
}

// link connects the rules by their needs and puts them in order: a rule comes
// after those that it needs, else as they stand in list. Circles are the
// caller's to refuse; here they only end the order somewhere.
func (m *machine) link(list []*job) {
	for _, j := range list {
		j.needs, j.needed = nil, nil
	}
	for _, j := range list {
		if j.removed {
			continue
		}
		for _, name := range j.planned().Needs {
			if n := m.jobs[name]; n != nil && !n.removed {
				j.needs = append(j.needs, n)
				n.needed = append(n.needed, j)
			}
		}
	}
	m.order = m.order[:0:0]
	seen := make(map[*job]bool)
	for _, j := range list {
		m.place(j, seen)
	}
}

func (m *machine) place(j *job, seen map[*job]bool) {
	if seen[j] {
		return
	}
	seen[j] = true
	for _, n := range j.needs {
		m.place(n, seen)
	}
	m.order = append(m.order, j)
}

// planned is the rule that the job has, or is about to have.
func (j *job) planned() *Rule {
	if j.successor != nil {
		return j.successor
	}
	return j.rule
}

// above calls f for all rules that j needs, directly or not.
func (j *job) above(f func(*job)) {
	seen := map[*job]bool{j: true}
	var walk func(*job)
	walk = func(j *job) {
		for _, n := range j.needs {
			if !seen[n] {
				seen[n] = true
				f(n)
				walk(n)
			}
		}
	}
	walk(j)
}
