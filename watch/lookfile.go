package watch

import (
	"time"

	"github.com/flinch-run/flinch/watch/inotify"
)

// lookFile: something that is no directory is at the name, and its stat is in the eye.
func (w *Watcher) lookFile(p spot, k mark) {
	x := w.eye.entry()
	if c := p.node.child(p.name); c != nil && c.flags&viaLink == 0 {
		w.detach(c, k)
		k = k.loud()
	}
	if w.skip != nil {
		if top, _ := p.node.top(); w.skip(int(top.root), p.path()) {
			if i, known := p.node.files.find(p.name); known {
				w.lostFile(p, i, k)
			}
			return
		}
	}
	i, known := p.node.files.find(p.name)
	if w.tooYoung(p, i, known, &x, k) {
		return
	}
	if p.node.flags&polled != 0 && !(known && x.equal(&p.node.files.list[i])) {
		w.untold(p.node, &x, k)
	}
	if known {
		w.compareFile(p, i, x, k)
	} else {
		w.newFile(p, x, k)
	}
	switch {
	case x.flags&linked != 0:
		w.linkNew(linkAt{p.node, p.name}, x.ino)
	case p.node.flags&only != 0: // a root is worth a watch of its own: names may be given to it anywhere
		w.link(p.node, p.name)
	}
	if w.follow {
		w.lookLink(p, &x, k)
	}
}

// maxPutOff bounds how often a young file is put off: it may be written to all the time.
const maxPutOff = 3

// tooYoung puts off what only polling tells of, while a further write might not move the times.
func (w *Watcher) tooYoung(p spot, i int, known bool, x *entry, k mark) bool {
	if k.bits != 0 || p.node.flags&polled == 0 {
		return false
	}
	tick := w.at(p.node.dev).tick()
	if max(x.mtime, x.ctime) <= time.Now().UnixNano()-tick {
		return false
	}
	if known && x.equal(&p.node.files.list[i]) {
		return false
	}
	if k.again >= maxPutOff {
		x.flags |= racy // it is written to all the time; the last of it must not be missed
		return false
	}
	p.node.ctime = 0 // there is a name that was not looked at
	w.soon(time.Duration(tick)+time.Millisecond, p, k)
	return true
}

func (w *Watcher) newFile(p spot, x entry, k mark) {
	c := w.changed(Create, typeOf(x.mode), k)
	w.openness(&c, &x, k)
	p.edit.add = append(p.edit.add, named{p.name, x})
	if !k.quiet {
		w.appear(p, c, &x, k)
	}
}

// openness says whether a writer is at work.
func (w *Watcher) openness(c *Change, x *entry, k mark) {
	if c.Type != File {
		return
	}
	c.Open, c.Closed = k.open, k.closed
	if k.open && k.bits&inotify.Modify == 0 && x.flags&linked != 0 {
		c.Open, c.Closed = false, true // a further name for a file that was there
	}
	x.flags &^= writing
	if c.Open {
		x.flags |= writing
	}
}

// compareFile: the name was there before.
func (w *Watcher) compareFile(p spot, i int, x entry, k mark) {
	old := &p.node.files.list[i]
	x.off, x.len = old.off, old.len
	if w.goesSoon(p, old, &x, k) {
		return
	}
	was := *old
	c := w.changed(w.opOf(&was, &x, k), typeOf(x.mode), k)
	c.Open = was.flags&writing != 0 && was.ino == x.ino
	if k.open || k.closed {
		w.openness(&c, &x, k)
	} else if c.Open {
		x.flags |= writing
	}
	*old = x
	if was.ino != x.ino {
		w.unlinkName(p.node, p.name)
	}
	if c.Op == 0 {
		return
	}
	w.told(p, c, &was, &x, k)
}

func (w *Watcher) told(p spot, c Change, was, x *entry, k mark) {
	switch {
	case was.ino != x.ino || typeOf(was.mode) != c.Type:
		// Another file took the place; the one that was there may have moved.
		gone := c
		gone.Type = typeOf(was.mode)
		w.vanish(p, gone, was, k, time.Time{})
		w.appear(p, c, x, k)
	default:
		w.touched(p, c)
	}
	if c.Type == Symlink {
		w.behindLink(p, k)
	}
}

// opOf is what happened to a name that is there and was there; 0: nothing that is to be told. A file that went and came
// back has changed, whatever it is like: somebody may have looked while it was away.
func (w *Watcher) opOf(was, x *entry, k mark) Op {
	started := k.open && was.flags&writing == 0 && typeOf(x.mode) == File && x.flags&linked == 0
	ended := k.closed && was.flags&writing != 0
	if was.flags&unseen != 0 {
		was = w.guess(was, x)
	}
	switch {
	case k.bits&(inotify.Modify|inotify.MovedTo|inotify.Delete|inotify.MovedFrom) != 0, was.ino != x.ino, was.size != x.size, was.mtime != x.mtime,
		typeOf(was.mode) != typeOf(x.mode), was.flags&racy != 0, started, ended:
		return Write
	case was.mode != x.mode:
		return Attrib
	case was.ctime == x.ctime:
		return 0
	case k.bits&inotify.Attrib != 0, (was.flags^x.flags)&linked != 0: // a name more or less
		return Attrib
	case k.bits == 0:
		// Nobody told what moved the time of change; a write whose time was set back would look like this.
		return Write
	}
	return 0
}

// goesSoon is for kernels before 5.17, which told of a removal a moment before the name was gone.
func (w *Watcher) goesSoon(p spot, old, x *entry, k mark) bool {
	if !k.gone || k.again > 0 || k.bits&inotify.Delete == 0 || old.ino != x.ino {
		return false
	}
	w.soon(5*time.Millisecond, p, k)
	return true
}

// lostFile: an entry is no more.
func (w *Watcher) lostFile(p spot, i int, k mark) {
	was := p.node.files.list[i]
	p.edit.gone = append(p.edit.gone, i)
	w.unlinkName(p.node, p.name)
	if k.quiet {
		return
	}
	until := w.holdUntil(p.node, k)
	c := w.changed(Remove, typeOf(was.mode), k)
	w.vanish(p, c, &was, k, until)
	if c.Type == Symlink {
		w.behindLink(p, k)
	}
}

// lookLink goes into a link to a directory, or out of it.
func (w *Watcher) lookLink(p spot, x *entry, k mark) {
	c := p.node.child(p.name)
	top, _ := p.node.top()
	leads := typeOf(x.mode) == Symlink && w.eye.statThrough(p.fd, p.name) == nil && typeOf(w.eye.st.Mode) == Dir &&
		(w.prune == nil || !w.prune(int(top.root), p.path()))
	if !leads {
		if c != nil {
			w.detach(c, k)
		}
		return
	}
	fd, err := w.eye.openDir(p.fd, p.name, true)
	switch troubleOf(err) {
	case fine:
	case strange:
		w.later(w.now.Add(50*time.Millisecond), p.node, &marks{names: map[string]mark{p.name: k}})
		return
	default:
		return
	}
	w.meet(p, k, fd, viaLink)
}
