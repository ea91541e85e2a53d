package runner

// event begins an event about a rule.
func (m *machine) event(kind EventKind, j *job) Event {
	return Event{Kind: kind, Time: m.now, Rule: j.rule.Name, State: m.state(j)}
}

// runEvent begins an event about a run.
func (m *machine) runEvent(kind EventKind, j *job, r *round, x *run) Event {
	e := m.event(kind, j)
	e.Reason, e.Changes, e.Causes, e.Batch = r.reason, r.dirt.changes, r.dirt.causes, r.dirt.last
	e.First, e.Last = r.dirt.from, r.dirt.to
	if x == nil {
		return e
	}
	e.Run, e.PID, e.Started, e.Exit, e.Signal, e.Err = x.id, x.pid, x.started, x.exit, x.signal, x.err
	if x.file != nil {
		e.File = x.file.Path
	}
	return e
}

func (m *machine) emit(e Event) {
	if m.opt.Events != nil {
		m.opt.Events(e)
	}
}

// announce says what has changed about what rules wait for.
func (m *machine) announce() {
	m.survey()
	for _, j := range m.order {
		m.announceBlocked(j)
		g, by := m.gate(j)
		text := waitText(g, by)
		if text == j.waits {
			continue
		}
		j.waits = text
		if g == needs || g == slot || g == pause || g == doubt {
			e := m.event(EventWaiting, j)
			e.Why, e.Reason, e.Changes = text, j.dirt.reasons.strongest(), j.dirt.snapshot()
			e.Left = max(0, j.loop.until.Sub(m.now))
			m.emit(e)
		}
	}
}

func (m *machine) announceBlocked(j *job) {
	by := ""
	if j.view.waitFor == "" && (j.phase == down || j.phase == up && j.service()) && !j.halted && !m.quitting {
		by = j.view.blockedBy
	}
	if by == j.blocked {
		return
	}
	kind := EventBlocked
	if by == "" {
		kind = EventUnblocked
	}
	e := m.event(kind, j)
	j.blocked = by
	e.State, e.Why = m.state(j), by
	m.emit(e)
}

// waitText says in words what the dirt waits for.
func waitText(g gate, by string) string {
	return [...]string{
		clean: "", open: "", closed: "", own: "", pause: "paused", needs: "waits for " + by, block: "blocked by " + by, barrier: "",
		doubt: "may feed itself", loop: "feeds itself", slot: "waits for another task to end",
	}[g]
}
