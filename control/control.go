// Package control lets other programs speak to a running flinch: one unix socket
// a root, HTTP/1.1 and JSON over it, documented in docs/api.md.
//
// It knows the protocol and who may speak it, and nothing of flinch's insides:
// what is asked is answered by a [Backend], in the words of api.go.
//
// [Listen] takes the socket of a root, also that of a flinch that died; a lock
// that the kernel gives back with its holder says who lives. [Server.Serve] is
// one blocking call and ends with its context. Requests are served by a goroutine
// each, which all have ended when it returns. [Find] is the other side.
package control

import (
	"context"
	"io"
	"time"
)

// Version is the first part of every path: a change that breaks clients makes a new one.
const Version = "v1"

// Backend answers what clients ask. Its methods are called from many goroutines;
// they end when ctx does.
type Backend interface {
	// Status is of the rules named; none: of all.
	Status(ctx context.Context, rules []string) (*Status, error)
	// Do carries a command out and returns when that has begun.
	Do(ctx context.Context, c Command) error
	// Wait returns when all that changed before the call led to is over.
	Wait(ctx context.Context, rules []string) (*Verdict, error)
	// Notify takes changes that somebody else saw, and returns how many it took.
	Notify(ctx context.Context, changes []Change) (int, error)
	// Follow hands over the events after the number since, at once those that are remembered, until ctx ends or send
	// fails; with since Live only those to come. A client whose send is slow holds up nobody: it is told what it missed.
	Follow(ctx context.Context, since uint64, send func(Event) error) error
	// Runs are those remembered, the oldest first.
	Runs(ctx context.Context) ([]Run, error)
	// Output is what is remembered of a run's output.
	Output(ctx context.Context, run uint64) (*Output, error)
	// Batches are those remembered, also those that led to nothing, the oldest first.
	Batches(ctx context.Context) ([]Batch, error)
	// Explain says of each path, absolute or relative to the root, what happened to it last, and unless brief what rules make of it.
	Explain(ctx context.Context, paths []string, brief bool) ([]Explanation, error)
	// Metrics writes Prometheus text.
	Metrics(ctx context.Context, w io.Writer) error
}

// Live stands for the number of the last event.
const Live = ^uint64(0)

// Verb is what a [Command] does.
type Verb string

// The commands.
const (
	Trigger Verb = "trigger" // run rules as if changes had come
	Restart Verb = "restart" // stop what runs of them and start anew
	Stop    Verb = "stop"    // until a trigger or restart; without rules: everything, and flinch ends
	Pause   Verb = "pause"   // keep changes until resume; without rules: all
	Resume  Verb = "resume"
)

// verbs says of each command whether it needs rules.
var verbs = map[Verb]bool{Trigger: true, Restart: true, Stop: false, Pause: false, Resume: false}

// Command steers rules.
type Command struct {
	Verb  Verb     `json:"-"` // the last part of the path
	Rules []string `json:"rules"`
	Paths []string `json:"paths,omitempty"` // of trigger: changed paths, absolute or relative to the root

	PathsB64 [][]byte `json:"paths_b64,omitempty"` // on the wire: Paths, where not all are UTF-8
}

// Status is what is known of flinch and of its rules.
type Status struct {
	Root    string       `json:"root"`
	RootB64 []byte       `json:"root_b64,omitempty"` // where Root is not UTF-8
	PID     int          `json:"pid"`
	Backend string       `json:"backend"`
	Dirs    int          `json:"dirs"`
	Ready   bool         `json:"ready"`
	Roots   []string     `json:"roots,omitempty"` // where there are several
	Config  string       `json:"config,omitempty"`
	Version string       `json:"version,omitempty"`
	Watches int          `json:"watches"`
	Polled  int          `json:"polled,omitempty"`
	Paused  bool         `json:"paused,omitempty"`
	Ending  bool         `json:"ending,omitempty"`
	Batches uint64       `json:"batches"`
	Rules   []RuleStatus `json:"rules"`
}

// RuleStatus is what is known of one rule.
type RuleStatus struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	State   string    `json:"state"`
	Runs    int       `json:"runs"`
	PID     int       `json:"pid,omitempty"` // of the run that lives
	Run     uint64    `json:"run,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Verdict string    `json:"verdict"` // green, failed, blocked, held, backoff, stale
	Why     string    `json:"why,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	Pending int       `json:"pending,omitempty"` // changed paths that it has not acted on
	Stale   int       `json:"stale,omitempty"`   // changes that it dropped because it was busy
	Last    *Last     `json:"last,omitempty"`
	// Tail is the end of the last run's output, in the answer to a wait, where the verdict is not green.
	Tail []string `json:"tail,omitempty"`
}

// Last is the run of a rule that ended last.
type Last struct {
	Run        uint64    `json:"run"`
	Reason     string    `json:"reason"`
	Changed    []string  `json:"changed"` // the first of them
	More       int       `json:"more,omitempty"`
	Started    time.Time `json:"started,omitzero"`
	DurationMS float64   `json:"duration_ms"`
	Exit       int       `json:"exit"`
	Signal     string    `json:"signal,omitempty"`
	Outcome    string    `json:"outcome"`
	Error      string    `json:"error,omitempty"`
}

// Verdict is the answer to a wait.
type Verdict struct {
	Green bool         `json:"green"`
	Rules []RuleStatus `json:"rules"` // those asked for and those that they need
}

// Change is a changed path, as `flinch events --json` has it.
type Change struct {
	Time      time.Time `json:"time,omitzero"`
	Op        string    `json:"op,omitempty"` // empty: whatever the disk says
	Path      string    `json:"path"`         // absolute, or relative to Root
	PathB64   string    `json:"path_b64,omitempty"`
	Type      string    `json:"type,omitempty"`
	From      string    `json:"from,omitempty"`
	FromB64   string    `json:"from_b64,omitempty"`
	Root      string    `json:"root,omitempty"` // as the config has it; empty: the first
	Recovered bool      `json:"recovered,omitempty"`
	Dirs      int       `json:"dirs,omitempty"`    // of the line "ready"
	Backend   string    `json:"backend,omitempty"` // of the line "ready"
	Why       string    `json:"why,omitempty"`     // in answers: what became of it
}

// Event is something that happened; V is the version of its form.
type Event struct {
	V    int       `json:"v"`
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Kind is batch, match, triggered, queued, started, output, ready, exited, over, blocked, suppressed, stale, ... ; missed
	// says that Missed events are left out here because the client was slow or they are forgotten.
	Kind   string   `json:"kind"`
	Rule   string   `json:"rule,omitempty"`
	Run    uint64   `json:"run,omitempty"`
	State  string   `json:"state,omitempty"` // of the rule, after it
	Batch  uint64   `json:"batch,omitempty"`
	Reason string   `json:"reason,omitempty"`
	PID    int      `json:"pid,omitempty"`
	File   string   `json:"file,omitempty"` // with each: what the run is for
	Causes []Cause  `json:"causes,omitempty"`
	Paths  []Change `json:"changes,omitempty"` // the first of them
	More   int      `json:"more,omitempty"`    // so many changes are not listed

	Started    time.Time `json:"started,omitzero"`
	DurationMS float64   `json:"duration_ms,omitempty"`
	Exit       *int      `json:"exit,omitempty"`
	Signal     string    `json:"signal,omitempty"`
	Outcome    string    `json:"outcome,omitempty"`
	Error      string    `json:"error,omitempty"`
	Why        string    `json:"why,omitempty"`
	LeftMS     float64   `json:"left_ms,omitempty"` // until something happens
	Ignore     string    `json:"ignore,omitempty"`  // a line to add to the config
	Rules      []string  `json:"rules,omitempty"`   // that take part

	Stream string `json:"stream,omitempty"` // of output: stdout or stderr
	Text   string `json:"text,omitempty"`   // of output: the line; else a note
	Missed uint64 `json:"missed,omitempty"`
}

// Cause is a run that led to another.
type Cause struct {
	Rule string `json:"rule"`
	Run  uint64 `json:"run"`
}

// Run is one execution of a rule's command and why there was one.
type Run struct {
	Run     uint64    `json:"run"`
	Rule    string    `json:"rule"`
	State   string    `json:"state"` // running, ready, or how it ended: succeeded, failed, superseded, stopped, skipped
	Reason  string    `json:"reason"`
	Batch   uint64    `json:"batch,omitempty"`
	Changes []Change  `json:"changes,omitempty"`
	More    int       `json:"more,omitempty"`
	File    string    `json:"file,omitempty"`
	Causes  []Cause   `json:"causes,omitempty"`
	First   time.Time `json:"first,omitzero"`   // when the first of the changes was seen
	Last    time.Time `json:"last,omitzero"`    // and the last
	Settled time.Time `json:"settled,omitzero"` // when the batch was complete
	Started time.Time `json:"started,omitzero"`
	Ready   time.Time `json:"ready,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	PID     int       `json:"pid,omitempty"`
	Exit    int       `json:"exit"`
	Signal  string    `json:"signal,omitempty"`
	Error   string    `json:"error,omitempty"`
	Why     string    `json:"why,omitempty"`
}

// Output is the end of what a run wrote.
type Output struct {
	Run     uint64 `json:"run"`
	Rule    string `json:"rule"`
	Missed  int64  `json:"missed,omitempty"`  // bytes before that are not remembered
	Unknown bool   `json:"unknown,omitempty"` // it wrote to flinch's own output by itself: nobody could see it
	Lines   []Line `json:"lines"`
}

// Line is one line of output.
type Line struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Text   string    `json:"text"`
}

// Batch is a set of changes and what became of it.
type Batch struct {
	Batch   uint64    `json:"batch,omitempty"` // 0: no rule wanted any of it
	Time    time.Time `json:"time"`
	Changes []Change  `json:"changes"` // the first of them, with what became of each
	More    int       `json:"more,omitempty"`
	Runs    []Cause   `json:"runs,omitempty"` // that it led to
	Why     string    `json:"why,omitempty"`  // where it led to none
}

// Explanation is what becomes and became of a path.
type Explanation struct {
	Path  string     `json:"path"` // relative to the root, if it lies in one
	Why   string     `json:"why,omitempty"`
	Root  string     `json:"root,omitempty"`
	Rules []RuleView `json:"rules,omitempty"`

	Watch string    `json:"watch,omitempty"` // how its folder is watched
	Seen  time.Time `json:"seen,omitzero"`   // when a change of it was seen last; zero: not in what is remembered
	Op    string    `json:"op,omitempty"`
	Batch uint64    `json:"batch,omitempty"`
	Runs  []Cause   `json:"runs,omitempty"` // that it caused
	Fate  []string  `json:"fate,omitempty"` // what became of it, in words
}

// RuleView is what one rule makes of a path.
type RuleView struct {
	Rule     string `json:"rule"`
	Reacts   bool   `json:"reacts"`
	Decision string `json:"decision"`
	Why      string `json:"why"`
	Where    string `json:"where,omitempty"`
	Pattern  string `json:"pattern,omitempty"`
}

// Error is an answer that says what is wrong with the request or with flinch.
type Error struct {
	Status int    `json:"-"` // of HTTP; 0: 500
	Msg    string `json:"error"`
	Help   string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Msg }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.Help }
