package inotify

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Mask is the bit set of inotify(7): what a watch asks for, how it is to be made, and what an event tells.
type Mask uint32

// Events that a watch can ask for. On a watched folder they come for its entries (the event has the entry's name) and,
// where that makes sense, for the folder itself (no name).
const (
	Access       Mask = unix.IN_ACCESS        // read(2), execve(2)
	Modify       Mask = unix.IN_MODIFY        // write(2), truncate(2); not a store through mmap(2), not kernel AIO
	Attrib       Mask = unix.IN_ATTRIB        // permissions, times, extended attributes, owner, number of links
	CloseWrite   Mask = unix.IN_CLOSE_WRITE   // the last reference to a descriptor (or mapping) open for writing has gone
	CloseNowrite Mask = unix.IN_CLOSE_NOWRITE // the same for one that was not open for writing
	Open         Mask = unix.IN_OPEN          // open(2), also of the folder itself
	MovedFrom    Mask = unix.IN_MOVED_FROM    // an entry got another name; Cookie ties it to its MovedTo
	MovedTo      Mask = unix.IN_MOVED_TO      // an entry came by rename(2)
	Create       Mask = unix.IN_CREATE        // open(2) with O_CREAT, mkdir(2), link(2), symlink(2), mknod(2), bind(2)
	Delete       Mask = unix.IN_DELETE        // an entry was removed
	DeleteSelf   Mask = unix.IN_DELETE_SELF   // the watched inode has no name and no user any more
	MoveSelf     Mask = unix.IN_MOVE_SELF     // the watched inode was renamed; the watch goes with it
)

// Events that come without being asked for.
const (
	Unmount  Mask = unix.IN_UNMOUNT    // the filesystem was unmounted; Ignored follows
	Overflow Mask = unix.IN_Q_OVERFLOW // the queue was full and events were lost; its WD is -1
	Ignored  Mask = unix.IN_IGNORED    // the watch has gone: removed, its inode deleted, unmounted, or OneShot has fired
	IsDir    Mask = unix.IN_ISDIR      // the subject of the event is a folder
)

// How a watch is made. These bits ask for no event.
const (
	OnlyDir    Mask = unix.IN_ONLYDIR     // ENOTDIR unless the path is a folder
	DontFollow Mask = unix.IN_DONT_FOLLOW // watch a symbolic link itself
	ExclUnlink Mask = unix.IN_EXCL_UNLINK // no events for entries after their removal
	MaskCreate Mask = unix.IN_MASK_CREATE // EEXIST where the inode is watched already
	MaskAdd    Mask = unix.IN_MASK_ADD    // add to the mask of a watch that exists; see Conn.Add
	OneShot    Mask = unix.IN_ONESHOT     // remove the watch after its first event
)

// Sets of events.
const (
	Close     = CloseWrite | CloseNowrite
	Move      = MovedFrom | MovedTo
	Changed   = Modify | Attrib
	AllEvents = Mask(unix.IN_ALL_EVENTS)

	// WatchMask is what who waits for changes needs: everything but reads. CloseWrite is in it because it is all that
	// a store through mmap(2) and kernel AIO ever send.
	WatchMask = Changed | CloseWrite | Create | Delete | DeleteSelf | Move | MoveSelf | Unmount
)

// bitNames lists each single bit with its names, in the order in which String and Names give them.
var bitNames = [...]struct {
	bit         Mask
	name, human string
}{
	{Access, "IN_ACCESS", "access"},
	{Modify, "IN_MODIFY", "modify"},
	{Attrib, "IN_ATTRIB", "attrib"},
	{CloseWrite, "IN_CLOSE_WRITE", "close_write"},
	{CloseNowrite, "IN_CLOSE_NOWRITE", "close_nowrite"},
	{Open, "IN_OPEN", "open"},
	{MovedFrom, "IN_MOVED_FROM", "moved_from"},
	{MovedTo, "IN_MOVED_TO", "moved_to"},
	{Create, "IN_CREATE", "create"},
	{Delete, "IN_DELETE", "delete"},
	{DeleteSelf, "IN_DELETE_SELF", "delete_self"},
	{MoveSelf, "IN_MOVE_SELF", "move_self"},
	{Unmount, "IN_UNMOUNT", "unmount"},
	{Overflow, "IN_Q_OVERFLOW", "queue_overflow"},
	{Ignored, "IN_IGNORED", "ignored"},
	{OnlyDir, "IN_ONLYDIR", "only_dir"},
	{DontFollow, "IN_DONT_FOLLOW", "dont_follow"},
	{ExclUnlink, "IN_EXCL_UNLINK", "excl_unlink"},
	{MaskCreate, "IN_MASK_CREATE", "mask_create"},
	{MaskAdd, "IN_MASK_ADD", "mask_add"},
	{IsDir, "IN_ISDIR", "is_dir"},
	{OneShot, "IN_ONESHOT", "one_shot"},
}

// setNames are the names of sets that ParseMask knows beside the single bits.
var setNames = [...]struct {
	set  Mask
	name string
}{
	{Close, "IN_CLOSE"},
	{Move, "IN_MOVE"},
	{Move, "IN_MOVED"},
	{Changed, "IN_CHANGED"},
	{AllEvents, "IN_ALL_EVENTS"},
	{WatchMask, "IN_WATCH_MASK"},
}

// Has tells whether all of bits are in m.
func (m Mask) Has(bits Mask) bool { return m&bits == bits }

// String gives the kernel's names of the bits in ascending order, as IN_CREATE|IN_ISDIR. Bits without a name come
// last, as one hexadecimal number; an empty mask is "0". ParseMask reads it back.
func (m Mask) String() string {
	if m == 0 {
		return "0"
	}
	return strings.Join(m.names(false), "|")
}

// Names gives the readable names of the bits in ascending order: access, modify, ..., queue_overflow, only_dir,
// is_dir, one_shot. Bits without a name come last, as one hexadecimal number.
func (m Mask) Names() []string { return m.names(true) }

// ParseMask reads what String and Names write, and what people write: names of bits and sets with or without IN_, in
// either case, words run together or parted by underscores, decimal or hexadecimal numbers; separated by '|', ',' or
// white space.
func ParseMask(text string) (Mask, error) {
	var m Mask
	for _, word := range strings.FieldsFunc(text, separates) {
		bits, ok := parseWord(word)
		if !ok {
			return 0, fmt.Errorf("inotify mask %q: no event or flag is called %q", text, word)
		}
		m |= bits
	}
	return m, nil
}

func (m Mask) names(human bool) []string {
	var names []string
	for _, b := range bitNames {
		if m&b.bit == 0 {
			continue
		}
		m &^= b.bit
		if human {
			names = append(names, b.human)
		} else {
			names = append(names, b.name)
		}
	}
	if m != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(m)))
	}
	return names
}

func separates(r rune) bool { return strings.ContainsRune("|, \t\r\n", r) }

func parseWord(word string) (Mask, bool) {
	if n, err := strconv.ParseUint(word, 0, 32); err == nil {
		return Mask(n), true
	}
	plain := plainName(word)
	for _, b := range bitNames {
		if plain == plainName(b.name) || plain == plainName(b.human) {
			return b.bit, true
		}
	}
	for _, s := range setNames {
		if plain == plainName(s.name) {
			return s.set, true
		}
	}
	return 0, false
}

// plainName folds the spellings of a name to one: onlydir for IN_ONLYDIR, only_dir and ONLY_DIR.
func plainName(word string) string {
	word = strings.TrimPrefix(strings.ToLower(word), "in_")
	return strings.ReplaceAll(word, "_", "")
}
