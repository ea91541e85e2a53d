package runner

import (
	"syscall"
	"time"
)

// Verdict is what `flinch wait` makes of a rule.
type Verdict uint8

const (
	Green Verdict = iota // its last run that counts succeeded, or it never had to run
	VerdictFailed
	VerdictBlocked
	VerdictHeld
	VerdictBackoff
)

func (v Verdict) String() string {
	return [...]string{"green", "failed", "blocked", "held", "backoff"}[v]
}

// LastRun is the run that ended last.
type LastRun struct {
	Run      RunID
	Reason   Reason
	Changed  []Change // that it was for
	Started  time.Time
	Duration time.Duration
	Exit     int // 128+n for signal n
	Signal   syscall.Signal
	Err      error // why it could not be started or did not get ready
	Outcome  Outcome
}

// RuleStatus is what is known of a rule.
type RuleStatus struct {
	Name    string
	Kind    Kind
	State   State
	Verdict Verdict
	Runs    int       // started, or tried to, so far
	Run     RunID     // that lives; 0: none
	PID     int       // of it
	Since   time.Time // when it was started
	Reason  Reason    // of it
	Last    *LastRun  // nil: none has ended

	Waiting    string    // what its next start waits for, in words; empty: nothing
	Until      time.Time // when that ends by itself, or the back-off does; zero: never, or nobody knows
	BlockedBy  string    // a rule
	Pending    int       // changed paths that it has not acted on
	Stale      int       // changes that it dropped because it was busy
	StaleSince time.Time
	Paused     bool
	Stopped    bool // by command
	Looping    bool // held because it feeds itself
}

// Status is what is known of all rules.
type Status struct {
	Rules  []RuleStatus // in the order of their needs
	Waves  uint64       // so far
	Slots  int          // tasks that could be started now
	Paused bool         // all of them
	Ending bool
}

func (m *machine) status() Status {
	m.survey()
	s := Status{Waves: m.batch, Slots: max(0, m.slots()), Paused: len(m.order) > 0, Ending: m.quitting}
	for _, j := range m.order {
		s.Rules = append(s.Rules, m.ruleStatus(j))
		s.Paused = s.Paused && j.paused
	}
	return s
}

func (m *machine) ruleStatus(j *job) RuleStatus {
	g, by := m.gate(j)
	s := RuleStatus{
		Name: j.rule.Name, Kind: j.rule.Kind, State: m.state(j), Verdict: m.verdict(j), Runs: j.runs,
		Waiting: waitText(g, by), BlockedBy: j.view.blockedBy, Pending: len(j.dirt.changes),
		Stale: j.stale.n, StaleSince: j.stale.since, Paused: j.paused, Stopped: j.halted, Looping: j.loop.held,
		Last: j.last.public(),
	}
	switch {
	case j.phase == backoff:
		s.Until = j.wake
	case g == doubt:
		s.Until = j.loop.until
	}
	if x := j.cur.living(); x != nil {
		s.Run, s.PID, s.Since, s.Reason = x.id, x.pid, x.started, j.cur.reason
	}
	return s
}

// living is the first run of the round that is not over; nil: none.
func (r *round) living() *run {
	if r == nil {
		return nil
	}
	for _, x := range r.runs {
		if !x.over {
			return x
		}
	}
	return nil
}

func (l *last) public() *LastRun {
	if l == nil {
		return nil
	}
	return &LastRun{
		Run: l.run, Reason: l.reason, Changed: l.changes, Started: l.started, Duration: l.duration,
		Exit: l.exit, Signal: l.signal, Err: l.err, Outcome: l.outcome,
	}
}

func (m *machine) verdict(j *job) Verdict {
	switch {
	case j.phase == backoff:
		return VerdictBackoff
	case j.phase == crashed || j.loop.held:
		return VerdictHeld
	case j.view.blockedBy != "" && j.view.waitFor == "":
		return VerdictBlocked
	case j.broken:
		return VerdictFailed
	}
	return Green
}
