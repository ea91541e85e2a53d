package watch

import (
	"time"

	"golang.org/x/sys/unix"
)

// Op is what happened to a path.
type Op uint8

// The operations, as [Op.String] names them.
const (
	Create Op = iota + 1 // the path did not exist before
	Write                // content or modification time changed, or another file took its place
	Remove               // the path does not exist any more
	Rename               // Create, of what was at Change.From before; there is no Remove of From beside it
	Attrib               // owner, mode or extended attributes changed, the content did not
)

var opNames = [...]string{Create: "create", Write: "write", Remove: "remove", Rename: "rename", Attrib: "attrib"}

// String is create, write, remove, rename or attrib.
func (o Op) String() string {
	if int(o) < len(opNames) && o > 0 {
		return opNames[o]
	}
	return "none"
}

// Type is the kind of thing that a path names. Symbolic links are not looked through.
type Type uint8

// The types, as [Type.String] names them.
const (
	File Type = iota + 1
	Dir
	Symlink
	Other // a device, a fifo, a socket
)

var typeNames = [...]string{File: "file", Dir: "dir", Symlink: "symlink", Other: "other"}

// String is file, dir, symlink or other.
func (t Type) String() string {
	if int(t) < len(typeNames) && t > 0 {
		return typeNames[t]
	}
	return "unknown"
}

// typeOf reads the type out of a mode as stat(2) gives it.
func typeOf(mode uint16) Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFLNK:
		return Symlink
	}
	return Other
}

// Change is the net change of one path since the batch before.
type Change struct {
	Root int    // index into Options.Roots
	Path string // slash-separated, relative to the root, the exact bytes of the names; "." is the root itself
	From string // with Rename: the path before, in the same root
	Op   Op
	Type Type // with Remove: of what was there

	Open      bool      // somebody writes: the file was made or written to, and nobody who could write has closed it since
	Closed    bool      // seen to be complete: a writer closed it, or it was renamed or linked into place
	Away      bool      // with Write: the path was empty for a moment since the batch before, and somebody may have seen that
	Recovered bool      // found by comparing the disk with what was remembered, because events were lost
	Time      time.Time // when the last event of it was read
}

// Mark is a barrier that was asked for with [Watcher.Mark] and has been reached.
type Mark struct {
	ID   uint64
	Time time.Time // when it was asked for
}

// RootEvent says that a root has vanished or has come back.
// What was in it, or is in it now, comes as changes of the same batch.
type RootEvent struct {
	Root int
	Gone bool
}

// Batch is a set of net changes: one entry a path at most. To replay it, take away what is removed
// (and every From of a rename), then put what is made. Removed paths come first, children before
// their folder; then all others, folders before their children.
type Batch struct {
	Changes []Change
	Marks   []Mark      // everything that happened before they were asked for is in this batch or an earlier one
	Roots   []RootEvent // in the order of time
}
