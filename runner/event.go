package runner

import (
	"syscall"
	"time"
)

// EventKind is what an [Event] tells.
type EventKind uint8

const (
	// EventTriggered: the rule has something to do, for Reason and Changes.
	EventTriggered EventKind = iota
	// EventSuppressed: Changes lead to nothing, for Why.
	EventSuppressed
	// EventStale: Changes are dropped because the rule is busy and skips; its result is stale.
	EventStale
	// EventWaiting: the rule has something to do and cannot begin, for Why.
	EventWaiting
	// EventLaunching: the run is about to be started; nothing of its output has been printed.
	EventLaunching
	// EventStarted: a process with PID has been started.
	EventStarted
	// EventSkipped: the command was not run, since no file is left that it could be run for.
	EventSkipped
	// EventReady: the service can do its work; a handover ends with it.
	EventReady
	// EventSignalled: Signal was sent to the run instead of a restart.
	EventSignalled
	// EventStopping: the run is being stopped, for Why.
	EventStopping
	// EventSlowStop: the stop takes long; SIGKILL follows after Left.
	EventSlowStop
	// EventStuck: processes of the run are still there after SIGKILL; Text names them.
	EventStuck
	// EventExited: the run's own process has ended with Exit or Signal.
	EventExited
	// EventOver: no process of the run is left. Outcome, Exit, Signal, Duration and Err are the run's.
	EventOver
	// EventBackoff: the service is started again after Left.
	EventBackoff
	// EventHeld: the rule is not started again until a change or a trigger, for Why.
	EventHeld
	// EventLoop: the rule feeds itself and is held. Rules and Changes say how, Ignore is the line to add to the config.
	EventLoop
	// EventBlocked: the rule waits for the next success of a rule that it needs, named in Why.
	EventBlocked
	// EventUnblocked: it does no more.
	EventUnblocked
	// EventPaused and EventResumed: somebody said so.
	EventPaused
	EventResumed
	// EventStopped: somebody said so; the rule does nothing until a trigger or restart.
	EventStopped
	// EventAdded, EventReplaced and EventRemoved: the config has changed.
	EventAdded
	EventReplaced
	EventRemoved
	// EventNote: Text is something that the user should know of the run.
	EventNote
	// EventQuitting: everything is being stopped.
	EventQuitting
)

var eventNames = [...]string{
	EventTriggered: "triggered", EventSuppressed: "suppressed", EventStale: "stale", EventWaiting: "waiting",
	EventLaunching: "launching", EventStarted: "started", EventSkipped: "skipped", EventReady: "ready", EventSignalled: "signalled",
	EventStopping: "stopping", EventSlowStop: "slow-stop", EventStuck: "stuck", EventExited: "exited", EventOver: "over",
	EventBackoff: "backoff", EventHeld: "held", EventLoop: "loop", EventBlocked: "blocked",
	EventUnblocked: "unblocked", EventPaused: "paused", EventResumed: "resumed", EventStopped: "stopped",
	EventAdded: "added", EventReplaced: "replaced", EventRemoved: "removed", EventNote: "note", EventQuitting: "quitting",
}

func (k EventKind) String() string { return eventNames[k] }

// Outcome is how a run ended.
type Outcome uint8

const (
	Succeeded  Outcome = iota // exit status 0
	Failed                    // another status, a signal, a time-out, or it could not be started
	Superseded                // stopped for a newer run: no failure
	Halted                    // stopped because somebody said so, or flinch ends
	Skipped                   // not run: nothing to run it for
)

func (o Outcome) String() string {
	return [...]string{"succeeded", "failed", "superseded", "stopped", "skipped"}[o]
}

// Event is something that happened to a rule or to one of its runs. What it does
// not say for its kind is zero. The slices belong to the event and never change.
type Event struct {
	Kind  EventKind
	Time  time.Time
	Rule  string
	State State // of the rule when it happened: of EventOver, before it acts on that

	Run     RunID // 0: not about a run
	PID     int
	Reason  Reason
	Changes []Change
	File    string  // with each: the file that the run is for
	Batch   uint64  // the number of the last wave that it acts on
	Causes  []Cause // the runs of needed rules that led to it
	// First and Last are when the first and the last of Changes were seen.
	First, Last time.Time

	Started  time.Time     // of the run
	Duration time.Duration // from its start to this event
	Exit     int           // exit status; 128+n for signal n
	Signal   syscall.Signal
	Err      error // why it could not be started or did not get ready
	Outcome  Outcome

	Why    string        // in words
	Text   string        // of a note
	Left   time.Duration // until something happens
	Rules  []string      // that take part in a loop
	Ignore string        // a line for the config
}
