package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// root is one of Options.Roots: a path, and what is there at this time.
type root struct {
	index   int
	path    string // absolute, as the caller sees it
	top     *node  // nil: nothing is there
	stale   bool   // look again what is there
	shaken  bool   // the root or a folder above it was moved since the last look, if only away and back
	shut    bool   // there may be permission to look that there was not before
	blind   bool   // a directory on the way cannot be watched: look from time to time
	narrow  bool   // of the directories on the way only their own moves are told
	err     error  // why nothing was found
	anchors []anchor
}

// anchor is a directory on the way to a root, of which one name counts.
type anchor struct {
	id   int32
	root int
	name string
	only bool // its own moves count, and no name in it
}

// anchorMask is what may change where a path leads. It is added to what a directory is watched for.
const anchorMask = inotify.Create | inotify.Delete | inotify.MovedFrom | inotify.MovedTo | narrowMask

// narrowMask is what may change where a path leads that is a chain of directories with something in the last: none of them can be
// removed or replaced before that is gone, they can only be moved, and who is moved tells it. So a root in a busy folder
// does not wake the program for the files of others.
const narrowMask = inotify.DeleteSelf | inotify.MoveSelf | inotify.OnlyDir

// maxSymlinks is how many links a path may go through, as in the kernel.
const maxSymlinks = 40

// way is the walk from / to a root: each directory is watched before the next name is looked up in it, so
// that no change of the way goes unseen.
type way struct {
	w       *Watcher
	root    *root
	fd      int      // the directory where the walk is
	base    string   // its path
	rest    []string // names to go
	links   int
	anchors []anchor
	at      []int  // the directory of each anchor
	firm    []bool // and whether what it leads to is one that stays
	held    []int  // the descriptors, which stay open until the walk has been acted on
	blind   bool
}

// goal is what a way leads to.
type goal struct {
	fd   int    // the directory, or the directory of the file
	base string // its path
	file string // the name of the file in it; "": the root is the directory
}

// resolveStale looks again where the roots are.
func (w *Watcher) resolveStale() {
	for _, r := range w.roots {
		if r.stale {
			r.stale = false
			w.resolve(r)
		}
	}
}

// resolve walks to a root and compares what is there with what was.
func (w *Watcher) resolve(r *root) {
	y := &way{w: w, root: r, fd: unix.AT_FDCWD}
	defer y.letGo()
	g, err := y.walk()
	w.moveAnchors(r, y)
	r.err = err
	switch {
	case err != nil && troubleOf(err) != absent:
		// It cannot be looked at now, which does not mean that it is gone.
		r.shut = true
		w.later(w.now.Add(pairing*10), nil, nil)
	case err != nil:
		w.rootGone(r)
	default:
		w.rootFound(r, g)
	}
	if r.narrow = r.mayNarrow(); r.narrow {
		w.narrowWay(r, y)
	}
}

// mayNarrow tells whether the root cannot go but by a move or after an event of what is in it.
func (r *root) mayNarrow() bool {
	n := r.top
	return r.err == nil && !r.blind && n != nil && n.id > 0 && n.flags&(only|polled|unreadable|fresh) == 0 && len(n.dirs)+len(n.files.list) > 0
}

// narrowWay ends the watch for names, but where a symbolic link is one of them, or where a directory may go that is not
// empty. Names were watched until now, and what is in the root is watched, so that nothing of it goes unseen.
func (w *Watcher) narrowWay(r *root, y *way) {
	for i := range r.anchors {
		a := &r.anchors[i]
		if !y.firm[i] {
			continue
		}
		all := w.anchors[a.id]
		if j := slices.Index(all, *a); j >= 0 {
			all[j].only = true
		}
		a.only = true
		if w.index.get(a.id) != nil || slices.ContainsFunc(all, func(b anchor) bool { return !b.only }) {
			continue
		}
		id, err := w.conn.Replace("/proc/self/fd/"+strconv.Itoa(y.at[i]), narrowMask)
		if err == nil && int32(id) != a.id { // the watch had ended
			r.stale = true
		}
	}
}

// walk follows the path; on success the caller owns the goal's descriptor.
func (y *way) walk() (goal, error) {
	y.rest = strings.Split(strings.Trim(y.root.path, "/"), "/")
	if err := y.enter("/", "/"); err != nil {
		return goal{}, err
	}
	for len(y.rest) > 0 {
		name := y.rest[0]
		y.rest = y.rest[1:]
		file, err := y.step(name)
		if err != nil {
			return goal{}, err
		}
		if file {
			return y.goal(name)
		}
	}
	return y.goal("")
}

// goal opens the end of the way for reading.
func (y *way) goal(file string) (goal, error) {
	fd, err := y.w.eye.openDir(y.fd, ".", true)
	return goal{fd: fd, base: y.base, file: file}, err
}

// step goes to the next name, and says whether that is a file, which only the last may be.
func (y *way) step(name string) (file bool, err error) {
	if name == "" || name == "." {
		return false, nil
	}
	y.anchor(name)
	if name == ".." {
		return false, y.enterFirm("..", filepath.Dir(y.base))
	}
	if err := y.w.eye.stat(y.fd, name); err != nil {
		return false, err
	}
	switch typeOf(y.w.eye.st.Mode) {
	case Symlink:
		return false, y.follow(name)
	case Dir:
		return false, y.enterFirm(name, strings.TrimSuffix(y.base, "/")+"/"+name)
	}
	if len(y.rest) > 0 {
		return false, unix.ENOTDIR
	}
	return true, nil
}

func (y *way) enter(name, base string) error {
	next, err := y.w.eye.openPathOnly(y.fd, name)
	if err != nil {
		return err
	}
	y.held = append(y.held, next)
	y.fd, y.base = next, base
	return nil
}

// enterFirm enters the directory that the last anchor leads to.
func (y *way) enterFirm(name, base string) error {
	if err := y.enter(name, base); err != nil {
		return err
	}
	if last := len(y.firm) - 1; last >= 0 {
		y.firm[last] = y.w.isFirm(y.fd)
	}
	return nil
}

func (y *way) letGo() {
	for _, fd := range y.held {
		_ = unix.Close(fd)
	}
}

// isFirm tells whether a directory stays in its place while there is something in it, unless it is moved. A subvolume
// may be deleted as it is, and so may a control group; what a server does nobody tells.
func (w *Watcher) isFirm(fd int) bool {
	magic, err := w.eye.fsType(fd)
	if err != nil || w.eye.self(fd) != nil {
		return false
	}
	const subvolume = 256 // its inode number
	switch magic {
	case unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return false
	case unix.BTRFS_SUPER_MAGIC:
		return w.eye.st.Ino != subvolume
	default:
		return local[magic]
	}
}

func (y *way) follow(name string) error {
	if y.links++; y.links > maxSymlinks {
		return unix.ELOOP
	}
	target, err := y.w.readlink(y.fd, name)
	if err != nil {
		return err
	}
	y.rest = append(strings.Split(strings.Trim(target, "/"), "/"), y.rest...)
	if strings.HasPrefix(target, "/") {
		return y.enter("/", "/")
	}
	return nil
}

// anchor watches the directory where the walk is for changes of one name.
func (y *way) anchor(name string) {
	if y.w.conn == nil {
		y.blind = true
		return
	}
	id, err := y.w.conn.AddFD(y.fd, anchorMask)
	if err != nil {
		y.blind = true
		return
	}
	y.anchors = append(y.anchors, anchor{id: int32(id), root: y.root.index, name: name})
	y.at, y.firm = append(y.at, y.fd), append(y.firm, false)
}

// openPathOnly opens a directory without the right to read it.
func (e *eye) openPathOnly(dir int, name string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// moveAnchors replaces the anchors of a root by those of a new walk.
func (w *Watcher) moveAnchors(r *root, y *way) {
	old := r.anchors
	r.anchors, r.blind = y.anchors, y.blind
	for _, a := range y.anchors {
		if !slices.Contains(w.anchors[a.id], a) {
			w.anchors[a.id] = append(w.anchors[a.id], a)
		}
	}
	for _, a := range old {
		if slices.Contains(r.anchors, a) {
			continue
		}
		w.anchors[a.id] = slices.DeleteFunc(w.anchors[a.id], func(b anchor) bool { return a == b })
		if len(w.anchors[a.id]) == 0 {
			delete(w.anchors, a.id)
			w.disown(a.id)
		}
	}
	if r.blind {
		w.wakePoll()
	}
}

func (w *Watcher) rootGone(r *root) {
	w.bases[r.index] = ""
	if r.top == nil {
		return
	}
	w.dropRoot(r)
	w.rootEvent(r.index, true)
}

// dropRoot takes down what was there.
func (w *Watcher) dropRoot(r *root) {
	w.tellGone(r.top, mark{}, time.Time{})
	r.top.flags &^= isTop
	w.giveBack(r.top)
	r.top = nil
}

// rootFound takes over the goal's descriptor.
func (w *Watcher) rootFound(r *root, g goal) {
	if r.top != nil && w.isRoot(r, g) {
		w.bases[r.index] = g.base
		_ = w.close(g.fd)
		if r.shaken { // somebody may have looked while it was away
			w.tellGone(r.top, mark{at: w.now}, time.Time{})
			w.tell(r.top, mark{at: w.now}, true)
		}
		if r.shut {
			w.reopen(r.top)
		}
		r.shaken, r.shut = false, false
		if g.file != "" {
			w.suspect(r.top, r.top.name, mark{at: w.now})
		}
		return
	}
	r.shaken, r.shut = false, false
	was := r.top != nil
	if was {
		w.dropRoot(r)
	}
	w.bases[r.index] = g.base
	r.top = &node{root: uint16(r.index), flags: isTop | fresh}
	if g.file != "" {
		r.top.name = g.file
		r.top.flags |= only
	}
	w.growRoot(r, g.fd)
	if !was {
		w.rootEvent(r.index, false)
	}
}

func (w *Watcher) growRoot(r *root, fd int) {
	if id, err := w.watchNew(r.top, fd); err == nil {
		r.top.id = id
	} else {
		w.faulty([]fault{{r.top, err}})
		r.top.flags |= polled
	}
	w.grow(r.top, fd, mark{at: w.now})
}

// isRoot tells whether the goal is what the root was.
func (w *Watcher) isRoot(r *root, g goal) bool {
	file := ""
	if r.top.flags&only != 0 {
		file = r.top.name
	}
	if file != g.file {
		return false
	}
	id, err := w.watchNew(r.top, g.fd)
	if w.eye.self(g.fd) != nil || err != nil {
		w.later(w.now.Add(pairing*10), nil, nil)
		return r.top.id != 0 && w.eye.st.Ino == r.top.ino // an inode that is watched is not used again
	}
	if !w.isSame(r.top, id) {
		return false
	}
	if id > 0 && r.top.id < 0 {
		w.rewatch(r.top, id)
	}
	return true
}

// newRoots checks Options.Roots.
func newRoots(paths []string) ([]*root, error) {
	if len(paths) == 0 {
		return nil, errors.New("watch: no roots")
	}
	var roots []*root
	for i, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", path, err)
		}
		roots = append(roots, &root{index: i, path: abs, stale: true})
	}
	return roots, nil
}

// mustExist is the error of roots that are not there at the start.
func (w *Watcher) mustExist() error {
	for _, r := range w.roots {
		if r.top != nil || r.index >= len(w.opts.Roots) {
			continue
		}
		return &RootError{Path: w.opts.Roots[r.index], Err: r.err}
	}
	return nil
}

// RootError says that a root is not there, or cannot be looked at, when the watch begins.
type RootError struct {
	Path string // as in Options.Roots
	Err  error
}

func (e *RootError) Error() string { return "watch " + e.Path + ": " + e.Err.Error() }

// Unwrap is the errno.
func (e *RootError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *RootError) Hint() string {
	if errors.Is(e.Err, os.ErrNotExist) {
		return "make it first, or wait for it: wait_roots = true"
	}
	return ""
}
