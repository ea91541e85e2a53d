package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// Verb is what a [Request] asks for.
type Verb uint8

const (
	// DoStatus: the status of Rules; none: of all.
	DoStatus Verb = iota
	// DoTrigger: run Rules as if Changes had come; all files of a rule where there are none. Also those that are paused,
	// held or stopped.
	DoTrigger
	// DoRestart: stop what runs of Rules, whatever their busy policy, and start them at once.
	DoRestart
	// DoStop: stop Rules until a trigger or restart. None: stop everything, and end.
	DoStop
	// DoPause: Rules (none: all) keep their changes until DoResume. What runs goes on.
	DoPause
	DoResume
	// DoSetRules: a new config; Set are all its rules, in file order.
	DoSetRules
	// DoWait: reply when everything that changes before the request lead to is over: their runs, those of the rules that
	// Rules need included, and services are ready again. Reply.Status has the verdicts of Rules and of what they need.
	DoWait
	// DoQuit: stop everything, and end. Again: DoKill.
	DoQuit
	// DoKill: end everything at once.
	DoKill
	// DoSuspend: stop the processes of all runs, as Ctrl-Z does, and all clocks; the reply comes when they are stopped.
	DoSuspend
	// DoContinue: undo DoSuspend.
	DoContinue
	// DoSignal: send Signal to what runs of Rules; none: of the rule that has the terminal.
	DoSignal
)

// Request asks a [Runner] for something.
type Request struct {
	Verb    Verb
	Rules   []string
	Changes []Change       // of DoTrigger
	Set     []Rule         // of DoSetRules
	Signal  syscall.Signal // of DoSignal
}

// Reply is the answer to a [Request].
type Reply struct {
	Status Status // of DoStatus and DoWait; else after the request, of all rules
	Err    error
}

// ErrClosed is returned for a request to a runner that ends or has ended.
var ErrClosed = errors.New("flinch is ending")

// UnknownRuleError tells of a name that no rule has.
type UnknownRuleError struct {
	Name  string
	Rules []string // that there are
}

func (e *UnknownRuleError) Error() string { return fmt.Sprintf("no rule is called %q", e.Name) }

// Hint names the rules that there are.
func (e *UnknownRuleError) Hint() string { return "the rules are " + strings.Join(e.Rules, ", ") }

// asked is a request on its way to the loop.
type asked struct {
	ctx   context.Context
	req   Request
	reply func(Reply) // never blocks; called once
}

// do carries a request out.
func (m *machine) do(a asked) {
	rules, err := m.named(a.req.Rules)
	if err != nil {
		a.reply(Reply{Err: err})
		return
	}
	switch a.req.Verb {
	case DoWait:
		m.addWait(a.ctx, rules, a.reply)
		return
	case DoSuspend:
		m.suspend(func() { a.reply(Reply{}) })
		return
	case DoStatus:
		a.reply(Reply{Status: m.statusOf(rules)})
		return
	}
	m.command(a.req, rules)
	a.reply(Reply{Status: m.status()})
}

// command does what changes something and is answered at once.
func (m *machine) command(req Request, rules []*job) {
	switch req.Verb {
	case DoTrigger:
		m.trigger(rules, req.Changes)
	case DoRestart:
		m.restart(rules)
	case DoStop:
		m.halt(rules)
	case DoPause, DoResume:
		m.pause(m.orAll(rules), req.Verb == DoPause)
	case DoSetRules:
		m.setRules(req.Set)
	case DoQuit:
		m.quit()
	case DoKill:
		m.quitNow()
	case DoContinue:
		m.thaw()
	case DoSignal:
		m.sendSignal(rules, req.Signal)
	case DoStatus, DoWait, DoSuspend:
	}
}

func (m *machine) named(names []string) (list []*job, err error) {
	for _, name := range names {
		j := m.jobs[name]
		if j == nil || j.removed {
			return nil, &UnknownRuleError{Name: name, Rules: m.names()}
		}
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list, nil
}

func (m *machine) names() (names []string) {
	for _, j := range m.order {
		names = append(names, j.rule.Name)
	}
	return names
}

func (m *machine) orAll(rules []*job) []*job {
	if len(rules) == 0 {
		return m.order
	}
	return rules
}

func (m *machine) statusOf(rules []*job) Status {
	s := m.status()
	if len(rules) == 0 {
		return s
	}
	s.Rules = nil
	for _, j := range rules {
		s.Rules = append(s.Rules, m.ruleStatus(j))
	}
	return s
}

func (m *machine) trigger(rules []*job, changes []Change) {
	for _, j := range rules {
		d := dirt{reasons: reasons(0).with(ReasonTrigger), first: m.batch, last: m.batch, asked: true}
		for _, c := range changes {
			if c.Time.IsZero() {
				c.Time = m.now
			}
			d.put(c)
		}
		m.soil(j, d)
	}
}

func (m *machine) restart(rules []*job) {
	for _, j := range rules {
		m.soil(j, dirt{reasons: reasons(0).with(ReasonRestart), first: m.batch, last: m.batch, asked: true, forced: true})
	}
}

// halt stops rules by command; none: everything.
func (m *machine) halt(rules []*job) {
	if len(rules) == 0 {
		m.quit()
		return
	}
	for _, j := range rules {
		j.halted = true
		j.dirt, j.back, j.marks = dirt{}, dirt{}, nil
		m.step(j, halt)
		m.emit(m.event(EventStopped, j))
	}
}

func (m *machine) pause(rules []*job, on bool) {
	kind := EventResumed
	if on {
		kind = EventPaused
	}
	for _, j := range rules {
		if j.paused == on {
			continue
		}
		j.paused = on
		m.emit(m.event(kind, j))
	}
}

func (m *machine) sendSignal(rules []*job, sig syscall.Signal) {
	for _, j := range m.order {
		if len(rules) == 0 && j.rule.Input != InputTerminal || len(rules) > 0 && !slices.Contains(rules, j) {
			continue
		}
		for _, r := range j.rounds() {
			for _, x := range r.runs {
				if !x.over && x.pid != 0 {
					m.host.Signal(x.id, sig)
				}
			}
		}
	}
}

func (m *machine) quitNow() {
	if !m.quitting {
		m.quit()
	}
	m.kill()
}
