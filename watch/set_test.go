package watch

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSetFolds(t *testing.T) {
	c := func(op Op, path string) Change { return Change{Op: op, Type: File, Path: path} }
	mv := func(from, to string) Change { return Change{Op: Rename, Type: File, From: from, Path: to} }
	d := func(op Op, path string) Change { return Change{Op: op, Type: Dir, Path: path} }
	tests := []struct {
		name string
		add  []Change
		want []string
	}{
		{"nothing", nil, nil},
		{"made and removed", []Change{c(Create, "a"), c(Write, "a"), c(Remove, "a")}, nil},
		{"removed and made", []Change{c(Remove, "a"), c(Create, "a")}, []string{"write file a"}},
		{"made and written", []Change{c(Create, "a"), c(Write, "a"), c(Attrib, "a")}, []string{"create file a"}},
		{"written and removed", []Change{c(Write, "a"), c(Remove, "a")}, []string{"remove file a"}},
		{"attrib and write", []Change{c(Attrib, "a"), c(Write, "a")}, []string{"write file a"}},
		{"attrib only", []Change{c(Attrib, "a"), c(Attrib, "a")}, []string{"attrib file a"}},
		{"renamed twice", []Change{mv("a", "b"), mv("b", "c")}, []string{"rename file c from a"}},
		{"renamed and back", []Change{mv("a", "b"), mv("b", "a")}, []string{"write file a"}},
		{"made and renamed", []Change{c(Create, "a"), mv("a", "b")}, []string{"create file b"}},
		{"renamed and removed", []Change{mv("a", "b"), c(Remove, "b")}, []string{"remove file a"}},
		{"renamed, old name made again", []Change{mv("a", "b"), c(Create, "a")}, []string{"write file a", "create file b"}},
		{"a save through a backup", []Change{mv("f", "f~"), c(Create, "f"), c(Remove, "f~")}, []string{"write file f"}},
		{"folder replaced", []Change{d(Remove, "d"), d(Create, "d")}, nil},
		{"folder for a file", []Change{c(Remove, "d"), d(Create, "d")}, []string{"write dir d"}},
		{"order", []Change{d(Create, "n"), c(Create, "n/f"), c(Remove, "o/f"), d(Remove, "o"), c(Write, "b")},
			[]string{"remove file o/f", "remove dir o", "write file b", "create dir n", "create file n/f"}},
	}
	for _, tt := range tests {
		var s Set
		for _, c := range tt.add {
			s.Add(c)
		}
		if got := lines(s.Changes()); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestSetKeepsTheLastState: open and closed are what they were at last, recovered what any was, the time is the latest.
func TestSetKeepsTheLastState(t *testing.T) {
	var s Set
	now := time.Now()
	s.Add(Change{Op: Write, Type: File, Path: "f", Open: true, Recovered: true, Time: now.Add(time.Second)})
	s.Add(Change{Op: Write, Type: File, Path: "f", Closed: true, Time: now})
	c := s.Changes()[0]
	if c.Open || !c.Closed || !c.Recovered || !c.Time.Equal(now.Add(time.Second)) {
		t.Errorf("got %+v", c)
	}
	s.Add(Change{Op: Create, Type: File, Path: "f", Root: 1})
	if s.Len() != 2 {
		t.Errorf("%d changes, want one of each root", s.Len())
	}
}

// TestSetIsReplayable: for random steps, the net changes lead from the state before to the state after.
func TestSetIsReplayable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		before := make(map[string]bool)
		for _, p := range []string{"a", "b", "c", "d"} {
			before[p] = r.IntN(2) == 0
		}
		now := make(map[string]bool)
		for p, there := range before {
			now[p] = there
		}
		var s Set
		for range r.IntN(12) {
			p, q := string("abcd"[r.IntN(4)]), string("abcd"[r.IntN(4)])
			switch {
			case !now[p]:
				s.Add(Change{Op: Create, Type: File, Path: p})
				now[p] = true
			case r.IntN(3) == 0:
				s.Add(Change{Op: Remove, Type: File, Path: p})
				now[p] = false
			case !now[q]:
				s.Add(Change{Op: Rename, Type: File, Path: q, From: p})
				now[p], now[q] = false, true
			default:
				s.Add(Change{Op: Write, Type: File, Path: p})
			}
		}
		replayed := before
		for _, c := range s.Changes() {
			if c.Op == Remove {
				replayed[c.Path] = false
			} else if c.Op == Rename {
				replayed[c.From] = false
			}
		}
		for _, c := range s.Changes() {
			if c.Op != Remove {
				replayed[c.Path] = true
			}
		}
		for p := range now {
			if replayed[p] != now[p] {
				t.Fatalf("%s: replayed %v, is %v, after %v", p, replayed[p], now[p], lines(s.Changes()))
			}
		}
	}
}

// TestFilesKeepOrder: random edits of the compact list against a map.
func TestFilesKeepOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var f files
	model := make(map[string]uint64)
	for range 3000 {
		var e edit
		for range r.IntN(9) {
			name := strings.Repeat(string(rune('a'+r.IntN(20))), 1+r.IntN(40))
			if i, known := f.find(name); known {
				e.gone = append(e.gone, i, i)
				delete(model, name)
			} else if _, twice := model[name]; !twice {
				x := entry{ino: r.Uint64()}
				e.add = append(e.add, named{name, x})
				model[name] = x.ino
			}
		}
		f.apply(&e)
		if len(f.list) != len(model) {
			t.Fatalf("%d entries, want %d", len(f.list), len(model))
		}
		for i := range f.list {
			if i > 0 && f.name(i-1) >= f.name(i) {
				t.Fatalf("%q is before %q", f.name(i-1), f.name(i))
			}
			if f.list[i].ino != model[f.name(i)] {
				t.Fatalf("%q is another", f.name(i))
			}
		}
	}
	if len(f.names) > 64*len(f.list)+1024+8*40 {
		t.Errorf("%d bytes of names for %d entries", len(f.names), len(f.list))
	}
}

func TestParseMounts(t *testing.T) {
	const text = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n35 22 0:31 / /mnt/with\\040space\\134 rw,relatime shared:5 - tmpfs none rw\nbroken\n"
	got := parseMounts(text)
	if len(got) != 2 || got[22] != "/" || got[35] != `/mnt/with space\` {
		t.Errorf("got %v", got)
	}
}

func TestNames(t *testing.T) {
	for op, want := range map[Op]string{Create: "create", Write: "write", Remove: "remove", Rename: "rename", Attrib: "attrib", 0: "none", 99: "none"} {
		if op.String() != want {
			t.Errorf("op %d is %q, want %q", op, op, want)
		}
	}
	for typ, want := range map[Type]string{File: "file", Dir: "dir", Symlink: "symlink", Other: "other", 0: "unknown", 99: "unknown"} {
		if typ.String() != want {
			t.Errorf("type %d is %q, want %q", typ, typ, want)
		}
	}
}
