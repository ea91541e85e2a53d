package inotify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"
)

// WD is a watch descriptor: the kernel's number for one watched inode of one instance, from 1 up. It means nothing, or
// something else, to another instance. Numbers only grow and are not given again (until 2^31 of them have been).
type WD int32

// NoWD is the WD of an overflow event and of errors that concern no watch.
const NoWD WD = -1

// Sizes in bytes.
const (
	headerSize = unix.SizeofInotifyEvent

	// MaxEventSize is the size of the largest event: a header and a name of 255 bytes with its NUL.
	MaxEventSize = headerSize + unix.NAME_MAX + 1

	// DefaultBuffer is the size of the buffer of Conn.Read. A read(2) that fills it brings 2,048 events with names
	// of up to 15 bytes.
	DefaultBuffer = 64 << 10
)

// Event is one struct inotify_event.
type Event struct {
	WD     WD     // the watch; -1 in an overflow event
	Mask   Mask   // what happened
	Cookie uint32 // ties MovedFrom and MovedTo of one rename together; else 0
	Len    uint32 // bytes of the name in the kernel's record, with its padding: a multiple of 16; 0 without a name
	Name   string // exact bytes of the entry's name; "" where the event concerns the watched inode itself
}

// Overflow tells that the kernel's queue was full: events were lost between the one before this and the moment this
// one was read, among them perhaps Ignored and DeleteSelf. Only a look at the disk tells what they were.
func (e Event) Overflow() bool { return e.Mask&Overflow != 0 }

// String gives the event in one line: wd=1 mask=IN_CREATE|IN_ISDIR cookie=0 len=16 name="sub".
func (e Event) String() string {
	return fmt.Sprintf("wd=%d mask=%v cookie=%d len=%d name=%q", e.WD, e.Mask, e.Cookie, e.Len, e.Name)
}

// RawEvent is an Event whose Name lies in the Buffer it was read into.
type RawEvent struct {
	WD     WD
	Mask   Mask
	Cookie uint32
	Len    uint32
	Name   []byte // valid until the next read into the Buffer; not to be changed
}

// Overflow is Event.Overflow.
func (e RawEvent) Overflow() bool { return e.Mask&Overflow != 0 }

// Event copies the name.
func (e RawEvent) Event() Event {
	return Event{WD: e.WD, Mask: e.Mask, Cookie: e.Cookie, Len: e.Len, Name: string(e.Name)}
}

// Buffer holds the events of one read(2). The zero Buffer is ready to use and has DefaultBuffer bytes from its first
// use on. One goroutine uses it at a time.
type Buffer struct {
	space []byte
	whole []byte // the part of space that the last read filled with whole events

	// Of the read under way.
	conn  *Conn
	limit int   // most bytes to read
	got   int   // bytes read
	err   error // what read(2) said

	// attempt, in the forms that the poller takes.
	fill func() bool
	once func(fd uintptr)
}

// Events gives the events of the last ReadRaw or TryReadRaw, in the kernel's order.
func (b *Buffer) Events() iter.Seq[RawEvent] {
	return func(yield func(RawEvent) bool) {
		for rest := b.whole; len(rest) > 0; {
			var ev RawEvent
			ev, rest = next(rest)
			if !yield(ev) {
				return
			}
		}
	}
}

// appendEvents copies the events out. Most often several in a row have one name (IN_CREATE, IN_MODIFY,
// IN_CLOSE_WRITE of one file): they share its string.
func (b *Buffer) appendEvents(events []Event) []Event {
	last := ""
	for raw := range b.Events() {
		if string(raw.Name) != last {
			last = string(raw.Name)
		}
		events = append(events, Event{WD: raw.WD, Mask: raw.Mask, Cookie: raw.Cookie, Len: raw.Len, Name: last})
	}
	return events
}

// next decodes the first event of data, which must begin with a whole one, and gives what follows it.
func next(data []byte) (RawEvent, []byte) {
	size := headerSize + int(binary.NativeEndian.Uint32(data[12:]))
	name := data[headerSize:size:size]
	if nul := bytes.IndexByte(name, 0); nul >= 0 {
		name = name[:nul]
	}
	return RawEvent{
		WD:     WD(int32(binary.NativeEndian.Uint32(data))),
		Mask:   Mask(binary.NativeEndian.Uint32(data[4:])),
		Cookie: binary.NativeEndian.Uint32(data[8:]),
		Len:    binary.NativeEndian.Uint32(data[12:]),
		Name:   name,
	}, data[size:]
}

// wholeEvents gives the length of the whole events that data begins with. The kernel writes nothing else.
func wholeEvents(data []byte) int {
	n := 0
	for len(data)-n >= headerSize {
		length := binary.NativeEndian.Uint32(data[n+12:])
		if uint64(length) > uint64(len(data)-n-headerSize) {
			break
		}
		n += headerSize + int(length)
	}
	return n
}
