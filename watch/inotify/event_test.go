package inotify

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// appendEvent writes an event as the kernel does: the name ends in NULs up to a multiple of 16 bytes.
func appendEvent(to []byte, ev Event) []byte {
	length := 0
	if ev.Name != "" {
		length = (len(ev.Name) + 16) &^ 15
	}
	to = binary.NativeEndian.AppendUint32(to, uint32(ev.WD))
	to = binary.NativeEndian.AppendUint32(to, uint32(ev.Mask))
	to = binary.NativeEndian.AppendUint32(to, ev.Cookie)
	to = binary.NativeEndian.AppendUint32(to, uint32(length))
	to = append(to, ev.Name...)
	return append(to, make([]byte, length-len(ev.Name))...)
}

func TestDecode(t *testing.T) {
	want := []Event{
		{1, Create, 0, 16, "a"},
		{2, MovedFrom | IsDir, 7, 16, strings.Repeat("b", 15)},
		{2, MovedTo | IsDir, 7, 32, strings.Repeat("c", 16)},
		{NoWD, Overflow, 0, 0, ""},
		{1 << 30, Ignored, 0, 0, ""},
		{3, Create, 1<<32 - 1, 256, strings.Repeat("d", 255)},
		{3, Create | 1<<20, 0, 16, "caf\xe9\n"},
	}
	var b Buffer
	for _, ev := range want {
		b.whole = appendEvent(b.whole, ev)
	}
	if got := wholeEvents(b.whole); got != len(b.whole) {
		t.Errorf("whole events: got %d bytes, want %d", got, len(b.whole))
	}
	expect(t, b.appendEvents(nil), want)
	i := 0
	for ev := range b.Events() {
		if ev.Event() != want[i] {
			t.Errorf("raw event %d: got %v, want %v", i, ev, want[i])
		}
		i++
	}
}

// TestDecodeBroken: no answer of a kernel, but nothing to fall over.
func TestDecodeBroken(t *testing.T) {
	whole := appendEvent(nil, Event{WD: 1, Mask: Create, Name: "a"})
	noNUL := slices.Clone(whole)
	copy(noNUL[headerSize:], strings.Repeat("x", 16))
	beyond := slices.Clone(whole)
	binary.NativeEndian.PutUint32(beyond[12:], 17)
	huge := slices.Clone(whole)
	binary.NativeEndian.PutUint32(huge[12:], 1<<32-1)
	for _, test := range []struct {
		name string
		data []byte
		want []Event
	}{
		{"nothing", nil, nil},
		{"a cut header", whole[:15], nil},
		{"a name cut off", whole[:16], nil},
		{"a length beyond the end", beyond, nil},
		{"the largest length", huge, nil},
		{"whole, then cut", append(slices.Clone(whole), whole[:20]...), []Event{{1, Create, 0, 16, "a"}}},
		{"a name without a NUL", noNUL, []Event{{1, Create, 0, 16, strings.Repeat("x", 16)}}},
	} {
		b := Buffer{whole: test.data[:wholeEvents(test.data)]}
		t.Run(test.name, func(t *testing.T) { expect(t, b.appendEvents(nil), test.want) })
	}
}

func TestEventString(t *testing.T) {
	ev := Event{WD: 1, Mask: Create | IsDir, Len: 16, Name: "a\n"}
	if got, want := ev.String(), `wd=1 mask=IN_CREATE|IN_ISDIR cookie=0 len=16 name="a\n"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMaxEventSize(t *testing.T) {
	if got := len(appendEvent(nil, Event{Name: strings.Repeat("n", unix.NAME_MAX)})); got != MaxEventSize {
		t.Errorf("the largest event: got %d bytes, want %d", got, MaxEventSize)
	}
}

// FuzzDecode: whatever the bytes, the events are those that a slow decoder finds, and no name reaches beyond its
// event.
func FuzzDecode(f *testing.F) {
	whole := appendEvent(appendEvent(nil, Event{WD: -1, Mask: Overflow}), Event{WD: 1, Mask: Create, Name: "a"})
	f.Add(whole)
	f.Add(whole[:40])
	f.Add(whole[:20])
	f.Add(append(slices.Clone(whole[:28]), 0xff, 0xff, 0xff, 0xff, 'x'))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := wholeEvents(data)
		b := Buffer{whole: data[:n:n]}
		var got []Event
		for ev := range b.Events() {
			if cap(ev.Name) > int(ev.Len) {
				t.Fatalf("name %q: capacity %d, want at most %d", ev.Name, cap(ev.Name), ev.Len)
			}
			got = append(got, ev.Event())
		}
		want, rest := decodeSlowly(data)
		expect(t, got, want)
		expect(t, b.appendEvents(nil), want)
		if n != len(data)-rest {
			t.Errorf("whole events: got %d bytes, want %d", n, len(data)-rest)
		}
	})
}

// decodeSlowly reads field by field, for comparison.
func decodeSlowly(data []byte) (events []Event, rest int) {
	for in := bytes.NewReader(data); ; {
		rest = in.Len()
		var header struct{ WD, Mask, Cookie, Len uint32 }
		if binary.Read(in, binary.NativeEndian, &header) != nil || int64(header.Len) > int64(in.Len()) {
			return events, rest
		}
		name := make([]byte, header.Len)
		_, _ = in.Read(name) // as long as was just checked
		text, _, _ := strings.Cut(string(name), "\x00")
		events = append(events, Event{WD(header.WD), Mask(header.Mask), header.Cookie, header.Len, text})
	}
}
