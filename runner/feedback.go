package runner

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// How a rule that feeds itself is told from a user who saves while it runs. No
// more than a suspicion comes from looking; the proof is to wait: a loop's next
// change comes only after its next run, a user's comes when it likes.
//
// A program writes at the same point of each of its runs, a user saves at any.
// So with long runs only changes that come about as late as those before count:
// whoever saves again and again while long tests run is not made to wait.
//
// That a service ran says next to nothing: it always does, and many a user, or a
// test, saves as soon as it is up. What it writes itself comes soon after its
// start, or at its end; but only very many such changes in a row are suspect.
const (
	strikesToDoubt   = 3
	strikesOfCircle  = 6 // other rules ran: users save while the tests run
	strikesOfService = 100
	strikesOfYoung   = 1000 // of a service that was already up
	strikesAtAnyTime = 200  // of a task, at whatever point of its runs

	firstDoubt    = 500 * time.Millisecond // doubled each time
	doubtsToProof = 5

	// The span of a service is from its start until it is ready, or so long where
	// it has no way to say so; and from the stop to the end.
	serviceStart = 250 * time.Millisecond
	serviceYouth = 5 * time.Second // up to that age a change may be its own

	spansKept = 32

	// What counts as the same point of a run: both that early, or so near.
	earlyInRun = time.Second
	nearEnough = 500 * time.Millisecond
	nearPart   = 4 // or within that part of the time
)

// span is a time in which a rule wrote what it writes.
type span struct {
	rule       string
	start, end time.Time
	open       bool   // end is not known yet
	closed     bool   // end is final
	mark       uint64 // the barrier whose time is the end; 0: none
	first      uint64 // the wave that the run is from
	// ancestors are the rules whose runs may have led to the run that wrote.
	ancestors map[string]bool
}

// contains tells whether a change seen then was made in the span. One of the very
// moment that it began at is what began it.
func (s *span) contains(t time.Time) bool {
	return t.After(s.start) && (s.open || !t.After(s.end))
}

func (s *span) overlaps(from, to time.Time) bool {
	return !to.Before(s.start) && (s.open || !from.After(s.end))
}

// suspicion is what is held against a rule. It is a run of triggers of one kind.
type suspicion struct {
	strikes int           // runs in a row that were fed by the rule's own changes only, at the same point
	all     int           // the same, at any point
	offset  time.Duration // how long after the start of the run that may have made them the last changes came
	waited  int           // doubts in a row in which nothing else changed
	until   time.Time     // end of the doubt; zero: none
	held    bool
}

// origin is what the changes of a dirt say about who made them.
type origin uint8

const (
	neutral origin = iota // says nothing
	foreign               // at least one was made when nothing of the rule's ran
	selfish               // all while the rule, or one that it needs, ran
	circled               // all while rules ran that this one may have led to
	young                 // all when the service had just come up
)

// openSpan begins a span of a round.
func (m *machine) openSpan(j *job, r *round) *span {
	s := &span{rule: j.rule.Name, start: m.now, open: true, first: r.dirt.first, ancestors: m.ancestors(&r.dirt)}
	if j.service() && !j.rule.probed() {
		s.open, s.closed, s.end = false, true, m.now.Add(serviceStart)
	}
	m.keepSpan(j, s)
	return s
}

func (m *machine) keepSpan(j *job, s *span) {
	j.spans = append(j.spans, s)
	if len(j.spans) > spansKept {
		j.spans = slices.Delete(j.spans, 0, 1)
	}
}

// reopenSpan begins another span of the round: it is told to end.
func (m *machine) reopenSpan(j *job, r *round) {
	if !j.service() {
		return
	}
	if s := r.span; !s.closed && s.open {
		return
	}
	r.span = &span{rule: j.rule.Name, start: m.now, open: true, first: r.span.first, ancestors: r.span.ancestors}
	m.keepSpan(j, r.span)
}

// closeSpan ends the round's span with the barrier that is asked for now. The
// rule's own next start waits for it if the run was not cut short, so that
// what it changed last is merged into that start.
func (m *machine) closeSpan(j *job, r *round) {
	s := r.span
	if !s.open || s.mark != 0 {
		return
	}
	s.mark = m.ask()
	if s.mark == 0 {
		s.open, s.closed, s.end = false, true, m.now
		return
	}
	if r.ending == byItself && !j.service() {
		if j.marks == nil {
			j.marks = make(map[uint64]bool)
		}
		j.marks[s.mark] = true
	}
}

// pass takes a barrier that has come back.
func (m *machine) pass(mark Mark) {
	for _, j := range m.order {
		delete(j.marks, mark.ID)
		for _, s := range j.spans {
			if s.mark == mark.ID && s.open {
				s.open, s.closed, s.end = false, true, mark.Time
			}
		}
	}
	for _, w := range m.waits {
		if w.mark == mark.ID {
			w.batch, w.known = m.batch, true
		}
	}
}

// ancestors are the rules that may have led to this dirt by what they wrote or
// by need. A change made when nothing ran leads nowhere but to its maker.
func (m *machine) ancestors(d *dirt) map[string]bool {
	out := make(map[string]bool)
	for _, s := range d.parents {
		out[s.rule] = true
		maps.Copy(out, s.ancestors)
	}
	near := m.spansBetween(d.from, d.to, func(*span) bool { return true })
	if len(d.changes) == 0 || len(near) == 0 {
		return out
	}
	found := make(map[*span]bool)
	for _, c := range d.changes {
		if !mark(near, c.Time, found) {
			return out
		}
	}
	for s := range found {
		out[s.rule] = true
		maps.Copy(out, s.ancestors)
	}
	return out
}

// mark adds the spans that a time is in to found.
func mark(spans []*span, t time.Time, found map[*span]bool) (any bool) {
	for _, s := range spans {
		if s.contains(t) {
			found[s], any = true, true
		}
	}
	return any
}

func (m *machine) spansBetween(from, to time.Time, want func(*span) bool) (list []*span) {
	for _, j := range m.order {
		for _, s := range j.spans {
			if s.overlaps(from, to) && want(s) {
				list = append(list, s)
			}
		}
	}
	return list
}

// ownSpans are those of the rule and of the rules that it needs.
func (m *machine) ownSpans(j *job, from, to time.Time) []*span {
	names := map[string]bool{j.rule.Name: true}
	j.above(func(n *job) { names[n.rule.Name] = true })
	return m.spansBetween(from, to, func(s *span) bool { return names[s.rule] })
}

// origin finds out who may have made the changes of a rule's dirt.
func (m *machine) origin(j *job) (origin, time.Duration) {
	d := &j.dirt
	switch {
	case d.asked || d.forced || d.reasons.has(ReasonStart):
		return foreign, 0
	case len(d.changes) == 0:
		return neutral, 0
	}
	mine := m.ownSpans(j, d.from, d.to)
	circle := m.spansBetween(d.from, d.to, func(s *span) bool { return s.ancestors[j.rule.Name] })
	out, offset := selfish, time.Duration(math.MaxInt64)
	for _, c := range d.changes {
		o, age := j.originOf(c, mine, circle)
		if o == foreign {
			return foreign, 0
		}
		offset = min(offset, age)
		out = max(out, o)
	}
	if d.reasons.has(ReasonNeed) || d.reasons.has(ReasonRestart) {
		return neutral, 0
	}
	return out, offset
}

// originOf is who may have made a change, and how long after its start.
func (j *job) originOf(c Change, mine, circle []*span) (origin, time.Duration) {
	for _, s := range mine {
		if s.contains(c.Time) {
			return selfish, c.Time.Sub(s.start)
		}
	}
	for _, s := range circle {
		if s.contains(c.Time) {
			return circled, c.Time.Sub(s.start)
		}
	}
	if age := c.Time.Sub(j.begun); j.service() && !j.begun.IsZero() && age > 0 && age <= serviceYouth {
		return young, age
	}
	return foreign, 0
}

// doubtful tells whether the next start has to wait or is held.
func (m *machine) doubtful(j *job) bool {
	l := &j.loop
	if l.strikes < strikesToDoubt && l.all < strikesAtAnyTime {
		return false
	}
	o, offset := m.origin(j)
	switch {
	case o == foreign || o == neutral:
		return false
	case !j.service() && l.all >= strikesAtAnyTime:
	case l.strikes < j.enough(o) || !consistent(offset, l.offset):
		return false
	}
	return l.held || l.until.IsZero() || m.now.Before(l.until)
}

// enough is how many runs in a row make the next one doubtful.
func (j *job) enough(o origin) int {
	switch {
	case o == young:
		return strikesOfYoung
	case j.service():
		return strikesOfService
	case o == circled:
		return strikesOfCircle
	}
	return strikesToDoubt
}

// wonder begins the wait of a doubtful rule, or ends all of them: it is proven
// to feed itself. It reports whether there is anything new.
func (m *machine) wonder(j *job) bool {
	l := &j.loop
	switch {
	case !l.until.IsZero():
		return false
	case l.waited >= doubtsToProof:
		m.holdLoop(j)
		return true
	}
	l.until = m.now.Add(firstDoubt << l.waited)
	return false
}

// weigh judges the dirt that a start is about to take.
func (m *machine) weigh(j *job) {
	l := &j.loop
	o, offset := m.origin(j)
	doubted := !l.until.IsZero()
	l.until, l.held = time.Time{}, false
	switch o {
	case neutral:
		return
	case foreign:
		*l = suspicion{}
		return
	case selfish, circled, young:
		if l.strikes > 0 && !consistent(offset, l.offset) {
			*l = suspicion{all: l.all}
		}
		l.offset = offset
		l.strikes++
		l.all++
	}
	if doubted {
		l.waited++
	}
}

// consistent tells whether changes came at about the same point of a run as those
// before.
func consistent(a, b time.Duration) bool {
	return a <= earlyInRun && b <= earlyInRun || (a-b).Abs() <= max(nearEnough, b/nearPart)
}

// holdLoop says that the rule feeds itself, and how to end it.
func (m *machine) holdLoop(j *job) {
	j.loop.held = true
	e := m.event(EventLoop, j)
	e.Changes, e.Batch = j.dirt.snapshot(), j.dirt.last
	e.Rules = m.accomplices(j)
	e.Ignore = ignoreLine(paths(j.dirt.changes))
	e.Why = fmt.Sprintf("%s is run again and again by files that change while it runs", j.rule.Name)
	m.emit(e)
}

// accomplices are the rules that ran when the changes were made, the held one
// first.
func (m *machine) accomplices(j *job) []string {
	found := make(map[*span]bool)
	near := m.spansBetween(j.dirt.from, j.dirt.to, func(s *span) bool { return true })
	for _, c := range j.dirt.changes {
		mark(near, c.Time, found)
	}
	names := map[string]bool{}
	for s := range found {
		if s.rule != j.rule.Name {
			names[s.rule] = true
		}
	}
	return append([]string{j.rule.Name}, slices.Sorted(maps.Keys(names))...)
}

// ignoreLine is what to write into the config to end a loop over the paths.
func ignoreLine(list []string) string {
	const few = 3
	list = slices.Sorted(slices.Values(list))
	if len(list) > few {
		dirs := make(map[string]bool)
		for _, p := range list {
			dirs[path.Dir(p)+"/"] = true
		}
		if len(dirs) <= few && !dirs["./"] {
			list = slices.Sorted(maps.Keys(dirs))
		}
	}
	quoted := make([]string, len(list))
	for i, p := range list {
		quoted[i] = fmt.Sprintf("%q", "/"+escapeIgnore(p))
	}
	return "ignore = [" + strings.Join(quoted, ", ") + "]"
}

// escapeIgnore makes a path a pattern that matches it alone.
func escapeIgnore(p string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(p)
}
