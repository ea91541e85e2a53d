package watch

import (
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// hardLinks are the files that have other names: what is written through a name outside the tree is told
// only to those who watch the file itself.
type hardLinks struct {
	at  map[int32][]linkAt
	of  map[linkAt]int32
	ids map[inode]int32
	new map[inode]bool // a name more was found; the names that were known do not know of it yet
}

type inode struct {
	dev uint16
	ino uint64
}

// maxLinked bounds the watches that are spent on single files.
const maxLinked = 1024

const linkMask = inotify.Modify | inotify.CloseWrite | inotify.Attrib

func (h *hardLinks) put(id int32, l linkAt, of inode) {
	if h.at == nil {
		h.at, h.of, h.ids = make(map[int32][]linkAt), make(map[linkAt]int32), make(map[inode]int32)
	}
	h.at[id] = append(h.at[id], l)
	h.of[l] = id
	h.ids[of] = id
}

// search has the names of a file looked for.
func (h *hardLinks) search(of inode) {
	if h.new == nil {
		h.new = make(map[inode]bool)
	}
	h.new[of] = true
}

// forget drops a watch that is no more.
func (h *hardLinks) forget(id int32) {
	for _, l := range h.at[id] {
		delete(h.of, l)
	}
	delete(h.at, id)
	maps.DeleteFunc(h.ids, func(_ inode, other int32) bool { return id == other })
}

// remove takes one name off, and says whether its watch is of no more use.
func (h *hardLinks) remove(l linkAt) (id int32, last bool) {
	id, known := h.of[l]
	if !known {
		return 0, false
	}
	delete(h.of, l)
	h.at[id] = slices.DeleteFunc(h.at[id], func(m linkAt) bool { return m == l })
	if len(h.at[id]) > 0 {
		return id, false
	}
	h.forget(id)
	return id, true
}

// relink watches the files with several names in a directory that has come back from limbo: while it was there, names may
// have been found.
func (w *Watcher) relink(n *node) {
	if len(w.hard.ids)+len(w.hard.new) == 0 {
		return
	}
	for i := range n.files.list {
		of := inode{n.dev, n.files.list[i].ino}
		if _, known := w.hard.ids[of]; known || w.hard.new[of] {
			w.hard.search(of)
		}
	}
}

// link watches a file that has several names; false: its folder is not where it was.
func (w *Watcher) link(n *node, name string) bool {
	l := linkAt{n, name}
	if _, known := w.hard.of[l]; known || w.conn == nil || len(w.hard.of) >= maxLinked {
		return true
	}
	dir, err := w.reach(n)
	switch {
	case err == nil:
	case isAway(err):
		return false
	default:
		w.later(w.now.Add(50*time.Millisecond), n, &marks{names: map[string]mark{name: {}}})
		return true
	}
	defer w.close(dir)
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer w.close(fd)
	if w.eye.self(fd) != nil || typeOf(w.eye.st.Mode) != File {
		return true
	}
	id, err := w.conn.AddFD(fd, linkMask)
	if err != nil {
		return true
	}
	w.hard.put(int32(id), l, inode{n.dev, w.eye.st.Ino})
	w.suspect(n, name, mark{at: w.now}) // written to between the look and the watch
	return true
}

// linkOthers finds the other names of files that have got one more.
func (w *Watcher) linkOthers() {
	if len(w.hard.new) == 0 {
		return
	}
	wanted := w.hard.new
	w.hard.new = nil
	for _, r := range w.roots {
		if r.top == nil {
			continue
		}
		_ = r.top.walk(func(n *node) bool {
			for i := range n.files.list {
				if of := (inode{n.dev, n.files.list[i].ino}); wanted[of] && !w.link(n, n.files.name(i)) {
					w.hard.search(of) // the folder has moved meanwhile
					w.again(n)
				}
			}
			return true
		})
	}
}

// linkEvent: something happened to a file with several names.
func (w *Watcher) linkEvent(id int32, ev *inotify.Event) bool {
	links, ok := w.hard.at[id]
	for _, l := range links {
		switch {
		case l.node.id == 0:
		case ev.Mask&selfEvents != 0:
			w.dirty.look(l.node.id, l.name, mark{at: w.now})
		default:
			w.dirty.event(l.node.id, l.name, ev.Mask&linkMask, w.now)
		}
	}
	if ok && ev.Mask&inotify.Ignored != 0 {
		w.hard.forget(id)
	}
	return ok
}

// linkNew watches a file that was found to have several names, and has the others looked for.
func (w *Watcher) linkNew(l linkAt, ino uint64) {
	if _, known := w.hard.of[l]; known || len(w.hard.of) >= maxLinked {
		return
	}
	w.hard.search(inode{l.node.dev, ino})
	w.link(l.node, l.name)
}

// linkCrawled does so for a file that a crawl has found. The first crawl finds all names of a file.
func (w *Watcher) linkCrawled(l linkAt) {
	if i, known := l.node.files.find(l.name); known && !w.mute && l.node.files.list[i].flags&linked != 0 {
		w.linkNew(l, l.node.files.list[i].ino)
		return
	}
	w.link(l.node, l.name)
}

// unlink ends the watches of single files in a directory.
func (w *Watcher) unlink(n *node) {
	if len(w.hard.of) == 0 {
		return
	}
	for i := range n.files.list {
		w.unlinkName(n, n.files.name(i))
	}
}

func (w *Watcher) unlinkName(n *node, name string) {
	if id, last := w.hard.remove(linkAt{n, name}); last {
		w.disown(id)
	}
}
