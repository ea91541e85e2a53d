package runner

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sim drives a machine without goroutines: a clock of its own, a host that
// decides at random what runs do, and a model that checks after every step.
type sim struct {
	t      *testing.T
	rnd    *rand.Rand
	m      *machine
	now    time.Time
	begin  time.Time
	future future
	serial int

	live   map[RunID]*simRun
	owed   map[string]map[string]bool // by rule: saved paths that no run has finished for
	forced map[string]bool            // by rule: a restart was asked for, which does not look at needs
	trail  []string
	kinds  map[EventKind]int
	saves  int
	waits  int // not answered yet
	config []Rule
}

type simRun struct {
	l       Launch
	started bool
	ready   bool
	over    bool
	stopped bool
}

// moment is something that is going to happen.
type moment struct {
	at     time.Time
	serial int
	f      func()
}

type future []moment

func (f future) Len() int { return len(f) }
func (f future) Less(i, j int) bool {
	if c := f[i].at.Compare(f[j].at); c != 0 {
		return c < 0
	}
	return f[i].serial < f[j].serial
}
func (f future) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *future) Push(x any)   { *f = append(*f, x.(moment)) }
func (f *future) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{
		t: t, rnd: newRand(seed), live: make(map[RunID]*simRun), owed: make(map[string]map[string]bool), kinds: make(map[EventKind]int), forced: make(map[string]bool),
	}
	s.now = time.Now()
	s.begin = s.now
	opt := Options{Jobs: 1 + s.rnd.IntN(4), Host: s, StopBudget: 10 * time.Second, Events: s.event}
	opt.Mark = func(id uint64) {
		at := s.now
		s.after(20*ms, func() { s.m.wave(Wave{Marks: []Mark{{ID: id, Time: at}}}) })
	}
	s.m = newMachine(opt)
	s.m.now = s.now
	return s
}

// after lets something happen within the time.
func (s *sim) after(most time.Duration, f func()) {
	s.at(s.now.Add(time.Duration(s.rnd.Int64N(int64(most)+1))), f)
}

func (s *sim) at(t time.Time, f func()) {
	s.serial++
	heap.Push(&s.future, moment{t, s.serial, f})
}

func (s *sim) report(r Report) { s.m.report(r) }

// run lets time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for {
		next, f := end, func() {}
		if len(s.future) > 0 && !s.future[0].at.After(next) {
			next, f = s.future[0].at, s.future[0].f
		}
		timer := s.m.deadline()
		switch {
		case !timer.IsZero() && timer.Before(next):
			next, f = timer, func() {}
		case len(s.future) > 0 && s.future[0].at.Equal(next):
			heap.Pop(&s.future)
		}
		s.step(next, f)
		if !next.Before(end) && (len(s.future) == 0 || s.future[0].at.After(end)) {
			return
		}
	}
}

func (s *sim) step(t time.Time, f func()) {
	s.now, s.m.now = t, t
	f()
	s.m.expire()
	s.m.advance()
	s.check()
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	from := max(0, len(s.trail)-60)
	s.t.Fatalf("at %v: %s\n\t%s", s.now.Sub(s.begin), fmt.Sprintf(format, args...), strings.Join(s.trail[from:], "\n\t"))
}

func (s *sim) logf(format string, args ...any) {
	s.trail = append(s.trail, fmt.Sprintf("%v ", s.now.Sub(s.begin))+fmt.Sprintf(format, args...))
}

// What follows is the Host.

func (s *sim) Reports() <-chan Report { return nil }
func (s *sim) Close() error           { return nil }
func (s *sim) Configure([]*Rule)      {}
func (s *sim) Suspend()               { s.after(100*ms, func() { s.report(Report{Kind: Suspended}) }) }
func (s *sim) Resume()                {}

func (s *sim) List(rule string, token uint64) {
	s.after(5*ms, func() { s.report(Report{Kind: Listed, Rule: rule, Token: token, Files: []string{"one", "two"}}) })
}

func (s *sim) Launch(l Launch) {
	s.logf("launch %d %s %v %v", l.ID, l.Rule.Name, l.Reason, paths(l.Changes))
	s.checkLaunch(l)
	r := &simRun{l: l}
	s.live[l.ID] = r
	s.after(5*ms, func() { s.begun(r) })
}

// begun is the moment of the fork.
func (s *sim) begun(r *simRun) {
	id, service := r.l.ID, r.l.Rule.service()
	switch {
	case r.stopped && s.rnd.IntN(2) == 0:
		s.end(r, Report{Err: errCancelled})
		return
	case s.rnd.IntN(20) == 0:
		s.end(r, Report{Err: errors.New("no such file")})
		return
	case s.rnd.IntN(40) == 0:
		s.end(r, Report{Skipped: true})
		return
	}
	r.started = true
	s.report(Report{Kind: Started, Run: id, PID: 1000 + int(id)})
	life := 2 * time.Second
	if service {
		life = time.Minute
	}
	if s.rnd.IntN(3) > 0 {
		s.after(life/10, func() { s.end(r, s.exit(3)) })
	} else {
		s.after(life, func() { s.end(r, s.exit(3)) })
	}
	if r.l.Rule.probed() {
		s.after(400*ms, func() { s.readiness(r) })
	}
}

func (s *sim) readiness(r *simRun) {
	if r.over {
		return
	}
	if s.rnd.IntN(8) == 0 {
		s.report(Report{Kind: NotReady, Run: r.l.ID, Err: errors.New("not ready")})
		return
	}
	r.ready = true
	s.report(Report{Kind: BecameReady, Run: r.l.ID})
}

// exit is 0 most of the time.
func (s *sim) exit(oneIn int) Report {
	if s.rnd.IntN(oneIn) == 0 {
		return Report{Exit: 1}
	}
	return Report{}
}

func (s *sim) end(r *simRun, rep Report) {
	if r.over {
		return
	}
	r.over = true
	delete(s.live, r.l.ID)
	if r.started {
		s.report(Report{Kind: Exited, Run: r.l.ID, Exit: rep.Exit, Signal: rep.Signal})
	}
	s.logf("over %d %s %d %v", r.l.ID, r.l.Rule.Name, rep.Exit, rep.Err)
	rep.Kind, rep.Run = Over, r.l.ID
	s.report(rep)
}

func (s *sim) Cancel(id RunID) {
	if r := s.live[id]; r != nil {
		r.stopped = true
	}
}

func (s *sim) Signal(id RunID, _ syscall.Signal) {
	r := s.live[id]
	if r == nil || !r.started {
		s.fail("signal to run %d, which is not there", id)
	}
	s.logf("signal %d %s", id, r.l.Rule.Name)
}

func (s *sim) Stop(id RunID, _ syscall.Signal, grace time.Duration) {
	r := s.live[id]
	if r == nil || !r.started {
		s.fail("stop of run %d, which is not there", id)
	}
	s.logf("stop %d %s", id, r.l.Rule.Name)
	r.stopped = true
	most := min(grace, 300*ms)
	if s.rnd.IntN(10) == 0 {
		most = grace + 10*ms
	}
	s.after(most, func() { s.end(r, Report{Exit: 143, Signal: syscall.SIGTERM}) })
}

func (s *sim) Kill(id RunID) {
	if r := s.live[id]; r != nil {
		s.after(ms, func() { s.end(r, Report{Exit: 137, Signal: syscall.SIGKILL}) })
	}
}

// What follows is the model.

// event keeps account of what each rule owes.
func (s *sim) event(e Event) {
	s.kinds[e.Kind]++
	switch e.Kind {
	case EventSuppressed, EventStale:
		s.forgive(e.Rule, e.Changes)
	case EventSignalled, EventReady:
		s.forgive(e.Rule, e.Changes)
	case EventStarted:
		if r := s.m.jobs[e.Rule].rule; r.service() && !r.probed() {
			s.forgive(e.Rule, e.Changes)
		}
	case EventSkipped:
		s.settleRun(e)
	case EventOver:
		if e.Outcome != Superseded {
			s.settleRun(e)
		}
	case EventStopped, EventReplaced, EventRemoved:
		clear(s.owed[e.Rule])
	case EventQuitting:
		clear(s.owed)
	}
}

// settleRun forgives what a finished run was for.
func (s *sim) settleRun(e Event) {
	if e.File != "" {
		delete(s.owed[e.Rule], e.File)
		return
	}
	s.forgive(e.Rule, e.Changes)
}

func (s *sim) forgive(rule string, changes []Change) {
	for _, c := range changes {
		delete(s.owed[rule], c.Path)
	}
}

// checkLaunch holds a start against the invariants.
func (s *sim) checkLaunch(l Launch) {
	j := s.m.jobs[l.Rule.Name]
	most := 0
	if l.Rule.Overlap {
		most = 1
	}
	if l.Rule.Each {
		most = s.m.opt.Jobs - 1
	}
	n, tasks := 0, 0
	for _, r := range s.live {
		if r.l.Rule.Name == l.Rule.Name {
			n++
			if r.stopped && !l.Rule.Overlap && !l.Rule.Each {
				s.fail("%s starts before its stopped run is over", l.Rule.Name)
			}
		}
		if !r.l.Rule.service() {
			tasks++
		}
	}
	if n > most {
		s.fail("%d runs of %s are live at a start", n, l.Rule.Name)
	}
	if !l.Rule.service() && tasks >= s.m.opt.Jobs {
		s.fail("%d tasks are live at the start of another, jobs is %d", tasks, s.m.opt.Jobs)
	}
	wanted := s.forced[l.Rule.Name]
	delete(s.forced, l.Rule.Name)
	if !wanted && !l.Rule.Each {
		j.above(func(n *job) { s.checkNeed(j, n) })
	}
}

// checkNeed: what a rule needs is neither busy nor about to be when it starts.
func (s *sim) checkNeed(j, n *job) {
	for _, r := range s.live {
		if r.l.Rule.Name == n.rule.Name && (!n.service() || n.rule.probed() && !r.ready && !n.rule.Overlap) {
			s.fail("%s starts while %s, which it needs, runs", j.rule.Name, n.rule.Name)
		}
	}
	if !n.dirt.empty() && !n.halted && !n.loop.held && n.phase == down && n.view.blockedBy == "" {
		s.fail("%s starts while %s, which it needs, has something to do", j.rule.Name, n.rule.Name)
	}
}

// check holds the machine against the model.
func (s *sim) check() {
	for _, j := range s.m.order {
		have := make(map[string]bool)
		for _, d := range append([]*dirt{&j.dirt, &j.back}, s.dirts(j)...) {
			for _, c := range d.changes {
				have[c.Path] = true
			}
		}
		for path := range s.owed[j.rule.Name] {
			if !have[path] {
				s.fail("%s has lost %s (%v) %+v; dirt %v back %v", j.rule.Name, path, j.phase, *j.rule, paths(j.dirt.changes), paths(j.back.changes))
			}
		}
		if j.dirt.empty() && !j.back.empty() {
			s.fail("%s has something to go on with and nothing to do", j.rule.Name)
		}
		s.checkPhase(j)
	}
}

func (s *sim) dirts(j *job) (list []*dirt) {
	for _, r := range j.rounds() {
		list = append(list, &r.dirt)
	}
	return list
}

// checkPhase: the rounds are what the phase says.
func (s *sim) checkPhase(j *job) {
	cur, next, old := j.cur != nil, j.next != nil, j.old != nil
	want := map[phase][3]bool{
		down: {}, backoff: {}, crashed: {}, starting: {true, false, false}, up: {true, false, false},
		handover: {true, true, false}, abandoning: {true, true, false}, retiring: {true, false, true},
	}
	if w, ok := want[j.phase]; ok && w != [3]bool{cur, next, old} {
		s.fail("%s is %v with rounds %v", j.rule.Name, j.phase, []bool{cur, next, old})
	}
	if j.phase == stopping && !j.live() {
		s.fail("%s is stopping and nothing lives", j.rule.Name)
	}
	if (j.phase == backoff) != !j.wake.IsZero() {
		s.fail("%s is %v and wakes at %v", j.rule.Name, j.phase, j.wake)
	}
}

// rules are some at random.
func (s *sim) rules() (list []Rule) {
	n := 1 + s.rnd.IntN(6)
	for i := range n {
		r := Rule{Name: string(rune('a' + i)), AtStart: s.rnd.IntN(5) > 0, StopTimeout: time.Duration(1+s.rnd.IntN(2)) * time.Second}
		for k := range i {
			if s.rnd.IntN(3) == 0 {
				r.Needs = append(r.Needs, string(rune('a'+k)))
			}
		}
		r.Busy = Busy(s.rnd.IntN(4))
		r.BusySignal = syscall.SIGHUP
		if s.rnd.IntN(2) == 0 {
			r.Kind = Service
			r.Restart = Restart(s.rnd.IntN(3))
			r.Ready.AnyPort = s.rnd.IntN(2) == 0
			r.Overlap = s.rnd.IntN(3) == 0
			if s.rnd.IntN(2) == 0 {
				r.Busy = Replace
			}
		} else {
			r.Each = s.rnd.IntN(4) == 0
			r.Timeout = time.Duration(s.rnd.IntN(2)) * time.Second
		}
		list = append(list, r)
	}
	return list
}

// save is a wave at random: one path for some of the rules.
func (s *sim) save() {
	s.saves++
	path := fmt.Sprintf("f%d", s.saves)
	c := Change{Path: path, Op: "write", Type: "file", Time: s.now}
	w := Wave{}
	for _, j := range s.m.order {
		if s.rnd.IntN(2) == 0 {
			continue
		}
		w.Triggers = append(w.Triggers, Trigger{Rule: j.rule.Name, Changes: []Change{c}, First: c.Time, Last: c.Time})
		if s.owed[j.rule.Name] == nil {
			s.owed[j.rule.Name] = make(map[string]bool)
		}
		s.owed[j.rule.Name][path] = true
	}
	s.logf("save %s %d", path, len(w.Triggers))
	s.m.wave(w)
}

// act does something at random.
func (s *sim) act() {
	j := s.m.order[s.rnd.IntN(len(s.m.order))]
	if j.removed {
		return
	}
	name := []string{j.rule.Name}
	switch n := s.rnd.IntN(100); {
	case n < 70:
		s.save()
	case n < 78:
		s.do(Request{Verb: DoTrigger, Rules: name})
	case n < 84:
		s.forced[j.rule.Name] = true
		s.do(Request{Verb: DoRestart, Rules: name})
	case n < 88:
		s.do(Request{Verb: DoStop, Rules: name})
	case n < 91:
		s.do(Request{Verb: DoPause, Rules: name})
	case n < 93:
		s.do(Request{Verb: DoResume})
	case n < 94:
		s.reload(j)
	case n < 95:
		s.wait(j)
	case n < 96:
		s.do(Request{Verb: DoSuspend})
		s.after(time.Second, func() { s.do(Request{Verb: DoContinue}) })
	default:
		s.crash()
	}
}

// reload gives one rule another environment, and takes another away or brings it back.
func (s *sim) reload(j *job) {
	var set []Rule
	for i := range s.config {
		r := &s.config[i]
		if r.Name == j.rule.Name {
			s.serial++
			r.Env = []string{fmt.Sprint("X=", s.serial)}
			clear(s.owed[r.Name])
		}
		if r.Name == "a" && len(s.config) > 1 && s.rnd.IntN(2) == 0 {
			clear(s.owed[r.Name])
			continue
		}
		set = append(set, *r)
	}
	s.do(Request{Verb: DoSetRules, Set: set})
}

// wait asks for the verdict on what was saved so far, and looks whether it is that.
func (s *sim) wait(j *job) {
	asked := maps.Clone(s.owed)
	for name := range asked {
		asked[name] = maps.Clone(asked[name])
	}
	s.waits++
	s.logf("wait for %s", j.rule.Name)
	s.request(Request{Verb: DoWait, Rules: []string{j.rule.Name}}, func(rep Reply) {
		s.waits--
		for _, r := range rep.Status.Rules {
			for path := range asked[r.Name] {
				if s.owed[r.Name][path] && r.Verdict != VerdictBlocked && r.Verdict != VerdictHeld && r.Verdict != VerdictBackoff {
					s.fail("%s is said to be %v and has not run for %s", r.Name, r.Verdict, path)
				}
			}
		}
	})
}

func (s *sim) do(req Request) {
	s.logf("do %v %v", req.Verb, req.Rules)
	s.request(req, func(r Reply) {
		if r.Err != nil {
			s.fail("%v: %v", req, r.Err)
		}
	})
}

func (s *sim) request(req Request, reply func(Reply)) {
	if req.Verb != DoResume && req.Verb != DoQuit && len(req.Rules) > 0 && s.m.jobs[req.Rules[0]].removed {
		return
	}
	s.m.do(asked{ctx: s.t.Context(), req: req, reply: reply})
}

// crash kills something from outside.
func (s *sim) crash() {
	ids := slices.Sorted(maps.Keys(s.live))
	if len(ids) == 0 {
		return
	}
	if r := s.live[ids[s.rnd.IntN(len(ids))]]; r.started {
		s.logf("crash %d", r.l.ID)
		s.end(r, Report{Exit: 137, Signal: syscall.SIGKILL})
	}
}

// Thousands of saves, commands, crashes and slow stops at random, against
// the model: no two runs of a rule at once but in a hand-over, no trigger lost,
// nothing started before what it needs, and rest at the end.
func TestMachineAgainstModel(t *testing.T) {
	seeds, acts := 400, 150
	if testing.Short() {
		seeds = 50
	}
	total, kinds := 0, make(map[EventKind]int)
	for seed := range uint64(seeds) {
		s := newSim(t, seed)
		s.config = s.rules()
		s.step(s.now, func() { s.m.setRules(s.config) })
		for range acts {
			s.run(time.Duration(s.rnd.Int64N(int64(400 * ms))))
			s.step(s.now, s.act)
		}
		total += s.saves
		s.step(s.now, func() { s.do(Request{Verb: DoContinue}) })
		s.step(s.now, func() { s.do(Request{Verb: DoResume}) })
		s.run(5 * time.Minute)
		if s.checkRest(seed) && s.waits > 0 {
			s.fail("seed %d: %d waits are not answered", seed, s.waits)
		}
		s.step(s.now, func() { s.do(Request{Verb: DoQuit}) })
		s.run(11 * time.Second)
		if !s.m.done() || len(s.live) > 0 {
			s.fail("seed %d: not done 11 s after the end: %v", seed, s.live)
		}
		for k, n := range s.kinds {
			kinds[k] += n
		}
	}
	t.Logf("%d saves; events %v", total, kinds)
	for k := range eventNames {
		switch k := EventKind(k); k {
		case EventStuck, EventNote, EventLoop:
		default:
			if kinds[k] == 0 {
				t.Errorf("the test never led to %v", k)
			}
		}
	}
}

// checkRest: whoever has something to do has a reason not to.
func (s *sim) checkRest(seed uint64) (rest bool) {
	rest = true
	for _, j := range s.m.order {
		switch g, by := s.m.gate(j); g {
		case clean, block, loop:
		case own:
			rest = false // a service that queues, or signals, and goes on for ever
			if !j.service() && !j.live() {
				s.fail("seed %d: %s waits for itself in %v", seed, j.rule.Name, j.phase)
			}
		case needs:
			rest = false // one that queues may be waited for; one that crashes may be on its way
			n := s.m.jobs[by]
			if !n.live() && n.phase != backoff && n.view.waitFor == "" {
				s.fail("seed %d: %s waits for %s, which does nothing", seed, j.rule.Name, by)
			}
		default:
			s.fail("seed %d: %s is not at rest: gate %d %s, %v", seed, j.rule.Name, g, by, j.phase)
		}
	}
	return rest
}

// A wave of a large checkout for many rules, and a status in the middle of it.
func BenchmarkWave(b *testing.B) {
	for _, size := range []struct{ rules, changes int }{{1, 20000}, {50, 20000}, {100, 1}} {
		b.Run(fmt.Sprintf("%d-rules-%d-changes", size.rules, size.changes), func(b *testing.B) {
			m := newMachine(Options{Jobs: 2, Host: silent{}, Events: func(Event) {}})
			m.now = time.Now()
			var rules []Rule
			w := Wave{}
			for i := range size.rules {
				rules = append(rules, Rule{Name: fmt.Sprint("r", i), AtStart: true})
			}
			changes := make([]Change, size.changes)
			for i := range changes {
				changes[i] = Change{Path: fmt.Sprintf("src/dir%d/file%d.go", i/20, i), Op: "write", Type: "file", Time: m.now.Add(time.Second)}
			}
			m.setRules(rules)
			m.advance()
			for _, r := range rules {
				w.Triggers = append(w.Triggers, Trigger{Rule: r.Name, Changes: changes})
			}
			for b.Loop() {
				m.wave(w)
				m.advance()
				m.status()
				for _, j := range m.order {
					j.dirt = dirt{}
				}
			}
		})
	}
}

// silent is a Host that does nothing.
type silent struct{}

func (silent) Launch(Launch)                             {}
func (silent) Cancel(RunID)                              {}
func (silent) Signal(RunID, syscall.Signal)              {}
func (silent) Stop(RunID, syscall.Signal, time.Duration) {}
func (silent) Kill(RunID)                                {}
func (silent) List(string, uint64)                       {}
func (silent) Configure([]*Rule)                         {}
func (silent) Suspend()                                  {}
func (silent) Resume()                                   {}
func (silent) Reports() <-chan Report                    { return nil }
func (silent) Close() error                              { return nil }
