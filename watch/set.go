package watch

import (
	"cmp"
	"path"
	"slices"
	"time"
)

// Set folds changes into net changes, one a path: made and removed is nothing, removed and made
// again is a write, renamed twice is one rename. The zero Set is empty and ready. It is not safe for
// concurrent use.
type Set struct {
	items map[place]*item
	live  int    // items with a net change that may be told
	holds []hold // in the order of time
}

// place is a path of one root.
type place struct {
	root int
	path string
}

// ident tells whether two paths at two moments name the same thing. The zero ident is unknown.
type ident struct {
	dev         uint16
	typ         Type
	ino         uint64 // of a folder: the watch descriptor, which is never given twice
	size, mtime int64
	moved       bool // the kernel said that it was moved
}

// item is what is known of a path since the last batch: whether it existed before and exists now.
type item struct {
	last          Change // its Op is not used
	before, after bool
	was, is       ident
	wasType       Type
	wrote, attrib bool
	replaced      bool
	retyped       bool   // a folder was told to be written: something else was there
	origin        string // explicit Rename: the path where this was before the batch
	held          bool
	twin          *item // in mates: a further path that named the same thing
}

// hold is a removal that is not told before its time: its other half may be still unread.
type hold struct {
	at    place
	until time.Time
}

// Add folds one change in.
func (s *Set) Add(c Change) {
	at := place{c.Root, c.Path}
	switch c.Op {
	case Create:
		s.appear(at, c, ident{})
	case Write:
		s.touch(at, c, true)
	case Attrib:
		s.touch(at, c, false)
	case Remove:
		s.vanish(at, c, ident{}, time.Time{})
	case Rename:
		s.rename(at, c)
	}
}

// Changes lists the net changes in the order that [Batch] describes.
func (s *Set) Changes() []Change {
	changes, _ := s.net()
	return changes
}

// Len is how many paths have a net change; the two paths of a rename count as two.
func (s *Set) Len() int { return s.live }

func (s *Set) rename(at place, c Change) {
	from := place{c.Root, c.From}
	origin := c.From
	if it := s.items[from]; it != nil && !it.before {
		origin = it.origin
	}
	gone := c
	gone.Path = c.From
	s.vanish(from, gone, ident{}, time.Time{})
	s.appear(at, c, ident{})
	s.items[at].origin = origin
}

// appear says that at came into being as id.
func (s *Set) appear(at place, c Change, id ident) {
	it, known := s.item(at, false)
	s.live -= it.counts()
	it.is, it.held = id, false
	if known && it.before && !it.after {
		it.replaced = true // also by itself: somebody may have looked while it was away
	} else if it.after {
		it.wrote = true
	}
	it.after, it.origin = true, ""
	it.fold(at, c)
	s.live += it.counts()
}

// vanish says that at, which was id, is no more. Until the time given it may turn out to have moved.
func (s *Set) vanish(at place, c Change, id ident, until time.Time) {
	it, known := s.item(at, true)
	s.live -= it.counts()
	if it.before && (!known || (it.was == ident{} && !it.replaced)) {
		it.was = id
	}
	if !known {
		it.wasType = c.Type
	}
	it.after, it.is, it.origin = false, ident{}, ""
	it.held = !until.IsZero() && it.before
	if it.held {
		s.holds = append(s.holds, hold{at, until})
	}
	it.fold(at, c)
	s.live += it.counts()
}

// touch says that at is there, was there, and has changed.
func (s *Set) touch(at place, c Change, wrote bool) {
	it, known := s.item(at, true)
	s.live -= it.counts()
	if !known {
		it.wasType = c.Type
	}
	it.after = true
	it.wrote = it.wrote || wrote
	it.attrib = it.attrib || !wrote
	it.retyped = it.retyped || wrote && c.Type == Dir
	it.fold(at, c)
	s.live += it.counts()
}

func (s *Set) item(at place, before bool) (it *item, known bool) {
	if it = s.items[at]; it != nil {
		return it, true
	}
	if s.items == nil {
		s.items = make(map[place]*item)
	}
	it = &item{before: before, after: before}
	s.items[at] = it
	return it, false
}

func (it *item) fold(at place, c Change) {
	recovered := it.last.Recovered || c.Recovered
	if it.last.Time.After(c.Time) {
		c.Time = it.last.Time
	}
	it.last = c
	it.last.Root, it.last.Path, it.last.From, it.last.Recovered = at.root, at.path, "", recovered
}

// op is the net change, 0 if there is none.
func (it *item) op() Op {
	switch {
	case !it.before && !it.after:
		return 0
	case !it.before:
		return Create
	case !it.after:
		return Remove
	case it.retyped || it.last.Type != it.wasType && it.wasType != 0:
		return Write
	case it.last.Type == Dir:
		it.wrote, it.replaced = false, false
	}
	switch {
	case it.wrote || it.replaced:
		return Write
	case it.attrib:
		return Attrib
	}
	return 0
}

func (it *item) counts() int {
	if it.held || it.op() == 0 {
		return 0
	}
	return 1
}

// release lets the removals go whose time has come; the zero time: all.
func (s *Set) release(now time.Time) {
	for len(s.holds) > 0 && (now.IsZero() || !s.holds[0].until.After(now)) {
		if it := s.items[s.holds[0].at]; it != nil && it.held {
			it.held = false
			s.live += it.counts()
		}
		s.holds = s.holds[1:]
	}
}

// take empties the set, but for what is held back.
func (s *Set) take() []Change {
	changes, held := s.net()
	s.items, s.live = held, 0
	if len(held) == 0 {
		s.items, s.holds = nil, nil
	}
	return changes
}

func (s *Set) net() (changes []Change, held map[place]*item) {
	changes = make([]Change, 0, s.live)
	mates := s.mates()
	joined := make(map[*item]bool, len(mates))
	for at, it := range s.items {
		if op := it.op(); op == Create {
			changes = append(changes, s.born(at, it, mates, joined))
		} else if op == Write || op == Attrib {
			it.last.Op, it.last.Away = op, it.replaced
			changes = append(changes, it.last)
		}
	}
	for at, it := range s.items {
		if it.op() != Remove || joined[it] {
			continue
		}
		if it.held {
			held = keep(held, at, it)
			continue
		}
		it.last.Op, it.last.Type = Remove, it.wasType
		it.last.Open, it.last.Closed = false, false
		changes = append(changes, it.last)
	}
	slices.SortFunc(changes, inOrder)
	return changes, held
}

func keep(held map[place]*item, at place, it *item) map[place]*item {
	if held == nil {
		held = make(map[place]*item)
	}
	held[at] = it
	return held
}

// born is the change of a path that is new: a rename if what it names was at a path that is gone.
func (s *Set) born(at place, it *item, mates map[mate]*item, joined map[*item]bool) Change {
	c := it.last
	c.Op = Create
	from := it.mate(at, mates[mateOf(at.root, it.is)], joined)
	if it.origin != "" {
		from = s.items[place{at.root, it.origin}]
	}
	if from != nil && !joined[from] && from.op() == Remove && (it.origin != "" || it.is.same(from.was)) {
		joined[from] = true
		c.Op, c.From = Rename, from.last.Path
		c.Recovered = c.Recovered || from.last.Recovered
	}
	return c
}

// mate finds the other half of a rename among the removed paths that named the same thing. A file with several names has several
// of them; one that kept its name in its folder comes first.
func (it *item) mate(at place, of *item, joined map[*item]bool) (found *item) {
	for ; of != nil; of = of.twin {
		if joined[of] || !it.is.same(of.was) {
			continue
		}
		if path.Base(of.last.Path) == path.Base(at.path) {
			return of
		}
		found = of
	}
	return found
}

// mate is how the two halves of a rename find each other.
type mate struct {
	root int
	dev  uint16
	typ  Type
	ino  uint64
}

func mateOf(root int, id ident) mate { return mate{root, id.dev, id.typ, id.ino} }

// mates are the removed paths by what they named.
func (s *Set) mates() map[mate]*item {
	var mates map[mate]*item
	for at, it := range s.items {
		if it.was == (ident{}) || it.op() != Remove {
			continue
		}
		if mates == nil {
			mates = make(map[mate]*item)
		}
		m := mateOf(at.root, it.was)
		it.twin = mates[m]
		mates[m] = it
	}
	return mates
}

// same tells whether the two are one thing. An inode number alone is no proof: it is given again at once.
func (id ident) same(other ident) bool {
	switch {
	case id.ino == 0 || id.ino != other.ino || id.dev != other.dev || id.typ != other.typ:
		return false
	case id.typ == Dir:
		return true
	}
	return id.moved && other.moved || id.size == other.size && id.mtime == other.mtime
}

func inOrder(a, b Change) int {
	if ra, rb := a.Op == Remove, b.Op == Remove; ra != rb {
		if ra {
			return -1
		}
		return 1
	}
	order := cmp.Or(cmp.Compare(a.Root, b.Root), cmp.Compare(a.Path, b.Path))
	if a.Op == Remove {
		return -order
	}
	return order
}
