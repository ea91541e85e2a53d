package runner

import (
	"slices"
	"time"
)

// Change is what happened to one path.
type Change struct {
	Path, From string // slash-separated, relative to the root; From only for a rename
	Op, Type   string // as in `flinch events --json`
	Gone       bool   // nothing is there any more
	// Same: the bytes are those of the last look. A file that was gone or empty in
	// between is not the same; a file never looked at before is not either.
	Same      bool
	Recovered bool      // found by a rescan
	Root      int       // index of the root
	Time      time.Time // when it was seen; monotonic
}

// Trigger is a batch of changes for one rule.
type Trigger struct {
	Rule        string
	Changes     []Change  // each of another path
	First, Last time.Time // of the batch
}

// Mark is a barrier that [Options.Mark] asked for: what had happened by then is
// in this wave or was in an earlier one.
type Mark struct {
	ID   uint64
	Time time.Time
}

// Wave is what was complete at one moment: the triggers of all rules for it,
// which take effect together, and the barriers passed. What it holds belongs to
// the runner once it is sent; triggers may share their changes.
type Wave struct {
	Triggers []Trigger
	Marks    []Mark
}

// Reason is why a run was started.
type Reason uint8

const (
	ReasonStart   Reason = iota // flinch, or the rule's life, began
	ReasonChange                // files of the rule
	ReasonNeed                  // a rule that it needs succeeded
	ReasonTrigger               // somebody said so
	ReasonRestart               // somebody said so, or it had ended and is kept running
)

func (r Reason) String() string {
	return [...]string{"start", "change", "need", "trigger", "restart"}[r]
}

// reasons is a set of them.
type reasons uint8

func (s reasons) has(r Reason) bool     { return s&(1<<r) != 0 }
func (s reasons) with(r Reason) reasons { return s | 1<<r }
func (s reasons) only(r Reason) bool    { return s == 1<<r }
func (s reasons) strongest() (r Reason) {
	for _, r = range []Reason{ReasonStart, ReasonRestart, ReasonTrigger, ReasonChange, ReasonNeed} {
		if s.has(r) {
			break
		}
	}
	return r
}

// Cause is a run of a needed rule that led to another run.
type Cause struct {
	Rule string
	Run  RunID
}

// dirt is what a rule has been told and has not acted on: it comes in the moment
// it is read, and leaves in begin only.
type dirt struct {
	reasons reasons
	changes []Change
	index   map[pathKey]int // nil: changes is borrowed, and must not be changed
	causes  []Cause
	parents []*span // of the causes' runs

	// The waves it is from; first is inherited: a change made by a run counts as
	// from the wave that this run is from.
	first, last uint64
	since       time.Time // when it became dirty
	from, to    time.Time // of the changes
	forced      bool      // a restart was asked for: only a free slot is waited for
	asked       bool      // somebody said so: runs although the rule is paused or held
	startup     bool      // nothing but start-up led to it
	all         bool      // stands for all files of the rule, whatever changed
}

type pathKey struct {
	root int
	path string
}

func (d *dirt) empty() bool { return d.reasons == 0 }

// add merges newer dirt in.
func (d *dirt) add(n dirt) {
	if n.empty() {
		return
	}
	if d.empty() {
		d.first, d.since, d.startup = n.first, n.since, n.startup
	}
	d.reasons |= n.reasons
	d.first, d.last = min(d.first, n.first), max(d.last, n.last)
	d.startup = d.startup && n.startup
	d.forced = d.forced || n.forced
	d.asked = d.asked || n.asked
	d.all = d.all || n.all
	for _, c := range n.causes {
		if !slices.Contains(d.causes, c) {
			d.causes = append(d.causes, c)
		}
	}
	d.parents = append(d.parents, n.parents...)
	d.putAll(n.snapshot())
}

// put adds one change: the newer of a path replaces the older.
func (d *dirt) put(c Change) {
	d.own()
	d.stretch(c.Time)
	key := pathKey{c.Root, c.Path}
	i, ok := d.index[key]
	if !ok {
		d.index[key] = len(d.changes)
		d.changes = append(d.changes, c)
		return
	}
	c.Op = merged(d.changes[i].Op, c.Op)
	d.changes[i] = c
}

// putAll adds changes, each of another path. Where they are the first, it only
// borrows them.
func (d *dirt) putAll(list []Change) {
	if len(d.changes) > 0 {
		for _, c := range list {
			d.put(c)
		}
		return
	}
	d.changes, d.index = list, nil
	for _, c := range list {
		d.stretch(c.Time)
	}
}

// own makes the list one that may be changed.
func (d *dirt) own() {
	if d.index != nil {
		return
	}
	d.changes = slices.Clone(d.changes)
	d.index = make(map[pathKey]int, len(d.changes)+1)
	for i, c := range d.changes {
		d.index[pathKey{c.Root, c.Path}] = i
	}
}

// snapshot is the list for somebody else to keep.
func (d *dirt) snapshot() []Change {
	if d.index == nil {
		return d.changes
	}
	return slices.Clone(d.changes)
}

func (d *dirt) stretch(t time.Time) {
	if d.from.IsZero() || t.Before(d.from) {
		d.from = t
	}
	if t.After(d.to) {
		d.to = t
	}
}

// merged is what two changes of one path, the older first, are together.
func merged(older, newer string) string {
	switch {
	case older == "create" && newer != "remove" && newer != "rename":
		return "create"
	case older == "remove" && newer == "create":
		return "write"
	}
	return newer
}

// only leaves these of the changes, each of which is a reason of its own.
func (d *dirt) only(changes []Change) {
	d.all, d.reasons = false, reasons(0).with(ReasonChange)
	d.changes, d.index = changes, nil
}

// clone is a copy that shares nothing that may be changed.
func (d *dirt) clone() dirt {
	c := *d
	c.changes, c.index = d.snapshot(), nil
	c.causes, c.parents = slices.Clone(d.causes), slices.Clone(d.parents)
	return c
}

// paths are the changed ones in the order they came.
func paths(changes []Change) []string {
	out := make([]string, len(changes))
	for i, c := range changes {
		out[i] = c.Path
	}
	return out
}
