package inotify

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Add watches the inode at path, which may hold any bytes but NUL, and gives its watch descriptor.
//
// If the inode is watched already, by this path or another, its descriptor is given again and the events of mask are
// added to those it reports: Add never takes away what somebody else asked for. (The kernel's default would replace
// the mask; Replace does.) OneShot and ExclUnlink then hold for all that share the watch. With MaskCreate the answer
// is EEXIST instead.
//
// Refused with EINVAL before the call: a mask without any event (the kernel would take IsDir or OnlyDir alone, and
// silence the watch), a path with a NUL, DontFollow with a path that ends in a slash (the kernel would follow the
// link), MaskAdd with MaskCreate.
//
// Errors: EACCES (no read permission; needed at this moment only), EEXIST, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM,
// ENOSPC (no watch left for this user), ENOTDIR (with OnlyDir), os.ErrClosed.
func (c *Conn) Add(path string, mask Mask) (WD, error) { return c.add("add", path, mask, false) }

// Update is Add for the reader's eye, where a watch is known to exist. MaskCreate is refused.
func (c *Conn) Update(path string, mask Mask) (WD, error) {
	if mask&MaskCreate != 0 {
		return NoWD, refuse("update", path, "mask %v makes a watch instead of adding to one", mask)
	}
	return c.add("update", path, mask, false)
}

// Replace is Add that gives a watch which exists exactly the events and flags of mask. Whoever shares the instance,
// or reaches the inode by another path, loses the events that mask does not have. MaskAdd is refused.
func (c *Conn) Replace(path string, mask Mask) (WD, error) {
	if mask&MaskAdd != 0 {
		return NoWD, refuse("replace", path, "mask %v adds instead of replacing", mask)
	}
	return c.add("replace", path, mask, true)
}

// AddFD is Add for the inode that fd has open, whatever happens to its path meanwhile; O_PATH is enough. The
// descriptor may be closed afterwards. It needs /proc. DontFollow has no meaning here and is left out.
func (c *Conn) AddFD(fd int, mask Mask) (WD, error) {
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	if fd < 0 {
		return NoWD, newError("add", path, NoWD, unix.EBADF)
	}
	wd, err := c.add("add", path, mask&^DontFollow, false)
	if errors.Is(err, unix.ENOENT) {
		return NoWD, fdError(fd, path)
	}
	return wd, err
}

// Remove ends a watch. Its queued events stay; an Ignored event follows them. A watch that is not there, perhaps
// because its inode was deleted, gives ErrNotWatched (EINVAL), which does no harm.
func (c *Conn) Remove(wd WD) error {
	if wd < 0 {
		return newError("remove", "", wd, unix.EINVAL)
	}
	_, err := c.control(func(fd int) (int, error) { return c.sys.Remove(fd, uint32(wd)) })
	if err != nil {
		return newError("remove", "", wd, err)
	}
	return nil
}

// Barrier marks the end of what is queued now: it gives a descriptor whose Ignored event comes after every event of
// what has happened before the call. Should the queue overflow first, the overflow event takes its place. It writes
// to no filesystem: it removes a watch from a memfd of its own. From the first call on it keeps one descriptor and
// one watch for the next, so that it works also when no watch is left.
//
// Errors: those of AddFD and memfd_create(2).
func (c *Conn) Barrier() (WD, error) {
	c.barrier.Lock()
	defer c.barrier.Unlock()
	wd, err := c.trip()
	if errors.Is(err, ErrNotWatched) { // somebody removed a watch that was not theirs
		wd, err = c.trip()
	}
	if err != nil {
		return NoWD, barrierError(err)
	}
	// The slot that was just given back is free now, whatever the limit. If somebody takes it first, the next call
	// tries again and reports.
	_ = c.arm()
	return wd, nil
}

// barrier is the private inode whose watch comes and goes.
type barrier struct {
	sync.Mutex
	memfd  *os.File
	wd     WD // 0: no watch on it
	closed bool
}

func (b *barrier) close() error {
	b.Lock()
	defer b.Unlock()
	b.closed = true
	if b.memfd == nil {
		return nil
	}
	return b.memfd.Close()
}

// trip removes the watch and gives its descriptor. The caller holds the lock.
func (c *Conn) trip() (WD, error) {
	if err := c.arm(); err != nil {
		return NoWD, err
	}
	wd := c.barrier.wd
	c.barrier.wd = 0
	return wd, c.Remove(wd)
}

// arm makes sure that there is a watch to remove. The caller holds the lock.
func (c *Conn) arm() error {
	b := &c.barrier
	if b.closed {
		return newError("barrier", "", NoWD, os.ErrClosed)
	}
	if b.wd != 0 {
		return nil
	}
	if b.memfd == nil {
		fd, err := retry(func() (int, error) { return c.sys.Memfd("inotify-barrier", unix.MFD_CLOEXEC) })
		if err != nil {
			return newError("barrier", "", NoWD, err)
		}
		b.memfd = os.NewFile(uintptr(fd), "inotify-barrier")
	}
	wd, err := c.AddFD(int(b.memfd.Fd()), DeleteSelf)
	if err != nil {
		return err
	}
	b.wd = wd
	return nil
}

func (c *Conn) add(op, path string, mask Mask, replace bool) (WD, error) {
	if err := check(op, path, mask); err != nil {
		return NoWD, err
	}
	if !replace && mask&MaskCreate == 0 {
		mask |= MaskAdd
	}
	a := c.adds.Get().(*adding)
	defer c.adds.Put(a)
	a.path, a.mask = path, uint32(mask)
	if c.bell.hold.Control(a.run) != nil {
		return NoWD, newError(op, path, NoWD, os.ErrClosed)
	}
	if a.err != nil {
		return NoWD, newError(op, path, NoWD, a.err)
	}
	return WD(a.wd), nil
}

// adding is one call of inotify_add_watch. It is used again and again, because a tree needs one for each of its
// folders, and what control makes anew for each call would be most of the garbage of a crawl.
type adding struct {
	conn *Conn
	path string
	mask uint32
	run  func(fd uintptr)

	wd  int
	err error
}

func newAdding(c *Conn) *adding {
	a := &adding{conn: c}
	a.run = func(uintptr) {
		a.wd, a.err = retry(func() (int, error) { return a.conn.sys.Add(a.conn.fd, a.path, a.mask) })
	}
	return a
}

func check(op, path string, mask Mask) error {
	switch {
	case mask&AllEvents == 0:
		return refuse(op, path, "mask %v asks for no event", mask)
	case mask.Has(MaskAdd | MaskCreate):
		return refuse(op, path, "a mask has IN_MASK_ADD or IN_MASK_CREATE, not both")
	case strings.IndexByte(path, 0) >= 0:
		return refuse(op, path, "the path holds a NUL")
	case mask&DontFollow != 0 && strings.HasSuffix(path, "/") && strings.Trim(path, "/") != "":
		return refuse(op, path, "a slash at the end follows the link in spite of IN_DONT_FOLLOW")
	}
	return nil
}
