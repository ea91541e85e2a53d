package config

import (
	"cmp"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Kind says whether a rule is a task or a service.
type Kind uint8

// The kinds of rules.
const (
	Task    Kind = iota // runs to its end
	Service             // is kept running
)

// String is the name of the table that holds such rules.
func (k Kind) String() string { return [...]string{"task", "service"}[k] }

// Rule is one [task.NAME] or [service.NAME], with all defaults filled in.
// Paths are as they were written; [Config.Abs] makes them absolute.
type Rule struct {
	Name string
	Kind Kind

	Files   []string // globs in order, "!" excludes; empty: reacts to nothing by itself
	Ignore  []string // gitignore patterns in order
	On      Ops      // which kinds of change count; never 0
	Run     Command
	Dir     string   // where it runs, relative to the config's folder; "." by default
	Env     []Var    // in file order
	EnvFile []string // in order, later files win
	Needs   []string // names of other rules, without a circle
	Busy    Busy
	AtStart bool
	Content Content
	Each    bool
	Settle  Settle
	MaxWait time.Duration // > 0 and never shorter than a fixed Settle
	Timeout time.Duration // 0: none
	Clear   bool
	Shell   string // never empty

	StopSignal  syscall.Signal
	StopTimeout time.Duration // 0: killed at once
	Leftovers   Leftovers
	Input       Input
	Output      Output

	// Of services only; zero for a task.
	Ready        *Ready         // nil: ready as soon as it runs
	ReloadSignal syscall.Signal // 0: restart instead
	Restart      Restart
	Listen       []Listen
	Overlap      bool
	Proxy        string // "host:port" where the proxy listens; empty: none

	pos Pos
	at  places
	// broken: its name or shape is wrong, so that it has no run says nothing
	// new.
	broken bool
}

// Pos is where a key of the rule stands; with an index, where that element
// of its array stands. A key of an inner table is written "ready.http". What
// was set globally gives that place; what nobody set, the zero Pos. The empty
// key gives the rule's own name.
func (r *Rule) Pos(key string, index ...int) Pos {
	if key == "" {
		return r.pos
	}
	return r.at.find(key, index...)
}

// IsSet reports whether a key was written, in the rule, globally or as a
// flag.
func (r *Rule) IsSet(key string) bool { return len(r.at[key]) > 0 }

// Equal reports whether two rules say the same, wherever and however it was
// written.
func (r *Rule) Equal(other *Rule) bool {
	return reflect.DeepEqual(r.plain(), other.plain())
}

// plain is the rule without places, and with order and nil where they make
// no difference.
func (r *Rule) plain() Rule {
	p := *r
	p.pos, p.at = Pos{}, nil
	for _, list := range []*[]string{&p.Files, &p.Ignore, &p.EnvFile, &p.Needs} {
		*list = append([]string{}, *list...)
	}
	slices.Sort(p.Needs)
	p.Env = sortedEnv(p.Env)
	p.Listen = append([]Listen{}, p.Listen...)
	return p
}

func sortedEnv(env []Var) []Var {
	return slices.SortedFunc(slices.Values(env), func(a, b Var) int { return cmp.Compare(a.Name, b.Name) })
}

// places keeps where keys stand: [0] is the value, [1+i] its element i.
type places map[string][]Pos

func (p places) find(key string, index ...int) Pos {
	list := p[key]
	if len(list) == 0 {
		return Pos{}
	}
	if len(index) > 0 && 1+index[0] < len(list) {
		return list[1+index[0]]
	}
	return list[0]
}

// Command is what a rule runs: exactly one of its fields is set.
type Command struct {
	Argv []string // executed as it is; Argv[0] is not empty
	Line string   // a string for the rule's shell
}

// IsZero reports whether there is no command.
func (c Command) IsZero() bool { return c.Argv == nil && c.Line == "" }

// String shows the command in one line.
func (c Command) String() string {
	if c.Argv == nil {
		return c.Line
	}
	words := make([]string, len(c.Argv))
	for i, word := range c.Argv {
		if words[i] = word; word == "" || strings.ContainsAny(word, " \t\n'\"\\$`") {
			words[i] = quote(word)
		}
	}
	return strings.Join(words, " ")
}

// Var is one environment variable.
type Var struct{ Name, Value string }

// Environ gives variables as os/exec takes them.
func Environ(vars []Var) []string {
	list := make([]string, len(vars))
	for i, v := range vars {
		list[i] = v.Name + "=" + v.Value
	}
	return list
}

// Ops is a set of kinds of change.
type Ops uint8

// The kinds of change.
const (
	Create Ops = 1 << iota
	Write
	Remove
	Rename
	Attrib
)

var opNames = []string{"create", "write", "remove", "rename", "attrib"}

// Has reports whether the set holds a kind.
func (o Ops) Has(op Ops) bool { return o&op != 0 }

// Names lists the kinds as they are written.
func (o Ops) Names() []string {
	var names []string
	for i, name := range opNames {
		if o.Has(1 << i) {
			names = append(names, name)
		}
	}
	return names
}

// String is the list as --on takes it.
func (o Ops) String() string { return strings.Join(o.Names(), ",") }

// Settle says how the end of a batch is found. The zero Settle fires at once.
type Settle struct {
	Auto     bool
	Leading  bool
	Duration time.Duration // the quiet time where neither is set, >= 0
}

// String is the text that gives this Settle.
func (s Settle) String() string {
	switch {
	case s.Auto:
		return "auto"
	case s.Leading:
		return "leading"
	}
	return s.Duration.String()
}

// Policy says what to do with a change that comes while the rule runs.
type Policy uint8

// The policies of busy.
const (
	Queue      Policy = iota // once more after it
	RestartRun               // stop and rerun
	Skip                     // drop it
	SendSignal               // send Busy.Signal
)

// Busy is a policy with its signal.
type Busy struct {
	Policy Policy
	Signal syscall.Signal // of SendSignal only
}

// String is the text that gives this Busy.
func (b Busy) String() string {
	if b.Policy == SendSignal {
		return "signal:" + SignalName(b.Signal)
	}
	return [...]string{"queue", "restart", "skip"}[b.Policy]
}

// Content says when a write of identical bytes is no change.
type Content uint8

// The choices of content.
const (
	ContentAuto   Content = iota // if written while the rule itself ran
	ContentAlways                // always compare
	ContentNever                 // never compare
)

// String is the text that gives this Content.
func (c Content) String() string { return contentNames[c] }

var contentNames = []string{"auto", "always", "never"}

// Leftovers says what happens to processes that outlive a run that ended by
// itself.
type Leftovers uint8

// The choices of leftovers.
const (
	LeftoversKill    Leftovers = iota // all are killed
	LeftoversSession                  // those of the run's session are killed
	LeftoversKeep                     // all are kept
)

// String is the text that gives this Leftovers.
func (l Leftovers) String() string { return leftoversNames[l] }

var leftoversNames = []string{"kill", "session", "keep"}

// Input is the command's stdin.
type Input uint8

// The choices of input.
const (
	InputNone     Input = iota // /dev/null
	InputTerminal              // the terminal; one rule at most
	InputPaths                 // changed paths, each ended by NUL
	InputJSON                  // changes as in events --json
)

// String is the text that gives this Input.
func (i Input) String() string { return inputNames[i] }

var inputNames = []string{"none", "terminal", "paths", "json"}

// Output says where the command's output goes beside the screen.
type Output struct {
	File string // a copy of all output, rotated; empty: none
	Max  int64  // bytes after which File is rotated; 0 where File is empty
}

// Restart says what follows an end of a service that nobody asked for.
type Restart uint8

// The choices of restart.
const (
	RestartOnFailure Restart = iota
	RestartAlways
	RestartNever
)

// String is the text that gives this Restart.
func (r Restart) String() string { return restartNames[r] }

var restartNames = []string{"on-failure", "always", "never"}

// Ready says when a service counts as ready: all that is set of the first
// seven must hold, and at least one is set.
type Ready struct {
	Port    uint16   // a LISTEN socket on this port that the run owns
	AnyPort bool     // the same, any port
	TCP     string   // "host:port" accepts
	HTTP    *url.URL // answers with a status below 400
	Log     string   // a line of output matches this regexp (checked)
	Exec    Command  // ends with 0
	Notify  bool     // READY=1 by sd_notify
	Timeout time.Duration
}

// Listen is a socket that flinch opens for a service.
type Listen struct {
	Name    string // for LISTEN_FDNAMES; the rule's name where none was given
	Network string // "tcp" or "unix"
	// Address is "host:port" (the host an IP address, localhost or empty), or
	// the path as written: [Config.Abs] is for the caller to call, unless "@"
	// stands first, which makes it abstract.
	Address string
}

// String is the address as it is written.
func (l Listen) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Address
	}
	return l.Address
}

// quote puts a text in double quotes, escaped.
func quote(s string) string { return fmt.Sprintf("%q", s) }
