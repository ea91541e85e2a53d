package watch

import (
	"slices"
	"strings"

	"github.com/flinch-run/flinch/watch/inotify"
)

// node is a directory that is watched or polled. Only the goroutine of the Watcher touches it; while
// a crawl builds a node that is not in the tree yet, it belongs to the worker that lists it.
type node struct {
	up    *node
	name  string
	dirs  []*node // by name
	files files
	ino   uint64
	ctime int64 // when it was listed; 0: list it again whatever it says
	id    int32 // its watch descriptor; negative: it has none and is polled; 0: it has lost it, or is no more
	dev   uint16
	mode  uint16
	root  uint16 // of the top of a tree: index of the root
	flags flags
}

type flags uint16

const (
	isTop      flags = 1 << iota // the top of a root's tree
	inLimbo                      // the top of a subtree that was taken off and may come back elsewhere
	isDead                       // given back
	only                         // a root that is a file: of this folder only that one name counts
	unreadable                   // no permission to look
	polled                       // events do not come, or not all
	viaLink                      // reached through a symbolic link
	cyclic                       // its own ancestor mounted or linked into it: not gone into
	fresh                        // not listed yet
)

// entry is what is remembered of a name that is no directory.
type entry struct {
	ino          uint64
	size         int64
	mtime, ctime int64 // ns
	off          uint32
	mode         uint16
	len          uint8
	flags        entryFlags
}

type entryFlags uint8

const (
	writing entryFlags = 1 << iota // reported as open
	linked                         // has more names than this one
	racy                           // changed so shortly before the look that a further change could not be told apart
	unseen                         // only inode and type are known, from the listing
)

// files is a directory's entries sorted by name, over one string that holds all names.
type files struct {
	list  []entry
	names string
}

func (f *files) name(i int) string {
	e := &f.list[i]
	return f.names[e.off : e.off+uint32(e.len)]
}

func (f *files) find(name string) (int, bool) {
	lo, hi := 0, len(f.list)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if f.name(mid) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(f.list) && f.name(lo) == name
}

// edit collects what one look at a directory changes, so that a big directory is rebuilt once.
type edit struct {
	add  []named
	gone []int // indexes
}

type named struct {
	name string
	entry
}

// apply carries an edit out. A few changes are made in place; the bytes of removed names stay until there are many.
func (f *files) apply(e *edit) {
	if len(e.gone) == 0 && len(e.add) == 0 {
		return
	}
	slices.Sort(e.gone)
	e.gone = slices.Compact(e.gone)
	slices.SortFunc(e.add, func(a, b named) int { return strings.Compare(a.name, b.name) })
	if len(e.gone)+len(e.add) > 4 || len(f.names) > 64*len(f.list)+1024 {
		f.merge(e)
		return
	}
	for _, i := range slices.Backward(e.gone) {
		f.list = slices.Delete(f.list, i, i+1)
	}
	for _, x := range e.add {
		i, _ := f.find(x.name)
		x.off, x.len = uint32(len(f.names)), uint8(len(x.name))
		f.names += x.name
		f.list = slices.Insert(f.list, i, x.entry)
	}
}

// merge makes both anew.
func (f *files) merge(e *edit) {
	next := files{list: make([]entry, 0, len(f.list)+len(e.add)-len(e.gone))}
	var names strings.Builder
	names.Grow(len(f.names) + 16*len(e.add))
	put := func(x entry, name string) {
		x.off, x.len = uint32(names.Len()), uint8(len(name))
		names.WriteString(name)
		next.list = append(next.list, x)
	}
	add, gone := e.add, e.gone
	for i := range f.list {
		if len(gone) > 0 && gone[0] == i {
			gone = gone[1:]
			continue
		}
		for name := f.name(i); len(add) > 0 && add[0].name < name; add = add[1:] {
			put(add[0].entry, add[0].name)
		}
		put(f.list[i], f.name(i))
	}
	for _, x := range add {
		put(x.entry, x.name)
	}
	next.names = names.String()
	*f = next
}

// build takes over entries that are sorted by name.
func (f *files) build(all []named) {
	n := 0
	for i := range all {
		n += len(all[i].name)
	}
	var names strings.Builder
	names.Grow(n)
	list := make([]entry, len(all))
	for i := range all {
		list[i] = all[i].entry
		list[i].off, list[i].len = uint32(names.Len()), uint8(len(all[i].name))
		names.WriteString(all[i].name)
	}
	f.list, f.names = list, names.String()
}

func (n *node) findDir(name string) (int, bool) {
	return slices.BinarySearchFunc(n.dirs, name, func(c *node, name string) int { return strings.Compare(c.name, name) })
}

func (n *node) child(name string) *node {
	if i, ok := n.findDir(name); ok {
		return n.dirs[i]
	}
	return nil
}

func (n *node) putDir(c *node) {
	i, _ := n.findDir(c.name)
	n.dirs = slices.Insert(n.dirs, i, c)
	c.up = n
}

func (n *node) dropDir(c *node) {
	if i, ok := n.findDir(c.name); ok && n.dirs[i] == c {
		n.dirs = slices.Delete(n.dirs, i, i+1)
	}
	c.up = nil
}

// top is the end of the chain upwards, and how many steps it is away.
func (n *node) top() (top *node, depth int) {
	for n.up != nil {
		n = n.up
		depth++
	}
	return n, depth
}

func (n *node) alive() bool {
	top, _ := n.top()
	return top.flags&isTop != 0
}

// within tells whether n is other or lies below it.
func (n *node) within(other *node) bool {
	for ; n != nil; n = n.up {
		if n == other {
			return true
		}
	}
	return false
}

// path is relative to the top, "" for the top itself.
func (n *node) path() string { return n.pathIn("") }

// pathOf is the path of a name in n, relative to the top.
func (n *node) pathOf(name string) string {
	if n.flags&only != 0 {
		return "."
	}
	if n.up == nil {
		return name
	}
	return n.pathIn(name)
}

func (n *node) pathIn(name string) string {
	size := len(name)
	for m := n; m.up != nil; m = m.up {
		size += len(m.name) + 1
	}
	if size == 0 {
		return ""
	}
	buf := make([]byte, size)
	at := size - len(name)
	copy(buf[at:], name)
	for m := n; m.up != nil; m = m.up {
		at--
		buf[at] = '/'
		at -= len(m.name)
		copy(buf[at:], m.name)
	}
	if name == "" {
		size--
	}
	return string(buf[:size])
}

// walk goes through n and everything below it, folders before their children, until yield says no.
func (n *node) walk(yield func(*node) bool) bool {
	stack := []*node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !yield(n) {
			return false
		}
		stack = append(stack, n.dirs...)
	}
	return true
}

// treeMask is what is asked of a watched directory. IN_CLOSE_WRITE is the only sign of what was written
// through a mapping or by kernel AIO. IN_EXCL_UNLINK is left out: with it, writes to a file that came
// from O_TMPFILE and linkat(2) would never be told.
const treeMask = inotify.Create | inotify.Delete | inotify.Modify | inotify.Attrib | inotify.MovedFrom |
	inotify.MovedTo | inotify.CloseWrite | inotify.DeleteSelf | inotify.MoveSelf | inotify.OnlyDir

// index finds the nodes that a watch descriptor stands for: one, or several where a bind mount, a
// followed link or overlapping roots show one directory at many paths. Descriptors only ever grow, so pages are
// denser than a map.
type index struct {
	pages map[int32]*page
	twins map[int32][]*node // all owners, where there are several
	size  int
}

const pageBits = 7

type page struct {
	nodes [1 << pageBits]*node
	used  int
}

func (x *index) get(id int32) *node {
	p := x.pages[id>>pageBits]
	if p == nil {
		return nil
	}
	return p.nodes[id&(1<<pageBits-1)]
}

// owners are all nodes of id.
func (x *index) owners(id int32) []*node {
	if all := x.twins[id]; all != nil {
		return all
	}
	if n := x.get(id); n != nil {
		return []*node{n}
	}
	return nil
}

// add makes n an owner of its id, and says whether it is the only one.
func (x *index) add(n *node) (alone bool) {
	if x.pages == nil {
		x.pages, x.twins = make(map[int32]*page), make(map[int32][]*node)
	}
	p := x.pages[n.id>>pageBits]
	if p == nil {
		p = new(page)
		x.pages[n.id>>pageBits] = p
	}
	x.size++
	slot := &p.nodes[n.id&(1<<pageBits-1)]
	if *slot == nil {
		*slot = n
		p.used++
		return true
	}
	if x.twins[n.id] == nil {
		x.twins[n.id] = []*node{*slot}
	}
	x.twins[n.id] = append(x.twins[n.id], n)
	return false
}

// drop takes n from the owners of its id, and says whether none is left.
func (x *index) drop(n *node) (last bool) {
	p := x.pages[n.id>>pageBits]
	if p == nil {
		return false
	}
	slot := &p.nodes[n.id&(1<<pageBits-1)]
	if all := x.twins[n.id]; all != nil {
		i := slices.Index(all, n)
		if i < 0 {
			return false
		}
		all = slices.Delete(slices.Clone(all), i, i+1)
		x.twins[n.id] = all
		*slot = all[0]
		if len(all) == 1 {
			delete(x.twins, n.id)
		}
		x.size--
		return false
	}
	if *slot != n {
		return false
	}
	*slot = nil
	x.size--
	if p.used--; p.used == 0 {
		delete(x.pages, n.id>>pageBits)
	}
	return true
}
