package runner

// report takes what came of something the host was asked for.
func (m *machine) report(rep Report) {
	switch rep.Kind {
	case Listed:
		m.listed(rep)
		return
	case Suspended:
		m.suspended()
		return
	}
	j := m.runs[rep.Run]
	if j == nil {
		return // it was over before
	}
	r, x := j.find(rep.Run)
	switch rep.Kind {
	case Started:
		m.runStarted(j, r, x, rep)
	case BecameReady:
		m.runReady(j, r, gotReady)
	case NotReady:
		if x.err == nil && !x.stopping {
			x.err = rep.Err
		}
		m.runReady(j, r, unready)
	case Exited:
		x.exited, x.exit, x.signal = true, rep.Exit, rep.Signal
		e := m.runEvent(EventExited, j, r, x)
		e.Duration = m.now.Sub(x.started)
		m.emit(e)
	case Over:
		m.runOver(j, r, x, rep)
	case Stuck:
		x.stuck = true
		m.note(EventStuck, j, r, x, rep.Text)
	case Note:
		m.note(EventNote, j, r, x, rep.Text)
	}
}

func (j *job) find(id RunID) (*round, *run) {
	for _, r := range j.rounds() {
		for _, x := range r.runs {
			if x.id == id {
				return r, x
			}
		}
	}
	panic("runner: a run that its rule does not know")
}

func (m *machine) note(kind EventKind, j *job, r *round, x *run, text string) {
	e := m.runEvent(kind, j, r, x)
	e.Text = text
	m.emit(e)
}

// runStarted: the process is there. One that is not wanted any more is told so.
func (m *machine) runStarted(j *job, r *round, x *run, rep Report) {
	x.pid, x.started = rep.PID, m.now
	m.emit(m.runEvent(EventStarted, j, r, x))
	switch {
	case m.killed:
		m.host.Kill(x.id)
	case x.stopping:
		m.host.Stop(x.id, j.rule.stopSignal(), m.grace(j))
	case r == j.newest():
		m.step(j, started)
	}
}

// runReady tells the rule of readiness, if it is about the run that it waits for.
func (m *machine) runReady(j *job, r *round, in input) {
	if r == j.newest() && r.ending == byItself {
		m.step(j, in)
	}
}

func (m *machine) runOver(j *job, r *round, x *run, rep Report) {
	x.over, x.ended, x.skipped = true, m.now, rep.Skipped
	if x.pid != 0 {
		x.exit, x.signal = rep.Exit, rep.Signal
	}
	if x.err == nil {
		x.err = rep.Err
	}
	delete(m.runs, x.id)
	kind := EventOver
	if x.skipped {
		kind = EventSkipped
	}
	e := m.runEvent(kind, j, r, x)
	e.Outcome, e.Why = m.runOutcome(r, x), r.why
	if x.skipped {
		e.Why = "none of the changed files is there any more"
	}
	if x.pid != 0 {
		e.Duration = m.now.Sub(x.started)
	}
	m.emit(e)
	m.reap(j)
}

// runOutcome is the outcome of one run of a round.
func (m *machine) runOutcome(r *round, x *run) Outcome {
	if x.stopping && r.ending != byItself {
		return r.outcome()
	}
	return x.outcome()
}

// reap tells the rule of its rounds that have come to their end, each once.
func (m *machine) reap(j *job) {
	for _, end := range []struct {
		r  *round
		in input
	}{{j.old, oldOver}, {j.next, nextOver}, {j.cur, curOver}} {
		if end.r != nil && !end.r.live() && !end.r.told {
			end.r.told = true
			m.step(j, end.in)
			return // which looks again
		}
	}
}

// listed takes all files of a rule with each, which has waited for them.
func (m *machine) listed(rep Report) {
	j := m.jobs[rep.Rule]
	if j == nil || j.cur == nil || j.cur.listing != rep.Token {
		return
	}
	r := j.cur
	r.listing = 0
	have := make(map[string]bool)
	for _, c := range present(r.dirt.changes) {
		have[c.Path] = true
		r.todo = append(r.todo, c)
	}
	for _, file := range rep.Files {
		if !have[file] {
			r.todo = append(r.todo, Change{Path: file, Op: "write", Type: "file", Time: m.now})
		}
	}
	m.checkNone(j, r)
	m.reap(j)
}
