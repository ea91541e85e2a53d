package runner

import "slices"

// begin takes the rule's dirt and starts what it asks for.
func (m *machine) begin(j *job) *round {
	m.weigh(j)
	j.begun = m.now
	d := j.back
	d.add(j.dirt)
	d.index = nil // nothing is added any more
	j.dirt, j.back, j.stale = dirt{}, dirt{}, stale{}
	j.waits = ""
	r := &round{dirt: d, reason: d.reasons.strongest(), begun: m.now, fresh: j.cur == nil}
	r.all = d.all || d.reasons.has(ReasonStart) || len(d.changes) == 0
	r.span = m.openSpan(j, r)
	switch {
	case !j.rule.Each || j.service():
		m.launch(j, r, nil)
	case r.all:
		m.lastList++
		r.listing = m.lastList
		m.host.List(j.rule.Name, r.listing)
	default:
		r.todo = present(d.changes)
		m.checkNone(j, r)
	}
	return r
}

// present are the changes of files that are there.
func present(changes []Change) []Change {
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Gone || c.Type == "dir" })
}

// checkNone says that there is no file to run for.
func (m *machine) checkNone(j *job, r *round) {
	if len(r.todo) > 0 {
		return
	}
	e := m.event(EventSkipped, j)
	e.Reason, e.Changes, e.Why = r.reason, r.dirt.changes, "none of the changed files is there any more"
	if r.all {
		e.Why = "no file matches"
	}
	m.emit(e)
}

// launch starts one run of a round; with each, for file.
func (m *machine) launch(j *job, r *round, file *Change) {
	m.lastRun++
	x := &run{id: m.lastRun, file: file}
	if j.rule.Timeout > 0 && !j.service() {
		x.timeout = m.now.Add(j.rule.Timeout)
	}
	r.runs = append(r.runs, x)
	m.runs[x.id] = j
	j.runs++
	l := Launch{ID: x.id, Rule: j.rule, Reason: r.reason, Changes: r.dirt.changes, Fresh: r.fresh && len(r.runs) == 1}
	if r.all {
		l.Changes = nil
	}
	if file != nil {
		l.Changes = []Change{*file}
	}
	m.emit(m.runEvent(EventLaunching, j, r, x))
	m.host.Launch(l)
}

// fill starts the next run of a rule with each, if there is a slot.
func (m *machine) fill(j *job) bool {
	r := j.cur
	if r == nil || len(r.todo) == 0 || m.slots() <= 0 || !m.frozen.IsZero() {
		return false
	}
	file := r.todo[0]
	r.todo = r.todo[1:]
	m.launch(j, r, &file)
	return true
}

// signal acts on the dirt by a signal to what runs. Where nothing can take it any
// more the dirt stays, for the next start.
func (m *machine) signal(j *job) {
	var to []*run
	for _, x := range j.cur.runs {
		if !x.over && !x.stopping && !x.exited && x.pid != 0 {
			to = append(to, x)
		}
	}
	if len(to) == 0 {
		return
	}
	m.weigh(j)
	d := j.dirt
	j.dirt = dirt{}
	for _, x := range to {
		m.host.Signal(x.id, j.rule.signal())
		e := m.runEvent(EventSignalled, j, j.cur, x)
		e.Reason, e.Changes, e.Causes, e.Batch = d.reasons.strongest(), d.changes, d.causes, d.last
		e.Signal = j.rule.signal()
		m.emit(e)
	}
	if j.service() {
		j.cur.dirt.first, j.cur.dirt.last, j.cur.dirt.startup = d.first, d.last, d.startup
		m.propagate(j, j.cur)
	}
}

// serves makes a service's run the one that counts.
func (m *machine) serves(j *job, r *round) {
	r.ready, r.since = true, m.now
	j.green, j.broken = true, false
	if j.rule.probed() {
		e := m.runEvent(EventReady, j, r, r.telling())
		e.Duration = m.now.Sub(e.Started)
		m.emit(e)
	}
	m.closeSpan(j, r)
	m.propagate(j, r)
}

// propagate tells those who need the rule that it has succeeded. They wait for
// the barrier: what the run has changed is then part of their start.
func (m *machine) propagate(j *job, r *round) {
	if len(j.needed) == 0 {
		return
	}
	mark := r.span.mark
	if mark == 0 || r.span.closed {
		mark = m.ask()
	}
	var id RunID
	if x := r.telling(); x != nil {
		id = x.id
	}
	for _, d := range slices.Clone(j.needed) {
		m.soil(d, dirt{
			reasons: reasons(0).with(ReasonNeed), causes: []Cause{{j.rule.Name, id}}, parents: []*span{r.span},
			first: r.dirt.first, last: r.dirt.last, startup: r.dirt.startup,
		})
		d.await(mark)
	}
}

// await makes a barrier one that the next start of the rule waits for.
func (j *job) await(mark uint64) {
	if mark == 0 || j.dirt.empty() {
		return
	}
	if j.marks == nil {
		j.marks = make(map[uint64]bool)
	}
	j.marks[mark] = true
}

// ask asks for a barrier; 0: there are none.
func (m *machine) ask() uint64 {
	if m.opt.Mark == nil || m.opt.Once {
		return 0
	}
	m.lastMark++
	m.opt.Mark(m.lastMark)
	return m.lastMark
}
