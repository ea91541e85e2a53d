package watch

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// crawl builds fresh nodes: watch a directory, list it through the same descriptor, remember what is in
// it, go on with the directories in it. Whatever is made after the watch is in the kernel's queue, what was made
// before is in the listing. Several workers share one stack; a node on it belongs to the worker
// that takes it.
type crawl struct {
	*ground
	full  atomic.Bool // no more watches are to be had
	began int64       // ns: when the crawl began
	lazy  bool        // files past the first few thousand are only listed
	seen  atomic.Int64

	mu    sync.Mutex
	more  sync.Cond
	stack []visit
	busy  int
	open  int // descriptors that wait in the stack
	total harvest
}

// ground is what all who look at the disk share. The Watcher's goroutine changes bases, while no worker runs.
type ground struct {
	kernel
	*devices
	prune, skip func(root int, path string) bool
	follow      bool
	stop        <-chan struct{} // closed: do not go on
	since       int64           // ns: when the first crawl began, and a tick before
	bases       []string        // the path of each root, free of symbolic links; "" while it is gone
}

// visit is a directory to list. Children are opened through their parent's descriptor, so
// that a rename above cannot lead astray.
type visit struct {
	node *node
	from *handle // of the parent; nil: fd is the directory itself
	fd   int
}

// handle is a descriptor that is closed with its last user.
type handle struct {
	fd    int
	users atomic.Int32
}

// harvest is what a crawl found.
type harvest struct {
	nodes  []*node // to be entered into the index
	again  []*node // vanished or changed under the crawl: look at their name again
	links  []linkAt
	unseen []*node // in which files were only listed
	denied []*node
	faults []fault
}

type linkAt struct {
	node *node
	name string
}

type fault struct {
	node *node
	err  error
}

// maxOpen bounds the descriptors that wait; beyond it children are opened by path again.
const maxOpen = 128

// lazyAfter is how many files the first crawl looks at; a small tree is known in whole when the watch stands.
const lazyAfter = 5000

// inline is how many directories are looked at before it pays to start workers.
const inline = 24

func newCrawl(g *ground) *crawl {
	c := &crawl{ground: g, began: time.Now().UnixNano()}
	c.more.L = &c.mu
	return c
}

// small works a bounded part off without another goroutine, and says whether that was all.
func (c *crawl) small(e *eye) bool {
	for range inline {
		if len(c.stack) == 0 {
			return true
		}
		c.step(e, &c.total, c.pop())
	}
	return len(c.stack) == 0
}

// run starts workers for all that is on the stack, and closes the channel when it is done.
func (c *crawl) run() <-chan struct{} {
	done := make(chan struct{})
	var workers sync.WaitGroup
	for range min(8, 2*runtime.GOMAXPROCS(0)) {
		workers.Go(c.worker)
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	return done
}

func (c *crawl) worker() {
	e, h := newEye(c.kernel), new(harvest)
	for {
		v, ok := c.next()
		if !ok {
			break
		}
		c.step(e, h, v)
		c.finished()
	}
	c.mu.Lock()
	c.total.add(h)
	c.mu.Unlock()
}

func (c *crawl) next() (visit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.stack) == 0 {
		if c.busy == 0 {
			return visit{}, false
		}
		c.more.Wait()
	}
	if c.stopped() {
		c.drop()
		return visit{}, false
	}
	c.busy++
	return c.pop(), true
}

func (g *ground) stopped() bool {
	select {
	case <-g.stop:
		return true
	default:
		return false
	}
}

// drop gives up what waits in the stack.
func (c *crawl) drop() {
	for _, v := range c.stack {
		if v.from == nil {
			_ = c.close(v.fd)
		} else if v.from.users.Add(-1) == 0 && v.from.fd >= 0 {
			_ = c.close(v.from.fd)
		}
	}
	c.stack = nil
	c.more.Broadcast()
}

func (c *crawl) pop() visit {
	v := c.stack[len(c.stack)-1]
	c.stack = c.stack[:len(c.stack)-1]
	return v
}

func (c *crawl) finished() {
	c.mu.Lock()
	c.busy--
	if c.busy == 0 && len(c.stack) == 0 {
		c.more.Broadcast()
	}
	c.mu.Unlock()
}

// push puts children on the stack that are to be opened through fd, and takes fd over.
func (c *crawl) push(e *eye, children []*node, fd int) {
	if len(children) == 0 {
		_ = e.close(fd)
		return
	}
	c.mu.Lock()
	from := &handle{fd: fd}
	if c.open >= maxOpen {
		from.fd = -1
	} else {
		c.open++
	}
	from.users.Store(int32(len(children)))
	for _, n := range children {
		c.stack = append(c.stack, visit{node: n, from: from})
	}
	c.mu.Unlock()
	c.more.Broadcast()
	if from.fd < 0 {
		_ = e.close(fd)
	}
}

// step lists one directory.
func (c *crawl) step(e *eye, h *harvest, v visit) {
	fd, err := c.enter(e, v)
	n := v.node
	if err != nil {
		h.refuse(n, err)
		return
	}
	if err := c.watchNode(e, h, n, fd); err != nil {
		_ = e.close(fd)
		h.refuse(n, err)
		return
	}
	if n.flags&cyclic != 0 {
		_ = e.close(fd)
		return
	}
	if err := c.survey(e, h, n, fd); troubleOf(err) == denied {
		h.denied = append(h.denied, n)
		n.flags |= fresh | unreadable
	} else if err != nil {
		h.faults = append(h.faults, fault{n, err})
		n.flags |= fresh | polled
	}
	c.push(e, n.dirs, fd)
}

// refuse keeps a node that could not be opened, if it may be there.
func (h *harvest) refuse(n *node, err error) {
	switch troubleOf(err) {
	case absent:
		n.id = 0
		h.again = append(h.again, n)
		return
	case denied:
		n.flags |= unreadable | fresh
		h.denied = append(h.denied, n)
	default:
		n.flags |= polled | fresh
		h.faults = append(h.faults, fault{n, err})
	}
	h.nodes = append(h.nodes, n)
}

// enter opens the directory of a visit.
func (c *crawl) enter(e *eye, v visit) (int, error) {
	if v.from == nil {
		return v.fd, nil
	}
	if v.from.fd < 0 {
		return c.enterByPath(e, v.node)
	}
	fd, err := e.openDir(v.from.fd, v.node.name, v.node.flags&viaLink != 0)
	if v.from.users.Add(-1) == 0 {
		_ = e.close(v.from.fd)
		c.mu.Lock()
		c.open--
		c.mu.Unlock()
	}
	return fd, err
}

// enterByPath opens the parent by its path, makes sure that it is the one that was listed, and the child through it.
func (c *crawl) enterByPath(e *eye, n *node) (int, error) {
	up, err := c.openNode(e, n.up)
	if err != nil {
		return -1, err
	}
	defer e.close(up)
	if err := e.self(up); err != nil {
		return -1, err
	}
	if e.st.Ino != n.up.ino {
		return -1, unix.ENOENT
	}
	return e.openDir(up, n.name, n.flags&viaLink != 0)
}

// watchNode sets the watch and takes the directory's own state down.
func (c *crawl) watchNode(e *eye, h *harvest, n *node, fd int) error {
	if err := e.self(fd); err != nil {
		return err
	}
	n.ino, n.ctime, n.mode = e.st.Ino, nanos(e.st.Ctime), e.st.Mode
	dev := c.devices.of(e, fd)
	n.dev = dev.index
	if n.ctime >= c.began-dev.tick() {
		n.ctime = 0 // a further change in this tick might not move it
	}
	if dev.never && n.up != nil || c.closes(n, fd) {
		n.flags |= cyclic
		n.id = 0
		return nil
	}
	if err := c.addWatch(e, n, fd, dev); err != nil {
		h.faults = append(h.faults, fault{n, err})
	}
	h.nodes = append(h.nodes, n)
	return nil
}

// closes tells whether going into n would be going in a circle, or to where the tree is seen anyway.
func (c *crawl) closes(n *node, fd int) bool {
	links := 0
	for up := n.up; up != nil; up = up.up {
		if up.ino == n.ino && up.dev == n.dev {
			return true
		}
		if up.flags&viaLink != 0 {
			links++
		}
	}
	if n.flags&viaLink == 0 {
		return false
	}
	top, _ := n.top()
	return links >= maxLinks || inside(fd, c.bases[top.root])
}

// maxLinks bounds how many links deep a path may go: links to folders with links multiply.
const maxLinks = 8

// inside tells whether an open directory lies in the tree at base, or base in it.
func inside(fd int, base string) bool {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err == nil && (isBelow(path, base) || isBelow(base, path))
}

func (c *crawl) addWatch(e *eye, n *node, fd int, dev device) (err error) {
	if dev.poll {
		n.flags |= polled
	}
	if n.id > 0 || c.silent {
		return nil // an opened child was watched already; or polling is all there is
	}
	if c.full.Load() {
		n.flags |= polled
		return unix.ENOSPC
	}
	n.id, err = e.watch(fd)
	if err != nil {
		n.id = 0
		n.flags |= polled
		c.full.Store(errors.Is(err, unix.ENOSPC))
	}
	return err
}

// survey lists a directory into a fresh node.
func (c *crawl) survey(e *eye, h *harvest, n *node, fd int) error {
	e.arena, e.found = e.arena[:0], e.found[:0]
	n.flags &^= fresh
	top, _ := n.top()
	if top.flags&only != 0 {
		return c.surveyOne(e, h, n, fd)
	}
	s := surveyor{crawl: c, eye: e, node: n, fd: fd, root: int(top.root), harvest: h}
	if c.prune != nil || c.skip != nil {
		s.prefix = n.path()
	}
	err := e.list(fd, s.see)
	if s.later {
		h.unseen = append(h.unseen, n)
	}
	slices.SortFunc(n.dirs, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	n.files = e.files()
	return err
}

// surveyOne remembers the one name of a root that is a file.
func (c *crawl) surveyOne(e *eye, h *harvest, n *node, fd int) error {
	err := e.stat(fd, n.name)
	h.links = append(h.links, linkAt{n, n.name})
	if troubleOf(err) == absent || err == nil && typeOf(e.st.Mode) == Dir {
		return nil
	}
	if err == nil {
		n.files.build([]named{{n.name, e.entry()}})
	}
	return err
}

// surveyor sorts one listing.
type surveyor struct {
	*crawl
	eye     *eye
	harvest *harvest
	node    *node
	fd      int
	root    int
	prefix  string
	later   bool // there are files that were only listed
}

func (s *surveyor) see(d dirent) error {
	dir, err := s.eye.isDir(s.fd, d)
	switch {
	case troubleOf(err) == absent:
		return nil
	case err != nil:
		return err
	case dir:
		s.dir(d)
		return nil
	}
	return s.file(d)
}

func (s *surveyor) dir(d dirent) {
	name := string(d.name)
	if s.prune != nil && s.prune(s.root, join(s.prefix, name)) {
		return
	}
	s.node.dirs = append(s.node.dirs, &node{up: s.node, name: name, flags: fresh})
}

func (s *surveyor) file(d dirent) error {
	if s.skip != nil && s.skip(s.root, join(s.prefix, string(d.name))) {
		return nil
	}
	if s.lazy && d.kind == unix.DT_REG && s.node.flags&polled == 0 && s.seen.Add(1) > lazyAfter {
		s.later = true
		s.eye.keep(d.name, entry{ino: d.ino, mode: unix.S_IFREG, flags: unseen})
		return nil
	}
	if err := s.eye.statEntry(s.fd, d); err != nil {
		if troubleOf(err) == absent {
			return nil
		}
		return err
	}
	x := s.eye.entry()
	if typeOf(x.mode) == Dir { // it has become one since it was listed; its event will come
		return nil
	}
	s.special(d, x)
	s.eye.keep(d.name, x)
	return nil
}

// special notes hard links and links to folders, which need watches of their own.
func (s *surveyor) special(d dirent, x entry) {
	if x.flags&linked != 0 {
		s.harvest.links = append(s.harvest.links, linkAt{s.node, string(d.name)})
	}
	if s.follow && typeOf(x.mode) == Symlink && s.eye.leadsToDir(s.fd, d) {
		name := string(d.name)
		if s.prune == nil || !s.prune(s.root, join(s.prefix, name)) {
			s.node.dirs = append(s.node.dirs, &node{up: s.node, name: name, flags: fresh | viaLink})
		}
	}
}

func (e *eye) leadsToDir(fd int, d dirent) bool {
	return e.statRaw(fd, &d.name[0], 0) == nil && typeOf(e.st.Mode) == Dir
}

// keep puts an entry beside the others of its listing.
func (e *eye) keep(name []byte, x entry) {
	x.len = uint8(len(name))
	e.found = append(e.found, raw{x, len(e.arena)})
	e.arena = append(e.arena, name...)
}

// files makes the compact form of what was kept.
func (e *eye) files() files {
	if len(e.found) == 0 {
		return files{}
	}
	slices.SortFunc(e.found, func(a, b raw) int { return bytes.Compare(e.nameOf(a), e.nameOf(b)) })
	list := make([]entry, len(e.found))
	names := make([]byte, 0, len(e.arena))
	for i, r := range e.found {
		list[i] = r.entry
		list[i].off = uint32(len(names))
		names = append(names, e.nameOf(r)...)
	}
	return files{list: list, names: string(names)}
}

func (e *eye) nameOf(r raw) []byte { return e.arena[r.start : r.start+int(r.len)] }

func (h *harvest) add(other *harvest) {
	h.nodes = append(h.nodes, other.nodes...)
	h.again = append(h.again, other.again...)
	h.links = append(h.links, other.links...)
	h.unseen = append(h.unseen, other.unseen...)
	h.denied = append(h.denied, other.denied...)
	h.faults = append(h.faults, other.faults...)
}
