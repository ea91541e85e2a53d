package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// Explain implements [control.Backend].
func (b *backend) Explain(ctx context.Context, paths []string, brief bool) ([]control.Explanation, error) {
	p, stats := b.plan(), b.figures.get()
	list := make([]control.Explanation, 0, len(paths))
	wanted := map[pathKey][]int{}
	for _, name := range paths {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.roots[0], name)
		}
		e := control.Explanation{Path: name}
		if !brief {
			e = p.explanation(name)
		}
		if root, rel := p.locate(name); root >= 0 {
			wanted[pathKey{root, rel}] = append(wanted[pathKey{root, rel}], len(list))
			e.Watch = p.watchedBy(stats, root, rel)
		}
		list = append(list, e)
	}
	err := b.history.ask(ctx, func(m *memory) { m.fates(wanted, list) })
	return list, wireError(err)
}

// watchedBy says how changes in the path's folder are seen.
func (p *plan) watchedBy(stats watch.Stats, root int, rel string) string {
	for at := rel; at != "."; {
		if at = path.Dir(at); p.prune(root, at) {
			return ""
		}
	}
	info, err := os.Stat(p.abs(root, path.Dir(rel)))
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	for _, m := range stats.Mounts {
		if ok && m.Device == uint64(st.Dev) {
			return m.Backend
		}
	}
	return stats.Backend
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
						list[i].Fate, list[i].Runs = b.fate(pathKey{root, path}), b.runsFor(pathKey{root, path})
					}
				}
			}
		})
	}
	for _, r := range m.runs {
		for _, c := range r.started.Changes {
			for _, i := range wanted[pathKey{c.Root, c.Path}] {
				cause := control.Cause{Rule: r.started.Rule, Run: uint64(r.started.Run)}
				if e := &list[i]; !e.Seen.IsZero() && !c.Time.Before(e.Seen) && !slices.Contains(e.Runs, cause) {
					e.Runs = append(e.Runs, cause)
				}
			}
		}
	}
}

// runsFor are the batch's runs of rules that were handed the path.
func (b *pastBatch) runsFor(k pathKey) (runs []control.Cause) {
	for _, run := range b.runs {
		if slices.ContainsFunc(b.triggers, func(t runner.Trigger) bool {
			return t.Rule == run.Rule && slices.ContainsFunc(t.Changes, func(c runner.Change) bool { return c.Root == k.root && c.Path == k.path })
		}) {
			runs = append(runs, run)
		}
	}
	return runs
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

// fate is what a running flinch knows of a path.
type fate struct {
	Watch string          `json:"watch,omitempty"`
	Seen  time.Time       `json:"seen,omitzero"`
	Op    string          `json:"op,omitempty"`
	Batch uint64          `json:"batch,omitempty"`
	Runs  []control.Cause `json:"runs,omitempty"`
	Fate  []string        `json:"fate,omitempty"`
}

// fates asks the flinch that runs here, if one does, what happened to the paths
// last; nil: it is not known. What rules make of them is answered without it.
func (o *options) fates(paths []string) []*fate {
	list := o.askExplain(paths, true)
	if list == nil {
		return nil
	}
	fates := make([]*fate, len(list))
	for i := range list {
		fates[i] = fateOf(&list[i])
	}
	return fates
}

func fateOf(e *control.Explanation) *fate {
	return &fate{Watch: e.Watch, Seen: e.Seen, Op: e.Op, Batch: e.Batch, Runs: e.Runs, Fate: e.Fate}
}

// askExplain asks the flinch that runs here; nil: there is none, or it does not answer.
func (o *options) askExplain(paths []string, brief bool) []control.Explanation {
	c, err := o.find()
	if err != nil {
		return nil
	}
	defer c.Close()
	abs, err := absolute(paths)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), fatePatience)
	defer cancel()
	list, err := c.Explain(ctx, abs, brief)
	if err != nil || len(list) != len(paths) {
		return nil
	}
	return list
}

// fatePatience is how long explain waits for a flinch that runs here.
const fatePatience = 2 * time.Second

func (f *fate) text(b []byte) []byte {
	switch {
	case f == nil || f.Seen.IsZero() && f.Watch == "":
		return b
	case f.Seen.IsZero():
		return fmt.Appendf(b, "  watched by %s; no change of it is remembered\n", f.Watch)
	}
	b = fmt.Appendf(b, "  last %s seen %s", f.Op, clock(f.Seen))
	if f.Batch != 0 {
		b = fmt.Appendf(b, ", in batch %d", f.Batch)
	}
	for i, r := range f.Runs {
		if i == 0 {
			b = append(b, ": ran"...)
		}
		b = fmt.Appendf(b, " %s (run %d)", r.Rule, r.Run)
	}
	b = append(b, '\n')
	for _, text := range f.Fate {
		b = fmt.Appendf(b, "  then: %s\n", text)
	}
	return b
}
