package inotify

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMaskValues holds the values to those of the kernel's headers, which are the same on all architectures.
func TestMaskValues(t *testing.T) {
	for _, test := range []struct {
		got, want Mask
	}{
		{Access, 1}, {Modify, 2}, {Attrib, 4}, {CloseWrite, 8}, {CloseNowrite, 16}, {Open, 32}, {MovedFrom, 64},
		{MovedTo, 128}, {Create, 256}, {Delete, 512}, {DeleteSelf, 1024}, {MoveSelf, 2048}, {Unmount, 8192},
		{Overflow, 16384}, {Ignored, 32768}, {OnlyDir, 1 << 24}, {DontFollow, 1 << 25}, {ExclUnlink, 1 << 26},
		{MaskCreate, 1 << 28}, {MaskAdd, 1 << 29}, {IsDir, 1 << 30}, {OneShot, 1 << 31},
		{Close, 24}, {Move, 192}, {Changed, 6}, {AllEvents, 4095}, {WatchMask, 0x2fce},
	} {
		if test.got != test.want {
			t.Errorf("%v: got %#x, want %#x", test.got, uint32(test.got), uint32(test.want))
		}
	}
	if Cloexec != unix.IN_CLOEXEC || Nonblock != unix.IN_NONBLOCK {
		t.Error("the flags of inotify_init1 are not this architecture's")
	}
}

func TestMaskNames(t *testing.T) {
	want := strings.Fields(`access modify attrib close_write close_nowrite open moved_from moved_to create delete
		delete_self move_self unmount queue_overflow ignored only_dir dont_follow excl_unlink mask_create mask_add
		is_dir one_shot`)
	var all Mask
	for i, b := range bitNames {
		all |= b.bit
		if got := b.bit.Names(); !slices.Equal(got, want[i:i+1]) {
			t.Errorf("%v: got names %q, want %q", b.bit, got, want[i])
		}
		for _, text := range []string{b.name, b.human, strings.ToLower(b.name), b.name[len("IN_"):], b.bit.String()} {
			if got, err := ParseMask(text); got != b.bit || err != nil {
				t.Errorf("ParseMask(%q): got %v, %v, want %v", text, got, err, b.bit)
			}
		}
	}
	if got := all.Names(); !slices.Equal(got, want) {
		t.Errorf("all: got names %q, want %q", got, want)
	}
}

func TestMaskString(t *testing.T) {
	for _, test := range []struct {
		mask Mask
		want string
	}{
		{0, "0"},
		{IsDir | Create, "IN_CREATE|IN_ISDIR"},
		{Close, "IN_CLOSE_WRITE|IN_CLOSE_NOWRITE"},
		{OneShot | OnlyDir | Delete, "IN_DELETE|IN_ONLYDIR|IN_ONESHOT"},
		{0x1000 | 0x80000, "0x81000"},
		{Create | 0x1000, "IN_CREATE|0x1000"},
	} {
		if got := test.mask.String(); got != test.want {
			t.Errorf("%#x: got %s, want %s", uint32(test.mask), got, test.want)
		}
	}
}

func TestParseMask(t *testing.T) {
	for text, want := range map[string]Mask{
		"":                                    0,
		"0":                                   0,
		"IN_CREATE | IN_DELETE":               Create | Delete,
		"create,delete\tmodify\n":             Create | Delete | Modify,
		"CREATE|ISDIR":                        Create | IsDir,
		"q_overflow onlydir dontfollow isdir": Overflow | OnlyDir | DontFollow | IsDir,
		"closewrite,CloseNoWrite":             Close,
		"close":                               Close,
		"move":                                Move,
		"moved":                               Move,
		"changed":                             Changed,
		"all_events":                          AllEvents,
		"watch_mask":                          WatchMask,
		"0x100":                               Create,
		"256":                                 Create,
		"create|0x80000":                      Create | 0x80000,
		"0xffffffff":                          0xffffffff,
	} {
		if got, err := ParseMask(text); got != want || err != nil {
			t.Errorf("ParseMask(%q): got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"IN_CRATE":           `inotify mask "IN_CRATE": no event or flag is called "IN_CRATE"`,
		"create;delete":      `inotify mask "create;delete": no event or flag is called "create;delete"`,
		"create,in_":         `inotify mask "create,in_": no event or flag is called "in_"`,
		"0x100000000":        `inotify mask "0x100000000": no event or flag is called "0x100000000"`,
		"-1":                 `inotify mask "-1": no event or flag is called "-1"`,
		"IN_CREATE+IN_ISDIR": `inotify mask "IN_CREATE+IN_ISDIR": no event or flag is called "IN_CREATE+IN_ISDIR"`,
	} {
		if _, err := ParseMask(text); err == nil || err.Error() != want {
			t.Errorf("ParseMask(%q): got %v, want %s", text, err, want)
		}
	}
}

// TestMaskRoundTrip: whatever the bits, both spellings read back as the same mask.
func TestMaskRoundTrip(t *testing.T) {
	for range 2_000 {
		want := Mask(rand.Uint32() & rand.Uint32())
		for _, text := range []string{want.String(), strings.Join(want.Names(), ",")} {
			if got, err := ParseMask(text); got != want || err != nil {
				t.Fatalf("%#x as %q: got %#x, %v", uint32(want), text, uint32(got), err)
			}
		}
	}
}

func TestMaskHas(t *testing.T) {
	if m := Create | IsDir; !m.Has(Create) || !m.Has(Create|IsDir) || m.Has(Create|Delete) || m.Has(Delete) {
		t.Errorf("%v: Has is wrong", m)
	}
}

func FuzzParseMask(f *testing.F) {
	f.Add("IN_CREATE|is_dir,0x80 one_shot")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMask(text)
		if err != nil {
			return
		}
		if again, err := ParseMask(m.String()); again != m || err != nil {
			t.Errorf("%q is %v, which is %v, %v", text, m, again, err)
		}
	})
}
