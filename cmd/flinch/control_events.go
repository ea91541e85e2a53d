package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// eventFilter is what `flinch events` leaves out, and when it has had enough.
type eventFilter struct {
	rule    string // only what this rule of the config would see
	on      []string
	ops     rule.Ops
	once    int // changes after which it ends; 0: never
	timeout time.Duration
	index   int // of the rule
}

func (e *eventPrinter) filterFlags(f *pflag.FlagSet) {
	f.StringVar(&e.filter.rule, "rule", "", "only changes that this `RULE` of flinch.toml reacts to")
	f.StringSliceVar(&e.filter.on, "on", nil, "only these `KINDS` of change: create,write,remove,rename,attrib")
	f.IntVar(&e.filter.once, "once", 0, "end after `N` changes")
	f.DurationVar(&e.filter.timeout, "timeout", 0, "end after this `DURATION`, with exit status 124")
}

// errEnough ends the printing after so many changes; errTimeIsOver is the cause of
// a context whose time is over.
var (
	errEnough     = errors.New("enough")
	errTimeIsOver = errors.New("the time is over")
)

// limit ends the context when the time is over.
func (f *eventFilter) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, f.timeout, errTimeIsOver)
}

// enough counts a change that was printed.
func (f *eventFilter) enough() bool {
	if f.once == 0 {
		return false
	}
	f.once--
	return f.once == 0
}

// kind tells whether changes of that kind are wanted.
func (f *eventFilter) kind(o watch.Op) bool { return f.ops == 0 || f.ops.Has(op(o)) }

// prepareRule makes the plan of the config whose rule filters.
func (e *eventPrinter) prepareRule(dirs []string) error {
	if len(dirs) > 0 {
		return errors.New("--rule: the roots are those of flinch.toml, name no others")
	}
	cfg, err := e.load(nil, false)
	if err != nil {
		return err
	}
	if e.plan, err = newPlan(cfg); err != nil {
		return err
	}
	if e.filter.index = slices.Index(cfg.Names(), e.filter.rule); e.filter.index < 0 {
		return &runner.UnknownRuleError{Name: e.filter.rule, Rules: cfg.Names()}
	}
	return nil
}

// wantedByRule tells whether the rule would see the change.
func (e *eventPrinter) wantedByRule(c watch.Change) bool {
	if ignore := e.plan.ignores[c.Root]; ignore.Affects(c.Path) {
		ignore.Reload(c.Path)
	}
	for _, it := range e.plan.items([]watch.Change{c}) {
		if slices.Contains(it.Lanes, e.filter.index) {
			return true
		}
	}
	return false
}
