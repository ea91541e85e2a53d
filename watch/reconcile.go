package watch

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// pairing is how long a removed name may turn out to have moved: the two halves of a rename come
// up to 1.2 ms apart when several processes rename at once.
const pairing = 10 * time.Millisecond

// maxRounds bounds how long the reconciler runs after a tree that changes under its feet before it
// lets others have their turn.
const maxRounds = 40

// job is the marks of one directory.
type job struct {
	node  *node
	id    int32
	marks *marks
	depth int
}

// settle looks at all that is marked, and at what that shows to be wrong, until the tree is the disk.
func (w *Watcher) settle() {
	for range maxRounds {
		w.resolveStale()
		w.linkOthers()
		w.takeNewly()
		if !w.unsettled() {
			break
		}
		w.round()
	}
	if w.unsettled() {
		w.wake(time.Now().Add(time.Millisecond))
	}
	w.bury(func(until time.Time) bool { return until.IsZero() })
}

// unsettled tells whether there is something that waits to be looked at.
func (w *Watcher) unsettled() bool {
	return len(w.dirty) > 0 || len(w.hard.new)+len(w.newly) > 0 || slices.ContainsFunc(w.roots, func(r *root) bool { return r.stale })
}

// round works off the marks of this moment, folders before what is in them.
func (w *Watcher) round() {
	marked := w.dirty
	w.dirty = make(dirt)
	jobs := w.jobs(marked)
	w.survey(jobs)
	for _, j := range jobs {
		if len(j.marks.names) > 0 {
			w.work(j)
		}
	}
}

func (w *Watcher) jobs(marked dirt) []job {
	jobs := make([]job, 0, len(marked))
	for id, m := range marked {
		for _, n := range w.index.owners(id) {
			switch top, depth := n.top(); {
			case top.flags&isTop != 0:
				jobs = append(jobs, job{n, id, m, depth})
			case top.flags&inLimbo != 0:
				w.parked.of(id).back(m)
			}
		}
	}
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.id, b.id)) })
	return jobs
}

// survey turns "list again" into names to look at.
func (w *Watcher) survey(jobs []job) {
	r, began := &rescan{ground: &w.ground}, w.now
	var of []*job
	for i := range jobs {
		j := &jobs[i]
		if !j.marks.list && !j.marks.quiet || j.node.flags&cyclic != 0 {
			continue
		}
		r.quiet = r.quiet || j.marks.quiet
		r.jobs = append(r.jobs, &survey{node: j.node})
		of = append(of, j)
	}
	if len(of) <= inline {
		for _, s := range r.jobs {
			r.one(w.eye, s)
		}
	} else {
		w.gather(r.run())
	}
	for i, s := range r.jobs {
		w.surveyed(of[i], s, began)
	}
}

func (w *Watcher) surveyed(j *job, s *survey, began time.Time) {
	if s.err != nil {
		w.release(s.err)
		w.stumble(*j, s.err)
		j.marks = &marks{}
		return
	}
	n := j.node
	if n.flags&unreadable != 0 && n.id < 0 && !w.silent {
		w.again(n) // a watch was not to be had while it could not be read
	}
	// Nothing will tell later that a name in a polled directory is new. Unless none has come or gone, all are taken for new.
	hush := j.marks.quiet && !j.marks.list && (n.flags&polled == 0 || n.flags&fresh == 0 && s.ctime != 0 && s.ctime == n.ctime)
	n.flags &^= unreadable | fresh
	n.ino, n.dev, n.mode = s.ino, s.dev, s.mode
	if n.id > 0 && !w.at(n.dev).poll {
		n.flags &^= polled
	}
	n.ctime = w.settled(s.ctime, n.dev, began)
	if len(s.names) == 0 {
		return
	}
	// Twins share their marks; what one directory's listing says is for one of them.
	own := &marks{recovered: j.marks.recovered, tries: j.marks.tries}
	for name, k := range j.marks.names {
		own.put(name, k)
	}
	found := mark{at: w.now, recovered: own.recovered, quiet: hush}
	for _, name := range s.names {
		k, known := own.names[name]
		switch {
		case !known:
			own.put(name, found)
		case k.bits == 0:
			own.put(name, k.merge(found))
		}
	}
	j.marks = own
}

// settled is a directory's time of change, or 0 if it is so young that a further change may hide behind it.
func (w *Watcher) settled(ctime int64, dev uint16, listed time.Time) int64 {
	if ctime > listed.UnixNano()-w.at(dev).tick() {
		return 0
	}
	return ctime
}

// work looks at the marked names of one directory.
func (w *Watcher) work(j job) {
	n := j.node
	switch top, _ := n.top(); {
	case top.flags&inLimbo != 0:
		w.parked.of(j.id).back(j.marks)
		return
	case top.flags&isTop == 0 || n.id != j.id:
		return
	}
	fd, err := w.reach(n)
	if err != nil {
		w.stumble(j, err)
		return
	}
	w.heat(n)
	if n.flags&polled != 0 && slices.ContainsFunc(slices.Collect(maps.Values(j.marks.names)), func(k mark) bool { return k.bits != 0 }) {
		w.heard(n.dev)
	}
	var ed edit
	for _, name := range slices.Sorted(maps.Keys(j.marks.names)) {
		w.look(spot{n, fd, name, &ed}, j.marks.names[name])
	}
	n.files.apply(&ed)
	_ = w.close(fd)
	if n.flags&isTop != 0 {
		r := w.roots[n.root]
		r.stale = r.stale || r.narrow != r.mayNarrow()
	}
}

// reach pins a directory, and gives the watch back that the proof has left on another one in its place.
func (w *Watcher) reach(n *node) (int, error) {
	fd, err := w.pin(w.eye, n)
	w.release(err)
	return fd, err
}

func (w *Watcher) release(err error) {
	var other foreign
	if errors.As(err, &other) {
		w.disown(other.id)
	}
}

// stumble puts the marks of a directory back that could not be looked at.
func (w *Watcher) stumble(j job, err error) {
	n, m := j.node, j.marks
	switch {
	case isAway(err):
		if m.tries++; m.tries > maxRounds/2 {
			w.later(w.now.Add(5*time.Millisecond), n, m)
			return
		}
		if n.id != 0 {
			w.dirty.of(n.id).back(m)
		}
		w.again(n)
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		w.deny(n, m)
	default:
		w.later(w.now.Add(50*time.Millisecond), n, m)
	}
}

// maxDenied bounds how often a directory that may not be read is tried again. After that, the change of mode that lets us in
// is told as an event, if it is made in the tree.
const maxDenied = 6

// deny keeps a directory that cannot be read.
func (w *Watcher) deny(n *node, m *marks) {
	n.flags |= unreadable
	n.ctime = 0 // what was listed is not known
	w.warnDenied(n)
	if m.tries++; m.tries <= maxDenied {
		m.list = true
		w.later(w.now.Add(50*time.Millisecond<<m.tries), n, m)
		return
	}
	top, _ := n.top()
	if top.flags&isTop != 0 {
		w.roots[top.root].stale = true // it may be the way to the root that is closed
	}
}

// reopen has directories looked at that could not be read: one of them, or one above, has another mode.
func (w *Watcher) reopen(top *node) {
	if len(w.health.denied) == 0 {
		return
	}
	_ = top.walk(func(n *node) bool {
		if n.flags&unreadable != 0 && n.id != 0 {
			w.dirty.of(n.id).list = true
		}
		return true
	})
}

// again asks for a look at a directory's place in its parent.
func (w *Watcher) again(n *node) {
	for n.up != nil {
		if n.up.id != 0 {
			w.dirty.look(n.up.id, n.name, mark{at: w.now})
			return
		}
		n = n.up
	}
	if n.flags&isTop != 0 {
		w.roots[n.root].stale = true
	}
}

// spot is a name in an open directory, and the edit that collects what becomes of its entries.
type spot struct {
	node *node
	fd   int
	name string
	edit *edit
}

func (p spot) path() string { return p.node.pathOf(p.name) }

// look compares one name with the disk.
func (w *Watcher) look(p spot, k mark) {
	single := p.node.flags&only != 0
	if single && p.name != p.node.name {
		return
	}
	if k.bits != 0 { // which tells all that a refresh may ask
		delete(w.sought, linkAt{p.node, p.name})
	}
	err := w.eye.stat(p.fd, p.name)
	if k.quiet && w.notYet(p, &k, err) {
		return
	}
	switch {
	case troubleOf(err) == absent:
		w.lost(p, k)
	case troubleOf(err) == denied: // it may be listed, and not be gone into
		k.again++
		w.deny(p.node, &marks{names: map[string]mark{p.name: k}, tries: k.again})
	case err != nil:
		w.later(w.now.Add(50*time.Millisecond), p.node, &marks{names: map[string]mark{p.name: k}})
	case typeOf(w.eye.st.Mode) != Dir:
		w.lookFile(p, k)
	case single:
		w.roots[p.node.root].stale = true
	default:
		w.lookDir(p, k)
	}
}

// notYet sorts what a refresh has come upon, and says whether to leave it alone. If what is known and still wanted differs, its event
// is to come. What is not known is new, or only newly wanted: that shows when the events of now have been read.
func (w *Watcher) notYet(p spot, k *mark, err error) bool {
	top, _ := p.node.top()
	unwanted := w.skip
	_, known := p.node.files.find(p.name)
	if p.node.child(p.name) != nil {
		unwanted, known = w.prune, true
	}
	waiting := w.postponed[p.node] != nil // an event may be among what waits there, or a look after the folder has moved
	switch {
	case known && !waiting && unwanted != nil && unwanted(int(top.root), p.path()):
	case known && !waiting && p.node.flags&polled == 0:
		return true
	case known || waiting:
		k.quiet = false
	case !k.newly && err == nil:
		w.newly = append(w.newly, linkAt{p.node, p.name})
		return true
	}
	return false
}

// takeNewly has what is newly wanted taken in, without a report, when the events are read of what is new. Nobody's barrier is
// over before that.
func (w *Watcher) takeNewly() {
	found := w.newly
	if len(found) == 0 {
		return
	}
	w.newly = nil
	for _, l := range found {
		w.sought[l] = true
	}
	take := func() {
		for _, l := range found {
			if w.sought[l] && l.node.id != 0 {
				w.dirty.look(l.node.id, l.name, mark{at: w.now, quiet: true, newly: true})
			}
			delete(w.sought, l)
		}
	}
	if w.fence(take) {
		last := len(w.waits) - 1
		w.waits = slices.Insert(w.waits[:last], 0, w.waits[last])
	} else {
		take()
	}
}

// lost: nothing is at the name.
func (w *Watcher) lost(p spot, k mark) {
	c := p.node.child(p.name)
	if c != nil {
		w.detach(c, k)
	}
	i, known := p.node.files.find(p.name)
	switch {
	case known:
		w.lostFile(p, i, k)
	case c == nil:
		w.nameless(p, k)
	}
}

// nameless is for a file that was made with O_TMPFILE: its events come under "#" and its inode number, also
// after it was given a name.
func (w *Watcher) nameless(p spot, k mark) {
	number, ok := strings.CutPrefix(p.name, "#")
	ino, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return
	}
	for i := range p.node.files.list {
		if p.node.files.list[i].ino == ino {
			p.name = p.node.files.name(i)
			w.look(p, k)
			return
		}
	}
}

// lookDir: a directory is at the name, and its stat is in the eye.
func (w *Watcher) lookDir(p spot, k mark) {
	if i, known := p.node.files.find(p.name); known {
		w.lostFile(p, i, k)
		k = k.loud()
	}
	top, _ := p.node.top()
	if w.prune != nil && w.prune(int(top.root), p.path()) {
		if c := p.node.child(p.name); c != nil {
			w.detach(c, k)
		}
		return
	}
	fd, err := w.eye.openDir(p.fd, p.name, false)
	if err != nil {
		w.closedDir(p, k, err)
		return
	}
	w.meet(p, k, fd, 0)
}

// closedDir: a directory is there, and cannot be opened.
func (w *Watcher) closedDir(p spot, k mark, err error) {
	c := p.node.child(p.name)
	switch troubleOf(err) {
	case absent: // it went between the two calls
		w.suspect(p.node, p.name, k)
	case denied:
		if c == nil || c.ino != 0 && c.ino != w.eye.st.Ino {
			c = w.replace(p, c, k)
			c.flags |= fresh
			c.ino, c.mode = w.eye.st.Ino, w.eye.st.Mode
			w.enter(c)
			w.tell(c, k, false)
		}
		w.deny(c, &marks{list: true})
	default:
		w.later(w.now.Add(50*time.Millisecond), p.node, &marks{names: map[string]mark{p.name: k}})
	}
}

// replace puts a new node at a name.
func (w *Watcher) replace(p spot, old *node, k mark) *node {
	if old != nil {
		w.detach(old, k)
	}
	c := &node{name: p.name}
	p.node.putDir(c)
	return c
}

// meet finds out which directory it is that is open at fd, and takes fd over.
func (w *Watcher) meet(p spot, k mark, fd int, how flags) {
	id, err := w.watchNew(p.node, fd)
	if err := w.eye.self(fd); err != nil {
		_ = w.close(fd)
		w.later(w.now.Add(50*time.Millisecond), p.node, &marks{names: map[string]mark{p.name: k}})
		return
	}
	if err != nil && troubleOf(err) == absent {
		_ = w.close(fd)
		w.suspect(p.node, p.name, k)
		return
	}
	c := p.node.child(p.name)
	if c != nil && err != nil && c.ino == w.eye.st.Ino {
		id = c.id // no watch is to be had now; its own look will prove who it is
		w.dirty.of(c.id).list = true
		if c.id < 0 {
			w.faulty([]fault{{c, err}})
		}
	}
	if c != nil && w.isSame(c, id) {
		w.stillHere(p, c, k, id)
		_ = w.close(fd)
		return
	}
	if m := w.elsewhere(p, id, k.loud()); m != nil {
		k = k.loud()
		_ = w.close(fd)
		if c != nil {
			w.detach(c, k)
		}
		w.attach(m, p, k, how)
		return
	}
	c = w.replace(p, c, k)
	c.id, c.flags = id, fresh|how
	w.grow(c, fd, k)
}

// watchNew watches an open directory, unless watches are of no use.
func (w *Watcher) watchNew(up *node, fd int) (int32, error) {
	if w.silent {
		return 0, nil
	}
	id, err := w.watch(fd)
	if err != nil {
		return 0, err
	}
	return id, nil
}

// isSame tells whether the directory just met is node c; its stat is in the eye.
func (w *Watcher) isSame(c *node, id int32) bool {
	if c.id > 0 {
		return c.id == id
	}
	return c.id < 0 && (c.ino == w.eye.st.Ino || c.ino == 0)
}

// stillHere: the directory at the name is the one that was there.
func (w *Watcher) stillHere(p spot, c *node, k mark, id int32) {
	if id > 0 && c.id < 0 {
		w.rewatch(c, id)
	}
	if k.bits&inotify.Attrib != 0 || w.eye.st.Mode != c.mode && c.mode != 0 {
		w.touchDir(p, k)
		w.reopen(c)
	}
	c.ino, c.mode = w.eye.st.Ino, w.eye.st.Mode
	if k.bits&(inotify.MovedTo|inotify.MovedFrom) != 0 && !k.quiet { // somebody may have looked while it was away
		w.tellGone(c, k, time.Time{})
		w.tell(c, k, true)
	}
	if c.flags&(unreadable|fresh) != 0 && c.flags&cyclic == 0 {
		w.dirty.of(c.id).list = true
	}
}

// rewatch: a polled directory has a watch now.
func (w *Watcher) rewatch(c *node, id int32) {
	w.index.drop(c)
	c.id = id
	w.enter(c)
	w.dirty.of(id).list = true
}

// elsewhere finds the node that the directory was, if it has left that place.
func (w *Watcher) elsewhere(p spot, id int32, k mark) *node {
	if id <= 0 {
		return w.exiled(w.eye.st.Ino)
	}
	ino := w.eye.st.Ino
	for _, m := range w.index.owners(id) {
		top, _ := m.top()
		switch {
		case m == top && m.flags&isTop != 0:
			continue // a root inside another
		case p.node.within(m):
			w.again(m)
			continue
		case top == m && m.flags&inLimbo != 0:
			return m
		case m.ino != ino && m.ino != 0:
			continue
		}
		fd, err := w.reach(m)
		if err == nil {
			_ = w.close(fd)
			continue
		}
		if troubleOf(err) == strange {
			w.again(m) // it may be there all the same
		}
		w.detach(m, k)
		return m
	}
	return nil
}

// exiled finds a polled directory that has just been taken off, by its inode.
func (w *Watcher) exiled(ino uint64) *node {
	for _, x := range w.limbo {
		if x.node.id < 0 && x.node.ino == ino {
			return x.node
		}
	}
	return nil
}

// detach takes a subtree off. It is in limbo until it turns up elsewhere or its time is over.
func (w *Watcher) detach(c *node, k mark) {
	until := w.holdUntil(c, k)
	if !k.quiet && c.alive() { // what is in limbo was told with it
		w.tellGone(c, k, until)
	}
	c.up.dropDir(c)
	c.flags |= inLimbo
	w.limbo = append(w.limbo, exile{c, until})
}

// holdUntil is how long a removal may turn out to be one half of a rename; zero: it is none.
func (w *Watcher) holdUntil(n *node, k mark) (until time.Time) {
	switch {
	case k.bits&inotify.MovedFrom != 0:
		until = w.now.Add(pairing)
	case k.bits == 0 && n.flags&polled != 0: // the other half may be too young to be told
		until = w.now.Add(pairing + time.Duration(min(w.at(n.dev).tick(), int64(pairing*5))))
	default:
		return until
	}
	w.wake(until)
	return until
}

// attach puts a subtree from limbo to its new place.
func (w *Watcher) attach(m *node, p spot, k mark, how flags) {
	w.limbo = slices.DeleteFunc(w.limbo, func(x exile) bool { return x.node == m })
	m.flags = m.flags&^(inLimbo|viaLink) | how
	m.name = p.name
	p.node.putDir(m)
	w.tell(m, k, true)
	_ = m.walk(func(n *node) bool {
		w.relink(n)
		if marks, waits := w.parked[n.id]; waits {
			w.dirty.of(n.id).back(marks)
			delete(w.parked, n.id)
		}
		if w.prune != nil || w.skip != nil { // other rules may hold at the new place
			m := w.dirty.of(n.id)
			m.list = true
			n.ctime = 0
		}
		return true
	})
}

// exile is a subtree in limbo.
type exile struct {
	node  *node
	until time.Time
}

// bury gives back what is in limbo and cannot come back any more. What may be one half of a rename is due only after the queue
// was read once more.
func (w *Watcher) bury(due func(until time.Time) bool) {
	w.limbo = slices.DeleteFunc(w.limbo, func(x exile) bool {
		if !due(x.until) {
			return false
		}
		w.giveBack(x.node)
		return true
	})
	if len(w.limbo) == 0 {
		clear(w.parked)
	}
}

// buryAll does not wait for other halves: at a barrier, all that was to come has come.
func (w *Watcher) buryAll() {
	w.bury(func(time.Time) bool { return true })
	w.set.release(time.Time{})
}

// giveBack ends the watches of a subtree.
func (w *Watcher) giveBack(top *node) {
	top.flags |= isDead
	_ = top.walk(func(n *node) bool {
		w.unlink(n)
		id := n.id
		if id != 0 && w.index.drop(n) {
			w.disown(id)
		}
		n.id = 0
		return true
	})
}

// disown removes a watch that nobody needs.
func (w *Watcher) disown(id int32) {
	if id <= 0 || w.index.get(id) != nil || len(w.anchors[id]) > 0 {
		return
	}
	_ = w.unwatch(id) // it may be gone already, and that is what is wanted
}

// grow crawls a new directory and what is in it.
func (w *Watcher) grow(c *node, fd int, k mark) {
	crawl := newCrawl(&w.ground)
	crawl.lazy = w.mute
	crawl.stack = append(crawl.stack, visit{node: c, fd: fd})
	w.harvest(crawl)
	w.heat(c)
	w.tell(c, k, false)
}

// harvest runs a crawl and enters what it found.
func (w *Watcher) harvest(c *crawl) {
	if !c.small(w.eye) {
		w.gather(c.run())
	}
	h := &c.total
	for _, n := range h.nodes {
		w.enter(n)
		if n.flags&polled != 0 {
			w.wakePoll()
		}
	}
	for _, n := range h.again {
		w.again(n)
	}
	for _, n := range h.denied {
		w.deny(n, &marks{list: true})
	}
	for _, l := range h.links {
		w.linkCrawled(l)
	}
	w.faulty(h.faults)
	w.unseen = append(w.unseen, h.unseen...)
}

// enter puts a node into the index. A directory that is known elsewhere has moved, or is seen in two
// places; a look at the places tells.
func (w *Watcher) enter(n *node) {
	if n.id == 0 {
		w.lastPolled--
		n.id = w.lastPolled
	}
	if w.index.add(n) {
		return
	}
	for _, twin := range w.index.owners(n.id) {
		w.again(twin)
	}
}

// suspect asks for another look at a name in a later round.
func (w *Watcher) suspect(n *node, name string, k mark) {
	if n.id == 0 {
		w.again(n)
		return
	}
	w.dirty.look(n.id, name, k)
}
