package runner

import (
	"syscall"
	"time"
)

// round is what one start of a rule leads to: one run, or with each one run for
// each file. Only the loop touches it.
type round struct {
	dirt   dirt // what it acts on
	reason Reason
	begun  time.Time
	span   *span
	fresh  bool

	runs     []*run
	todo     []Change // of each: no run yet
	listing  uint64   // of each: waits for the list of all files; 0: does not
	unlisted bool     // of each: stopped while it waited for it

	all    bool      // it is for all files of the rule
	left   []Change  // of each, stopped: what was not begun
	ready  bool      // was ready once
	since  time.Time // of ready
	ending ending
	told   bool   // the rule knows that it is over
	why    string // of ending
}

// ending is why a round was told to end.
type ending uint8

const (
	byItself   ending = iota
	superseded        // a newer one follows
	failing           // out of time, or not ready in time
	halted            // by command, for a new config, at the end
	handedOver        // the next one serves
)

// run is one execution of the rule's command.
type run struct {
	id   RunID
	file *Change // of each
	pid  int     // 0: not started yet

	started, ended time.Time
	exit           int
	signal         syscall.Signal
	err            error
	exited         bool // its own process has ended
	over           bool // and so have all others
	skipped        bool
	stuck          bool

	timeout  time.Time // stop it then; zero: never
	stopping bool
	slow     time.Time // say then that the stop takes long; zero: said or not stopping
	kill     time.Time // SIGKILL comes then
}

// live tells whether a process of the round may be there, or is going to be.
func (r *round) live() bool {
	if r == nil {
		return false
	}
	if len(r.todo) > 0 || r.listing != 0 {
		return true
	}
	return r.running() > 0
}

func (r *round) running() (n int) {
	if r == nil {
		return 0
	}
	for _, run := range r.runs {
		if !run.over {
			n++
		}
	}
	return n
}

// outcome sums the runs up.
func (r *round) outcome() Outcome {
	switch r.ending {
	case superseded, handedOver:
		return Superseded
	case failing:
		return Failed
	case halted:
		return Halted
	case byItself:
	}
	out := Skipped
	for _, run := range r.runs {
		switch o := run.outcome(); o {
		case Failed:
			return Failed
		case Succeeded:
			out = o
		}
	}
	return out
}

func (r *run) outcome() Outcome {
	switch {
	case r.skipped:
		return Skipped
	case r.err != nil || r.exit != 0:
		return Failed
	}
	return Succeeded
}

// failed is the run that made the round fail, else its last.
func (r *round) telling() *run {
	for _, run := range r.runs {
		if run.outcome() == Failed {
			return run
		}
	}
	if len(r.runs) == 0 {
		return nil
	}
	return r.runs[len(r.runs)-1]
}

// last describes the round that ended last.
type last struct {
	run      RunID
	reason   Reason
	changes  []Change
	started  time.Time
	duration time.Duration
	exit     int
	signal   syscall.Signal
	err      error
	outcome  Outcome
}
