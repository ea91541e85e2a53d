package watch

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rescan compares directories that are remembered with the disk. It changes nothing: it says which
// names to look at, and the looking is done where it is done for events. So several workers may share the work.
type rescan struct {
	*ground
	jobs  []*survey
	next  atomic.Int64
	quiet bool
}

// survey is what a rescan finds out about one directory.
type survey struct {
	node  *node
	err   error  // it could not be opened, or another directory is there
	ctime int64  // of the directory
	ino   uint64 // of the directory
	dev   uint16
	mode  uint16
	names []string // what differs
}

// run looks at all jobs and closes the channel when it is done.
func (r *rescan) run() <-chan struct{} {
	done := make(chan struct{})
	var workers sync.WaitGroup
	for range min(8, 2*runtime.GOMAXPROCS(0), 1+len(r.jobs)/inline) {
		workers.Go(r.worker)
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	return done
}

func (r *rescan) worker() {
	e := newEye(r.kernel)
	for {
		i := int(r.next.Add(1)) - 1
		if i >= len(r.jobs) {
			return
		}
		r.one(e, r.jobs[i])
	}
}

func (r *rescan) one(e *eye, s *survey) {
	fd, err := r.openNode(e, s.node)
	if err != nil {
		s.err = err
		return
	}
	defer e.close(fd)
	if s.err = r.state(e, s, fd); s.err != nil {
		return
	}
	// An inode that is used again has a new time of change: the one that has not changed is the one that it was.
	n := s.node
	if s.ino != n.ino || s.dev != n.dev || s.ctime != n.ctime || n.id <= 0 {
		if s.err = r.prove(e, n, fd); s.err != nil {
			return
		}
	}
	r.compare(e, s, fd)
	if r.quiet && (e.self(fd) != nil || nanos(e.st.Ctime) != s.ctime) {
		s.ctime = 0 // a name may have come between
	}
}

// state takes down what an open directory is like.
func (r *rescan) state(e *eye, s *survey, fd int) error {
	if err := e.self(fd); err != nil {
		return err
	}
	s.ctime, s.ino, s.mode = nanos(e.st.Ctime), e.st.Ino, e.st.Mode
	s.dev = r.of(e, fd).index
	return nil
}

// errStale says that the directory at a node's place is not the node's.
const errStale = unix.ESTALE

// isAway tells whether a node is not where it was, and not only out of reach.
func isAway(err error) bool { return errors.Is(err, errStale) || troubleOf(err) == absent }

// pin opens a node's directory and makes sure that it is the one: a path alone proves nothing.
func (g *ground) pin(e *eye, n *node) (int, error) {
	fd, err := g.openNode(e, n)
	if err != nil {
		return -1, err
	}
	if err := g.prove(e, n, fd); err != nil {
		_ = e.close(fd)
		return -1, err
	}
	return fd, nil
}

// prove compares identities: a watch descriptor belongs to one inode for all times.
func (g *ground) prove(e *eye, n *node, fd int) error {
	if n.id == 0 {
		return errStale
	}
	if n.id > 0 {
		id, err := e.watch(fd)
		if err == nil && id != n.id {
			return foreign{id}
		}
		return err
	}
	if err := e.self(fd); err != nil {
		return err
	}
	if e.st.Ino != n.ino && n.ino != 0 {
		return errStale
	}
	return nil
}

// foreign says that a directory with another watch is at a node's place.
type foreign struct{ id int32 }

func (foreign) Error() string        { return "another directory is in its place" }
func (foreign) Is(target error) bool { return target == errStale }

// openNode opens the directory at a node's path. Nothing is proved by that.
func (g *ground) openNode(e *eye, n *node) (int, error) {
	top, _ := n.top()
	base := g.bases[top.root]
	if base == "" || top.flags&isTop == 0 {
		return -1, unix.ENOENT
	}
	path := base
	if below := n.path(); below != "" {
		path = strings.TrimSuffix(base, "/") + "/" + below
	}
	return e.openPath(path, n.flags&viaLink != 0)
}

// openPath opens an absolute path of any length.
func (e *eye) openPath(path string, follow bool) (int, error) {
	dir := unix.AT_FDCWD
	for len(path) >= unix.PathMax {
		cut := strings.LastIndexByte(path[:unix.PathMax-1], '/')
		fd, err := e.openDir(dir, path[:cut], true)
		if dir != unix.AT_FDCWD {
			_ = e.close(dir)
		}
		if err != nil {
			return -1, err
		}
		dir, path = fd, path[cut+1:]
	}
	fd, err := e.openDir(dir, path, follow)
	if dir != unix.AT_FDCWD {
		_ = e.close(dir)
	}
	return fd, err
}

// compare lists an open directory and names what differs from what is remembered.
func (r *rescan) compare(e *eye, s *survey, fd int) {
	l := lister{rescan: r, eye: e, survey: s, fd: fd}
	top, _ := s.node.top()
	l.root = int(top.root)
	switch {
	case top.flags&only != 0:
		s.names = []string{s.node.name}
	case s.node.flags&fresh == 0 && s.ctime == s.node.ctime && !r.quiet:
		l.known()
	default:
		l.listed()
	}
}

// lister compares one directory.
type lister struct {
	*rescan
	eye    *eye
	survey *survey
	fd     int
	root   int
	prefix string
	files  []bool // seen, by index
	dirs   []bool
}

// known looks at the remembered files only: no name has come or gone.
func (l *lister) known() {
	f := &l.survey.node.files
	for i := range f.list {
		name := f.name(i)
		if err := l.eye.stat(l.fd, name); err != nil || l.differs(&f.list[i]) {
			l.say(name)
		}
	}
}

func (l *lister) listed() {
	n := l.survey.node
	if l.prune != nil || l.skip != nil {
		l.prefix = n.path()
	}
	l.files, l.dirs = make([]bool, len(n.files.list)), make([]bool, len(n.dirs))
	if err := l.eye.list(l.fd, l.see); err != nil {
		l.survey.err = err
		return
	}
	for i, seen := range l.files {
		if !seen {
			l.say(n.files.name(i))
		}
	}
	for i, seen := range l.dirs {
		if !seen {
			l.say(n.dirs[i].name)
		}
	}
}

func (l *lister) say(name string) { l.survey.names = append(l.survey.names, name) }

func (l *lister) see(d dirent) error {
	dir, err := l.eye.isDir(l.fd, d)
	switch {
	case troubleOf(err) == absent:
		return nil
	case err != nil:
		return err
	case dir:
		l.dir(string(d.name))
		return nil
	}
	return l.file(d)
}

// dir: a directory that is remembered proves its identity when its own turn comes.
func (l *lister) dir(name string) {
	i, known := l.survey.node.findDir(name)
	if known {
		l.dirs[i] = true
	}
	if pruned := l.prune != nil && l.prune(l.root, join(l.prefix, name)); pruned == known {
		l.say(name)
	}
}

func (l *lister) file(d dirent) error {
	n := l.survey.node
	i, known := n.files.find(string(d.name))
	if known {
		l.files[i] = true
	}
	if l.skip != nil && l.skip(l.root, join(l.prefix, string(d.name))) {
		if known {
			l.say(string(d.name))
		}
		return nil
	}
	if j, was := n.findDir(string(d.name)); was && n.dirs[j].flags&viaLink != 0 {
		l.dirs[j] = true
	}
	if !known {
		l.say(string(d.name))
		return nil
	}
	err := l.eye.statEntry(l.fd, d)
	if err != nil || l.differs(&n.files.list[i]) {
		l.say(string(d.name))
	}
	return nil
}

func (l *lister) differs(old *entry) bool {
	x := l.eye.entry()
	if old.flags&unseen != 0 {
		return x.ino != old.ino || typeOf(x.mode) != typeOf(old.mode) || x.ctime >= l.since
	}
	return !x.equal(old) || old.flags&racy != 0
}

func (x *entry) equal(old *entry) bool {
	return x.ino == old.ino && x.size == old.size && x.mtime == old.mtime && x.ctime == old.ctime && x.mode == old.mode
}

// tick is how far apart two writes must be for their times to differ for sure.
func (d device) tick() int64 {
	if d.fine {
		return int64(tickFine)
	}
	return int64(tickCoarse)
}

const (
	tickFine   = 20 * time.Millisecond
	tickCoarse = 2 * time.Second
)

// join puts a relative path and a name together.
func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}
