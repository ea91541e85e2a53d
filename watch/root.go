package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	err     error  // why nothing was found
	anchors []anchor
}

// anchor is a directory on the way to a root, of which one name counts.
type anchor struct {
	id   int32
	root int
	name string
}

// anchorMask is what may change where a path leads. It is added to what a directory is watched for.
const anchorMask = inotify.Create | inotify.Delete | inotify.MovedFrom | inotify.MovedTo |
	inotify.DeleteSelf | inotify.MoveSelf | inotify.OnlyDir

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
	y := &way{w: w, root: r, fd: -1, base: "/"}
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
}

// walk follows the path; on success the caller owns the goal's descriptor.
func (y *way) walk() (goal, error) {
	y.rest = strings.Split(strings.Trim(y.root.path, "/"), "/")
	var err error
	if y.fd, err = y.w.eye.openPathOnly(unix.AT_FDCWD, "/"); err != nil {
		return goal{}, err
	}
	for len(y.rest) > 0 {
		name := y.rest[0]
		y.rest = y.rest[1:]
		file, err := y.step(name)
		if err != nil {
			_ = unix.Close(y.fd)
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
	_ = unix.Close(y.fd)
	return goal{fd: fd, base: y.base, file: file}, err
}

// step goes to the next name, and says whether that is a file, which only the last may be.
func (y *way) step(name string) (file bool, err error) {
	if name == "" || name == "." {
		return false, nil
	}
	y.anchor(name)
	if name == ".." {
		return false, y.enter("..", filepath.Dir(y.base))
	}
	if err := y.w.eye.stat(y.fd, name); err != nil {
		return false, err
	}
	switch typeOf(y.w.eye.st.Mode) {
	case Symlink:
		return false, y.follow(name)
	case Dir:
		return false, y.enter(name, strings.TrimSuffix(y.base, "/")+"/"+name)
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
	_ = unix.Close(y.fd)
	y.fd, y.base = next, base
	return nil
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
	y.anchors = append(y.anchors, anchor{int32(id), y.root.index, name})
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
		return w.eye.st.Ino == r.top.ino
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
		if r.top != nil {
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
