package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
)

// Explain implements [control.Backend].
func (b *backend) Explain(ctx context.Context, paths []string) ([]control.Explanation, error) {
	p := b.plan()
	list := make([]control.Explanation, 0, len(paths))
	wanted := map[pathKey][]int{}
	for _, path := range paths {
		e := p.explanation(path)
		if root, rel := p.locate(path); root >= 0 {
			wanted[pathKey{root, rel}] = append(wanted[pathKey{root, rel}], len(list))
		}
		list = append(list, e)
	}
	err := b.history.ask(ctx, func(m *memory) { m.fates(wanted, list) })
	return list, wireError(err)
}

type pathKey struct {
	root int
	path string
}

// explanation is what rules make of a path, as the config and the disk are now.
func (p *plan) explanation(path string) control.Explanation {
	a := p.explain(path)
	e := control.Explanation{Path: a.Path, Root: a.Root, Why: a.Why}
	for _, r := range a.Rules {
		e.Rules = append(e.Rules, control.RuleView{
			Rule: r.Rule, Reacts: r.Reacts, Decision: r.Decision, Why: r.Why, Where: r.Where, Pattern: r.Pattern,
		})
	}
	return e
}

// fates adds to explanations what is remembered of their paths: when a change was
// seen last, and what came of it.
func (m *memory) fates(wanted map[pathKey][]int, list []control.Explanation) {
	for _, b := range slices.Backward(m.batches) {
		b.each(func(root int, c runner.Change) {
			for _, path := range []string{c.Path, c.From} {
				for _, i := range wanted[pathKey{root, path}] {
					if path != "" && list[i].Seen.IsZero() {
						list[i].Seen, list[i].Op, list[i].Batch = c.Time, c.Op, b.number
						list[i].Fate = b.fate(pathKey{root, path})
					}
				}
			}
		})
	}
	for _, r := range m.runs {
		for _, c := range r.started.Changes {
			for _, i := range wanted[pathKey{c.Root, c.Path}] {
				if e := &list[i]; !e.Seen.IsZero() && !c.Time.Before(e.Seen) {
					e.Runs = append(e.Runs, control.Cause{Rule: r.started.Rule, Run: uint64(r.started.Run)})
				}
			}
		}
	}
}

// each calls f with every change of the batch.
func (b *pastBatch) each(f func(root int, c runner.Change)) {
	for _, t := range b.triggers {
		for _, c := range t.Changes {
			f(c.Root, c)
		}
	}
	for _, s := range b.strays {
		f(s.root, runner.Change{Path: s.path, Op: s.op, Type: s.typ, Time: s.time})
	}
}

// fate is what became of one path of the batch, but for runs.
func (b *pastBatch) fate(k pathKey) (fate []string) {
	for _, s := range b.strays {
		if s.root == k.root && s.path == k.path {
			fate = append(fate, s.reason())
		}
	}
	for _, n := range b.notes {
		if slices.ContainsFunc(n.paths, func(c runner.Change) bool { return c.Root == k.root && (c.Path == k.path || c.From == k.path) }) {
			fate = append(fate, n.text())
		}
	}
	return fate
}

// text is a note in words.
func (n batchNote) text() string {
	what := map[runner.EventKind]string{
		runner.EventSuppressed: "not run", runner.EventStale: "dropped, its result is stale", runner.EventSkipped: "not run",
		runner.EventWaiting: "waits", runner.EventSignalled: "signalled instead of restarted",
	}[n.kind]
	if n.why != "" {
		what += ": " + n.why
	}
	return n.rule + " " + what
}

// reason says why no rule wants a change.
func (s *stray) reason() string {
	e := s.plan.sets[s.root].Explain(s.path, s.typ == "dir")
	if e.Pruned.Decision != rule.Unmatched {
		return e.Pruned.Text
	}
	var reasons []string
	for i, v := range e.Rules {
		text := v.Text
		if v.Decision == rule.Matched && s.kind != 0 {
			text = fmt.Sprintf("on leaves out %s", s.kind)
		}
		if s.typ == "dir" && v.Decision == rule.Matched {
			text = "folders themselves run nothing"
		}
		if line := s.plan.cfg.Rules[i].Name + ": " + text; !slices.Contains(reasons, line) {
			reasons = append(reasons, line)
		}
	}
	return strings.Join(reasons, "; ")
}

// Batches implements [control.Backend].
func (b *backend) Batches(ctx context.Context) ([]control.Batch, error) {
	var past []pastBatch
	if err := b.history.ask(ctx, func(m *memory) {
		for _, x := range m.batches {
			past = append(past, *x)
		}
	}); err != nil {
		return nil, wireError(err)
	}
	list := make([]control.Batch, 0, len(past))
	for i := range past {
		list = append(list, past[i].wire())
	}
	return list, nil
}

// batchChanges is how many changes of a batch a list of batches has.
const batchChanges = 50

// wire is the batch as clients see it.
func (b *pastBatch) wire() control.Batch {
	w := control.Batch{Batch: b.number, Time: b.time, Runs: slices.Clone(b.runs), Changes: []control.Change{}}
	for i := range b.strays[:min(len(b.strays), batchChanges)] {
		s := &b.strays[i]
		c := wireChange(s.plan, runner.Change{Root: s.root, Path: s.path, Op: s.op, Type: s.typ, Time: s.time})
		c.Why = s.reason()
		w.Changes = append(w.Changes, c)
	}
	changes := b.changes()
	for _, c := range changes[:min(len(changes), batchChanges)] {
		x := wireChange(b.plan, c)
		x.Why = strings.Join(b.fate(pathKey{c.Root, c.Path}), "; ")
		w.Changes = append(w.Changes, x)
	}
	w.More = len(changes) + len(b.strays) + b.more - len(w.Changes)
	switch {
	case len(w.Runs) > 0:
	case b.number == 0:
		w.Why = "no rule wants any of it"
	case len(b.notes) > 0:
		var notes []string
		for _, n := range b.notes {
			if text := n.text(); !slices.Contains(notes, text) {
				notes = append(notes, text)
			}
		}
		w.Why = strings.Join(notes, "; ")
	default:
		w.Why = "its rules have not run yet"
	}
	return w
}
