package watch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// changed begins a change that is found now because of the mark k.
func (w *Watcher) changed(op Op, typ Type, k mark) Change {
	at := k.at
	if at.IsZero() {
		at = w.now
	}
	return Change{Op: op, Type: typ, Recovered: k.recovered, Time: at}
}

// tells is the root of a node, and whether what is found is a change. While the Watcher is mute, it is the state to begin with.
func (w *Watcher) tells(n *node) (root int, ok bool) {
	top, _ := n.top()
	return int(top.root), !w.mute
}

func (w *Watcher) appear(p spot, c Change, x *entry, k mark) {
	if root, ok := w.tells(p.node); ok {
		w.set.appear(place{root, p.path()}, c, identOf(p.node, x, k.bits&inotify.MovedTo != 0))
	}
}

func (w *Watcher) vanish(p spot, c Change, was *entry, k mark, until time.Time) {
	if root, ok := w.tells(p.node); ok {
		w.set.vanish(place{root, p.path()}, c, identOf(p.node, was, k.bits&inotify.MovedFrom != 0), until)
	}
}

func (w *Watcher) touched(p spot, c Change) {
	if root, ok := w.tells(p.node); ok {
		w.set.touch(place{root, p.path()}, c, c.Op == Write)
	}
}

// touchDir reports a change of a directory's mode or owner.
func (w *Watcher) touchDir(p spot, k mark) {
	if !k.quiet {
		w.touched(p, w.changed(Attrib, Dir, k))
	}
}

func identOf(n *node, x *entry, moved bool) ident {
	return ident{dev: n.dev, typ: typeOf(x.mode), ino: x.ino, size: x.size, mtime: x.mtime, moved: moved}
}

// dirIdent is unique for all times: watch descriptors are not given twice, nor are our own numbers.
func dirIdent(n *node) ident { return ident{typ: Dir, ino: uint64(uint32(n.id))} }

// tell reports a subtree that has come, or has come from elsewhere.
func (w *Watcher) tell(top *node, k mark, moved bool) {
	root, ok := w.tells(top)
	if !ok || k.quiet {
		return
	}
	w.tellTree(top, func(path string, typ Type, id ident) {
		id.moved = moved
		w.set.appear(place{root, path}, w.changed(Create, typ, k), id)
	})
}

// tellGone reports a subtree that is to be taken off; until then it may turn out to have moved.
func (w *Watcher) tellGone(top *node, k mark, until time.Time) {
	root, ok := w.tells(top)
	if !ok {
		return
	}
	w.tellTree(top, func(path string, typ Type, id ident) {
		id.moved = true
		w.set.vanish(place{root, path}, w.changed(Remove, typ, k), id, until)
	})
}

// tellTree goes through all paths of a subtree.
func (w *Watcher) tellTree(top *node, say func(path string, typ Type, id ident)) {
	_ = top.walk(func(n *node) bool {
		if n.up != nil && n.flags&viaLink == 0 {
			say(n.path(), Dir, dirIdent(n))
		}
		for i := range n.files.list {
			x := &n.files.list[i]
			say(n.pathOf(n.files.name(i)), typeOf(x.mode), identOf(n, x, false))
		}
		return true
	})
}

// behindLink: what goes through a link that has changed has changed, too. So it is with the files of a Kubernetes
// ConfigMap, which are links to ..data/name, where ..data is exchanged.
func (w *Watcher) behindLink(p spot, k mark) {
	if k.quiet || w.mute {
		return
	}
	f := &p.node.files
	for i := range f.list {
		if typeOf(f.list[i].mode) != Symlink || f.name(i) == p.name {
			continue
		}
		target, err := w.readlink(p.fd, f.name(i))
		if first, _, through := strings.Cut(strings.TrimPrefix(target, "./"), "/"); err == nil && through && first == p.name {
			w.touched(spot{node: p.node, name: f.name(i)}, w.changed(Write, Symlink, k))
		}
	}
}

func (w *Watcher) readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(n, 0)]), err
}

// rootEvent notes that a root went or came; a further turn in the same batch takes the one before back.
func (w *Watcher) rootEvent(root int, gone bool) {
	if w.mute {
		return
	}
	mine := func(e RootEvent) bool { return e.Root == root }
	if n := len(w.turns); gone && slices.IndexFunc(w.turns, mine) >= 0 && n > 0 {
		w.turns = slices.DeleteFunc(w.turns, mine)
	}
	w.turns = append(w.turns, RootEvent{Root: root, Gone: gone})
}

// earlier is the earlier of two moments, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return cmp.Or(a, b)
}
