package runner

import (
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/runner/ready"
	"github.com/flinch-run/flinch/runner/socket"
)

// Kind is what a rule's command is expected to do.
type Kind uint8

const (
	Task    Kind = iota // runs to completion
	Service             // is kept running
)

func (k Kind) String() string { return [...]string{"task", "service"}[k] }

// Busy says what a trigger does to a rule whose command runs.
type Busy uint8

const (
	Queue      Busy = iota // run once more after it
	Replace                // stop it and run anew: `restart` in the config
	Skip                   // drop the trigger, but remember that the result is stale
	SendSignal             // send Rule.BusySignal
)

func (b Busy) String() string { return [...]string{"queue", "restart", "skip", "signal"}[b] }

// Restart says what follows when a service ends and nobody asked for it.
type Restart uint8

const (
	OnFailure Restart = iota // start it again unless it ended with status 0
	Always
	Never
)

func (r Restart) String() string { return [...]string{"on-failure", "always", "never"}[r] }

// Content says when a change that left the bytes as they were is none.
type Content uint8

const (
	ContentAuto   Content = iota // if it was made while the rule itself, or one that it needs, ran
	ContentAlways                // always
	ContentNever                 // never
)

func (c Content) String() string { return [...]string{"auto", "always", "never"}[c] }

// Leftovers says what happens to processes that outlive a run that ended by
// itself. A run that is stopped leaves nothing, whatever this says.
type Leftovers uint8

const (
	KillLeftovers    Leftovers = iota // none may stay
	SessionLeftovers                  // those of its session are killed; the others are named once and left
	KeepLeftovers                     // they stay
)

func (l Leftovers) String() string { return [...]string{"kill", "session", "keep"}[l] }

// Input is what a command reads on its standard input.
type Input uint8

const (
	InputNone     Input = iota
	InputTerminal       // the terminal: the run is its foreground job; one rule at most
	InputPaths          // the changed paths, each ended by a zero byte
	InputJSON           // the changes, a JSON object a line
)

func (i Input) String() string { return [...]string{"none", "terminal", "paths", "json"}[i] }

// Output says where a run's output goes besides the terminal.
type Output struct {
	File string // written whole, relative to the rule's folder; empty: nowhere
	Max  int64  // bytes after which File is rotated; 0: never
}

// Rule is a command and what makes it run. What files it reacts to is not its
// business: those come as triggers. The zero value of a field is the default of a
// task; a service's defaults (Busy: Replace, Leftovers: KillLeftovers) are
// the caller's to fill in.
type Rule struct {
	Name    string
	Kind    Kind
	Command command.Command
	Dir     string   // working directory, absolute; empty: the first root
	Env     []string // NAME=value; [env] of the config first, then the rule's own
	EnvFile []string // read before each run, between the two; later files win
	// GlobalEnv is what of Env comes before EnvFile: its first so many elements.
	GlobalEnv int

	Needs []string // rules whose success this one waits for and follows
	// Watches (it has files of its own) and Globs (what it reacts to, as text) mean nothing
	// to the Runner, which is sent triggers; but a rule where they differ is another one.
	Watches bool
	Globs   []string
	AtStart bool // runs before the first change
	Each    bool // of a task: one run for each changed file
	Content Content

	Busy       Busy
	BusySignal syscall.Signal // of SendSignal

	StopSignal  syscall.Signal // 0: SIGTERM
	StopTimeout time.Duration  // after which SIGKILL follows; 0: DefaultStopTimeout
	Timeout     time.Duration  // of a task: it has failed after that; 0: none
	Leftovers   Leftovers

	Input  Input
	Output Output
	Clear  bool // clear the terminal before a run

	// Ready says how a service shows that it can do its work; the zero Spec: it can
	// when it has been started.
	Ready        ready.Spec
	ReloadSignal syscall.Signal // of a service: sent instead of a restart; 0: none
	Restart      Restart        // of a service
	// Listen are a service's listening sockets: opened once, and handed to each run.
	Listen  []socket.Address
	Overlap bool // of a service: the old one serves until the new one is ready
}

// DefaultStopTimeout is the time between a stop signal and SIGKILL.
const DefaultStopTimeout = 5 * time.Second

func (r *Rule) service() bool { return r.Kind == Service }

func (r *Rule) stopSignal() syscall.Signal {
	if r.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return r.StopSignal
}

// sends tells whether the rule's runs are sent the signal.
func (r *Rule) sends(sig syscall.Signal) bool {
	return r.StopSignal == sig || r.BusySignal == sig || r.ReloadSignal == sig
}

func (r *Rule) stopTimeout() time.Duration {
	if r.StopTimeout == 0 {
		return DefaultStopTimeout
	}
	return r.StopTimeout
}

// probed tells whether a start of the service is followed by a wait for it to be
// ready.
func (r *Rule) probed() bool {
	s := r.Ready
	return s.Port != 0 || s.AnyPort || s.TCP != "" || s.HTTP != "" || s.Log != nil || s.Exec != nil || s.Notify
}

// signal is what a trigger sends to a run that is up; 0: none.
func (r *Rule) signal() syscall.Signal {
	if r.Busy == SendSignal {
		return r.BusySignal
	}
	if r.service() && r.Busy == Replace {
		return r.ReloadSignal
	}
	return 0
}

// same tells whether nothing would be different with the other rule.
func (r *Rule) same(other *Rule) bool { return reflect.DeepEqual(r, other) }

// clone is a copy that the caller may keep while the original changes.
func (r *Rule) clone() *Rule {
	c := *r
	c.Env, c.Needs, c.Globs, c.Listen = slices.Clone(r.Env), slices.Clone(r.Needs), slices.Clone(r.Globs), slices.Clone(r.Listen)
	return &c
}
