package runner

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
