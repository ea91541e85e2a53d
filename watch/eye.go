package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the calls that look at the disk and set watches; tests put faults into them.
type kernel struct {
	openat   func(dir int, name string, flags int) (fd int, err error)
	close    func(fd int) error
	statx    func(dir int, name *byte, flags int, st *unix.Statx_t) error
	getdents func(fd int, buf []byte) (n int, err error)
	fsType   func(fd int) (magic int64, err error)
	watch    func(fd int) (id int32, err error) // adds [treeMask] to what the directory is watched for
	unwatch  func(id int32) error
}

func system() kernel {
	return kernel{
		openat:   func(dir int, name string, flags int) (int, error) { return unix.Openat(dir, name, flags, 0) },
		close:    unix.Close,
		statx:    statx,
		getdents: unix.Getdents,
		fsType:   fsType,
		watch:    func(int) (int32, error) { return 0, unix.ENOSYS },
		unwatch:  func(int32) error { return nil },
	}
}

// statx is called with a pointer into the buffer of getdents(2): a copy of each name would cost more
// than the call.
func statx(dir int, name *byte, flags int, st *unix.Statx_t) error {
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags),
		unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(st)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func fsType(fd int) (int64, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return int64(st.Type), err
}

// eye looks at directories through descriptors. It keeps its buffers; one goroutine uses it.
type eye struct {
	kernel
	st   unix.Statx_t // of the last stat
	buf  []byte
	name []byte

	last device // the device last met
	met  bool

	arena []byte // names of the directory that is being listed
	found []raw
}

// raw is an entry whose name is in the arena.
type raw struct {
	entry
	start int
}

func newEye(k kernel) *eye { return &eye{kernel: k, buf: make([]byte, 32<<10)} }

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK

// openDir opens a directory, and not what a symbolic link in its place points to, unless asked.
func (e *eye) openDir(dir int, name string, follow bool) (int, error) {
	flags := dirFlags
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	for {
		fd, err := e.openat(dir, name, flags)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// stat looks at a name in a directory, not through links; the answer is in e.st.
func (e *eye) stat(dir int, name string) error {
	e.name = append(append(e.name[:0], name...), 0)
	return e.statRaw(dir, &e.name[0], unix.AT_SYMLINK_NOFOLLOW)
}

// statThrough is stat through links.
func (e *eye) statThrough(dir int, name string) error {
	e.name = append(append(e.name[:0], name...), 0)
	return e.statRaw(dir, &e.name[0], 0)
}

// self looks at an open descriptor.
func (e *eye) self(fd int) error {
	e.name = append(e.name[:0], 0)
	return e.statRaw(fd, &e.name[0], unix.AT_EMPTY_PATH)
}

func (e *eye) statRaw(dir int, name *byte, flags int) error {
	for {
		err := e.statx(dir, name, flags|unix.AT_NO_AUTOMOUNT, &e.st)
		if err != unix.EINTR {
			return err
		}
	}
}

// entry is the last stat in our form.
func (e *eye) entry() entry {
	x := entry{
		ino: e.st.Ino, size: int64(e.st.Size), mode: e.st.Mode,
		mtime: nanos(e.st.Mtime), ctime: nanos(e.st.Ctime),
	}
	if e.st.Nlink > 1 && typeOf(x.mode) == File {
		x.flags |= linked
	}
	return x
}

func nanos(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// dirent is a name in a listing. The name lies in the eye's buffer, followed by a NUL, and is good until
// the next step.
type dirent struct {
	name []byte
	kind uint8
	ino  uint64
}

// list goes through a directory.
func (e *eye) list(fd int, each func(d dirent) error) error {
	for {
		n, err := e.getdents(fd, e.buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		for rest := e.buf[:n]; len(rest) > 0; {
			var d dirent
			d, rest = nextDirent(rest)
			if isDots(d.name) {
				continue
			}
			if err := each(d); err != nil {
				return err
			}
		}
	}
}

const direntHeader = 19 // ino 8, off 8, reclen 2, type 1

func nextDirent(p []byte) (dirent, []byte) {
	size := int(binary.NativeEndian.Uint16(p[16:]))
	name := p[direntHeader:size]
	name = name[:bytes.IndexByte(name, 0)]
	return dirent{name: name, kind: p[18], ino: binary.NativeEndian.Uint64(p)}, p[size:]
}

func isDots(name []byte) bool {
	return len(name) <= 2 && name[0] == '.' && (len(name) == 1 || name[1] == '.')
}

// statEntry looks at a listed name without copying it.
func (e *eye) statEntry(fd int, d dirent) error {
	return e.statRaw(fd, &d.name[0], unix.AT_SYMLINK_NOFOLLOW)
}

// isDir tells whether a listed name is a directory, asking the disk only where the listing does not say.
func (e *eye) isDir(fd int, d dirent) (bool, error) {
	if d.kind != unix.DT_UNKNOWN {
		return d.kind == unix.DT_DIR, nil
	}
	err := e.statEntry(fd, d)
	return typeOf(e.st.Mode) == Dir, err
}

// trouble sorts the errors of a look.
type trouble uint8

const (
	fine    trouble = iota
	absent          // it is not there, or not what was expected
	denied          // it is there, and we may not look
	strange         // too few descriptors, no memory, an I/O error: it may be there
)

func troubleOf(err error) trouble {
	if err == nil {
		return fine
	}
	var errno syscall.Errno
	_ = errors.As(err, &errno)
	switch errno {
	case unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG:
		return absent
	case unix.EACCES, unix.EPERM:
		return denied
	}
	return strange
}
