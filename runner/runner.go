// Package runner decides when the rules' commands run, and runs them.
//
// It is told of changes as waves: which rules have something to do, all at one
// moment. It knows no files and no globs. What it does is a state machine of its
// own for every rule (job.go, state.go) on top of what the rules need of each
// other (needs.go); all of them belong to one goroutine, the loop of
// [Runner.Run]. The loop never blocks: what takes time is asked of a [Host] and
// comes back as a report, like a wave, a request or the end of a wait.
//
// A run is over when no process of it is left, and only then is the next one
// started.
package runner

import (
	"context"
	"runtime"
	"time"
)

// Options are what a [Runner] is made of.
type Options struct {
	Rules []Rule // in file order; names are unique, needs name others and make no circle
	Host  Host
	Jobs  int  // tasks at once; 0: number of CPUs
	Once  bool // run every rule once in the order of their needs, stop the services, end

	// StopBudget is the time that everything has to end in; 0: ten seconds.
	StopBudget time.Duration

	// Mark asks for a barrier that comes back in a later wave: what had happened
	// when Mark was called is in that wave or an earlier one. It is called from the
	// loop and must not block. Nil: there are none.
	Mark func(id uint64)

	// Events is told of everything, in order. It is called from the loop and must
	// not block, nor call the Runner.
	Events func(Event)
}

// DefaultStopBudget is the time that everything has to end in.
const DefaultStopBudget = 10 * time.Second

// Result is what a [Runner] ended with.
type Result struct {
	Rules []RuleStatus // in the order of their needs, as they were before the end
	Err   error        // of Host.Close
}

// Failed is the first rule that is not green; nil: all are.
func (r Result) Failed() *RuleStatus {
	for i := range r.Rules {
		if r.Rules[i].Verdict != Green {
			return &r.Rules[i]
		}
	}
	return nil
}

// Runner runs the commands of rules.
type Runner struct {
	opt      Options
	requests chan asked    // read by Run
	closed   chan struct{} // closed when Run is done
}

// New makes a Runner. It does nothing before Run.
func New(opt Options) *Runner {
	if opt.Jobs <= 0 {
		opt.Jobs = runtime.NumCPU()
	}
	if opt.StopBudget == 0 {
		opt.StopBudget = DefaultStopBudget
	}
	return &Runner{opt: opt, requests: make(chan asked), closed: make(chan struct{})}
}

// Run starts the rules that run at the start, then acts on waves, requests and
// what becomes of the runs. It stops everything and returns when waves is closed,
// ctx ends, a request says so, or with Options.Once when all is done. Nil waves
// never come. Run is called once.
func (r *Runner) Run(ctx context.Context, waves <-chan Wave) Result {
	defer close(r.closed)
	l := loopOf(r, ctx, waves)
	defer l.timer.Stop()
	l.m.setRules(r.opt.Rules)
	l.m.advance()
	for l.m.next() {
		l.turn()
	}
	res := l.m.result()
	res.Err = r.opt.Host.Close()
	return res
}

// Do asks for something and waits for the reply. It returns ErrClosed when the
// runner has ended, and ctx's error when that ends first.
func (r *Runner) Do(ctx context.Context, req Request) (Reply, error) {
	replies := make(chan Reply, 1)
	a := asked{ctx: ctx, req: req, reply: func(rep Reply) { replies <- rep }}
	select {
	case r.requests <- a:
	case <-r.closed:
		return Reply{}, ErrClosed
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
	select {
	case rep := <-replies:
		return rep, rep.Err
	case <-r.closed:
		select {
		case rep := <-replies:
			return rep, rep.Err
		default:
			return Reply{}, ErrClosed
		}
	case <-ctx.Done():
		return Reply{}, ctx.Err()
	}
}

// loopState is the one place where a Runner waits. Only the goroutine of Run touches
// it.
type loopState struct {
	m        *machine
	done     <-chan struct{}
	waves    <-chan Wave
	requests <-chan asked
	timer    *time.Timer
}

func loopOf(r *Runner, ctx context.Context, waves <-chan Wave) *loopState {
	l := &loopState{m: newMachine(r.opt), done: ctx.Done(), waves: waves, requests: r.requests, timer: time.NewTimer(0)}
	l.m.now = time.Now()
	return l
}

// turn waits for one thing and lets the machine act on it.
func (l *loopState) turn() {
	l.arm()
	select {
	case <-l.done:
		l.done = nil
		l.at(l.m.end)
	case w, ok := <-l.waves:
		if !ok {
			l.waves = nil
			l.at(l.m.end)
			break
		}
		l.at(func() { l.m.wave(w) })
	case rep := <-l.m.host.Reports():
		l.at(func() { l.m.report(rep) })
	case a := <-l.requests:
		l.at(func() { l.m.do(a) })
	case <-l.timer.C:
		l.at(func() {})
	}
}

// at does what came at this moment, and what is due by now.
func (l *loopState) at(f func()) {
	l.m.now = time.Now()
	f()
	l.m.expire()
	l.m.advance()
}

// arm sets the timer to the next deadline.
func (l *loopState) arm() {
	next := l.m.deadline()
	if next.IsZero() {
		l.timer.Stop()
		return
	}
	l.timer.Reset(time.Until(next))
}
