package main

import (
	"path"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/content"
	"github.com/flinch-run/flinch/debounce"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// The middle of the path of an event: a change becomes an item for the lanes
// of the rules that want it, and a wave that has settled becomes triggers.

// seen is a change on its way through the debouncer. A rename travels as two:
// the old path removed, the new one made, each for the rules that want it.
type seen struct {
	watch.Change
	renamed bool // one half of a rename
}

type (
	input = debounce.Input[seen, watch.Mark]
	item  = debounce.Item[seen]
	wave  = debounce.Wave[seen, watch.Mark]
)

// items makes of a batch what the debouncer needs to know of it.
func (p *plan) items(changes []watch.Change) []item {
	items := make([]item, 0, len(changes))
	for _, c := range changes {
		if !p.isRoot(c.Root) {
			continue
		}
		if c.Op != watch.Rename {
			items = append(items, p.item(seen{Change: c}, op(c.Op)))
			continue
		}
		gone := c
		gone.Path, gone.From, gone.Op = c.From, "", watch.Remove
		c.Op = watch.Create
		items = append(items, p.item(seen{gone, true}, rule.Rename), p.item(seen{c, true}, rule.Rename))
	}
	return items
}

// item is one change with the facts of it and the rules that want it.
func (p *plan) item(s seen, kind rule.Ops) item {
	it := item{Value: s, Fact: debounce.Fact{Key: key(s.Root, s.Path), Time: s.Time, New: s.Op == watch.Create}}
	if isLock(s.Path) {
		it.Fact.Hold, it.Fact.Release = s.Op == watch.Create, s.Op == watch.Remove
		it.Fact.State = debounce.Noise
		return it
	}
	it.Fact.State = state(s.Change)
	if s.Type == watch.Dir {
		return it
	}
	for _, i := range p.sets[s.Root].Match(nil, p.named(s.Root, s.Path), false) {
		if p.rules[i].On().Has(kind) {
			it.Lanes = append(it.Lanes, i)
		}
	}
	return it
}

// named is the path that globs are asked about: of a root that is a file, whose
// path is ".", its name.
func (p *plan) named(root int, name string) string {
	if name == "." {
		return path.Base(p.roots[root])
	}
	return name
}

// key is the path with its root: two roots may hold files of one name.
func key(root int, name string) string {
	if root == 0 {
		return name
	}
	return string(rune(root)) + ":" + name
}

// state is how complete a change looked.
func state(c watch.Change) debounce.State {
	switch {
	case c.Type == watch.Dir:
		return debounce.Noise
	case c.Op == watch.Remove:
		return debounce.Gone
	case c.Open:
		return debounce.Open
	case c.Closed || c.Type != watch.File:
		return debounce.Whole
	}
	return debounce.Unknown
}

// op is a kind of change as the rules know it.
func op(o watch.Op) rule.Ops {
	switch o {
	case watch.Create:
		return rule.Create
	case watch.Write:
		return rule.Write
	case watch.Remove:
		return rule.Remove
	case watch.Rename:
		return rule.Rename
	default:
		return rule.Attrib
	}
}

// fold joins two changes of one path; false where they cancel out.
func fold(older, newer seen) (seen, bool) {
	joined := newer
	joined.Recovered = older.Recovered || newer.Recovered
	joined.Away = older.Away || newer.Away || older.Op == watch.Remove && newer.Op != watch.Remove
	switch {
	case older.Op == watch.Create && newer.Op == watch.Remove:
		return seen{}, false
	case older.Op == watch.Create:
		joined.Op, joined.From, joined.renamed = watch.Create, older.From, older.renamed
	case older.Op == watch.Remove && newer.Op != watch.Remove:
		joined.Op, joined.From, joined.renamed = watch.Write, "", false
	case older.Op == watch.Write && newer.Op == watch.Attrib:
		joined.Op = watch.Write
	}
	return joined, true
}

// triggers makes of a settled wave what the runner is told.
func (p *plan) triggers(w wave, last *lastSeen) runner.Wave {
	var out runner.Wave
	for _, m := range w.Marks {
		out.Marks = append(out.Marks, runner.Mark{ID: m.ID, Time: m.Time})
	}
	for _, b := range w.Batches {
		out.Triggers = append(out.Triggers, runner.Trigger{
			Rule: p.cfg.Rules[b.Lane].Name, First: b.First, Last: b.Last,
			Changes: p.changes(b.Items, last.of(p.cfg.Rules[b.Lane])),
		})
	}
	return out
}

// changes joins the halves of renames where both are in the batch.
func (p *plan) changes(items []seen, index *content.Index) []runner.Change {
	movedFrom := map[string]bool{}
	for _, s := range items {
		if s.Op == watch.Create && s.From != "" {
			movedFrom[key(s.Root, s.From)] = true
		}
	}
	changes := make([]runner.Change, 0, len(items))
	for _, s := range items {
		if s.Op == watch.Remove && s.renamed && movedFrom[key(s.Root, s.Path)] {
			continue
		}
		changes = append(changes, p.change(s, index))
	}
	return changes
}

func (p *plan) change(s seen, index *content.Index) runner.Change {
	c := runner.Change{
		Root: s.Root, Path: s.Path, From: s.From, Op: s.Op.String(), Type: s.Type.String(),
		Gone: s.Op == watch.Remove, Recovered: s.Recovered, Time: s.Time,
	}
	if c.From != "" {
		c.Op = watch.Rename.String()
	}
	c.Same = p.same(s, index)
	return c
}

// same tells whether the file holds what the rule saw when it was last handed to it. A file that was moved away and back is not
// one that was written to: a rule that ran meanwhile may not have found it.
func (p *plan) same(s seen, index *content.Index) (same bool) {
	switch path := p.abs(s.Root, s.Path); {
	case index == nil || s.Type == watch.Dir:
	case s.Open:
		same, _ = index.SameWhileOpen(path)
	case s.Away:
		same = index.Rewritten(path)
	default:
		same, _ = index.Same(path)
	}
	return same
}

// lastSeen remembers for each rule what the files held when they were last
// handed to it. After open only the goroutine of settle touches it.
type lastSeen struct {
	reader  *content.Reader
	indexes map[string]*content.Index
}

func newLastSeen() *lastSeen {
	return &lastSeen{reader: content.NewReader(content.Options{}), indexes: map[string]*content.Index{}}
}

// of is the index of a rule; nil for one that never compares.
func (l *lastSeen) of(r *config.Rule) *content.Index {
	if r.Content == config.ContentNever {
		return nil
	}
	index := l.indexes[r.Name]
	if index == nil {
		index = content.NewIndex(l.reader, 0)
		l.indexes[r.Name] = index
	}
	return index
}

// prime has a first look at what the rules react to for which identical bytes are
// never a change. It must be over before flinch says that it is ready: what is
// written after that is compared with it.
func (l *lastSeen) prime(p *plan) {
	for i, r := range p.cfg.Rules {
		if r.Content == config.ContentAlways {
			index := l.of(r)
			p.wanted(i, func(root int, path string) { index.Same(p.abs(root, path)) })
		}
	}
}

// abs is the absolute path of what lies in a root.
func (p *plan) abs(root int, name string) string {
	if name == "." {
		return p.roots[root]
	}
	return path.Join(p.roots[root], name)
}
