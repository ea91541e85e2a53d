package watch

// In a big tree the first crawl does not look at files: a name, an inode and a type are enough to promise that every later
// change is reported. What a change is compared with comes when there is nothing else to do. A file whose time of
// change lies before the beginning has not changed since; of a file changed later nothing is taken for granted until
// its event comes.

// fillChunk is how many directories are filled before others have their turn.
const fillChunk = 16

// fill looks at files that were only listed.
func (w *Watcher) fill() {
	n := min(fillChunk, len(w.unseen))
	for _, d := range w.unseen[len(w.unseen)-n:] {
		if d.id != 0 && d.alive() {
			w.fillOne(d)
		}
	}
	w.unseen = w.unseen[:len(w.unseen)-n]
	if len(w.unseen) == 0 {
		w.unseen = nil
	}
}

func (w *Watcher) fillOne(n *node) {
	fd, err := w.openNode(w.eye, n)
	if err != nil {
		return // its events will tell
	}
	defer w.close(fd)
	if w.eye.self(fd) != nil || w.eye.st.Ino != n.ino {
		return
	}
	for i := range n.files.list {
		old := &n.files.list[i]
		if old.flags&unseen == 0 || w.eye.stat(fd, n.files.name(i)) != nil {
			continue
		}
		x := w.eye.entry()
		switch {
		case x.ino != old.ino || typeOf(x.mode) != File:
		case x.flags&linked != 0:
			w.link(n, n.files.name(i)) // which has it looked at
		case x.ctime < w.since:
			x.off, x.len = old.off, old.len
			*old = x
		}
	}
}

// guess is what a file that was only listed must have been like. If it has changed since the beginning, it is taken for
// written to: it is not known what it was like before.
func (w *Watcher) guess(was, x *entry) *entry {
	guessed := *x
	guessed.ino, guessed.flags = was.ino, was.flags
	if x.ctime >= w.since {
		guessed.mtime = 0
	}
	return &guessed
}
