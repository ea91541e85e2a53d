package runner

import (
	"syscall"
	"time"
)

// RunID numbers the runs of one flinch from 1 up.
type RunID uint64

// Host carries out what the runner decides. Its methods are called by the
// runner's loop and return at once; what came of them is sent to Reports. There
// are two: [Processes], and the one of the tests that only pretends.
type Host interface {
	// Launch starts a run: sooner or later comes Started, or Over without it.
	Launch(Launch)
	// Cancel gives up a run that has not been reported as Started, if it still can.
	Cancel(RunID)
	// Signal sends sig to each process of the run.
	Signal(id RunID, sig syscall.Signal)
	// Stop ends a started run: sig, and SIGKILL after grace. Over follows.
	Stop(id RunID, sig syscall.Signal, grace time.Duration)
	// Kill ends a started run at once. Over follows.
	Kill(id RunID)
	// List asks for all files of a rule: a report of the kind Listed.
	List(rule string, token uint64)
	// Configure tells of the rules there are now, before the first Launch and
	// whenever they change; what was kept for others can be given up.
	Configure([]*Rule)
	// Suspend stops the processes of all runs; a report of the kind Suspended follows.
	Suspend()
	// Resume undoes Suspend.
	Resume()
	// Reports is read by the loop alone, until Close has been called.
	Reports() <-chan Report
	// Close is called when no run is left, and waits for what it began.
	Close() error
}

// Launch says what to start.
type Launch struct {
	ID      RunID
	Rule    *Rule // does not change
	Reason  Reason
	Changes []Change // the rule's own; none: {files} are all files
	Fresh   bool     // the first run of a rule since it was idle, for Clear
}

// ReportKind is what a [Report] tells.
type ReportKind uint8

const (
	// Started: the run's process is there, with PID.
	Started ReportKind = iota
	// BecameReady: the service can do its work. Only where the rule has a Ready.
	BecameReady
	// NotReady: it cannot any more, for Err: the time is over, or the probe is useless.
	NotReady
	// Exited: the run's own process ended, with Exit and Signal. Others may live on.
	Exited
	// Over: no process of the run is left. Exit and Signal if it was Started; else Err, or Skipped.
	Over
	// Stuck: processes of the run do not die; Text names them. Over may still follow.
	Stuck
	// Note: Text is something that the user should know.
	Note
	// Listed: Files are all files of Rule.
	Listed
	// Suspended: the processes of all runs are stopped.
	Suspended
)

// Report is what came of something that a [Host] was asked for.
type Report struct {
	Kind   ReportKind
	Run    RunID
	PID    int
	Exit   int // 128+n for signal n
	Signal syscall.Signal
	Err    error
	// Skipped: the command was not run, since no file was left for it.
	Skipped bool
	Text    string

	Rule  string
	Token uint64
	Files []string // relative to the first root
	Time  time.Time
}
