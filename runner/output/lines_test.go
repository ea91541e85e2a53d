package output

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// screen prints pieces as the printer does, for one stream.
type screen struct {
	a     assembler
	out   strings.Builder
	lines []string
	more  string
}

func newScreen(a assembler) *screen {
	s := &screen{a: a}
	s.a.emit = func(p piece) { s.out.Write(p.data) }
	s.a.tap = func(text []byte, more bool) {
		s.more += string(text)
		if !more {
			s.lines = append(s.lines, s.more)
			s.more = ""
		}
	}
	return s
}

func TestColoursStayInsideTheirLines(t *testing.T) {
	tests := []struct{ in, want string }{
		{"\x1b[31mred\nstill\x1b[0m\nplain\n", "P \x1b[31mred\x1b[0m\nP \x1b[31mstill\x1b[0m\nP plain\n"},
		{"\x1b[31mred\x1b[39m\nplain\n", "P \x1b[31mred\x1b[39m\nP plain\n"},
		{"\x1b[1m\x1b[38;5;0mx\n\x1b[22my\n\x1b[mz\n", "P \x1b[1m\x1b[38;5;0mx\x1b[0m\nP \x1b[1;38;5;0m\x1b[22my\x1b[0m\nP \x1b[38;5;0m\x1b[mz\n"},
		{"\x1b[48;2;1;2;0;4mx\ny\n", "P \x1b[48;2;1;2;0;4mx\x1b[0m\nP \x1b[4;48;2;1;2;0my\x1b[0m\n"},
		{"\x1b[0;32mx\n\x1b[0;0my\n", "P \x1b[0;32mx\x1b[0m\nP \x1b[32m\x1b[0;0my\n"},
		{"\x1b[38:5:9mx\ny\x1b[2Kz\n", "P \x1b[38:5:9mx\x1b[0m\nP \x1b[38:5:9my\x1b[2Kz\x1b[0m\n"},
		{"\x1b[4;58;5;9;53mx\n\n\x1b[24;59;55m\nz\n", "P \x1b[4;58;5;9;53mx\x1b[0m\nP \x1b[4;53;58;5;9m\x1b[0m\nP \x1b[4;53;58;5;9m\x1b[24;59;55m\nP z\n"},
	}
	for _, tt := range tests {
		for cut := range len(tt.in) {
			s := newScreen(assembler{prefix: []byte("P "), color: true})
			s.a.write([]byte(tt.in[:cut]))
			s.a.flush()
			s.a.write([]byte(tt.in[cut:]))
			s.a.end()
			if got := s.out.String(); got != tt.want {
				t.Errorf("%q cut at %d:\ngot  %q\nwant %q", tt.in, cut, got, tt.want)
			}
		}
	}
}

// On a terminal, going back to the beginning of a line goes to after the prefix.
func TestRedraws(t *testing.T) {
	tests := []struct {
		pty      bool
		in, want string
	}{
		{false, "10%\r20%\r100%\nnext\n", "P 10%\rP 20%\rP 100%\nP next\n"},
		{false, "\rx\r\ny\n", "P \rP x\r\nP y\n"},
		{true, "x\r\ny\r\n", "P x\nP y\n"},
		{true, "10%\r20%\r\n", "P 10%\rP 20%\n"},
		{true, "\x1b[31m1\r2\r\n", "P \x1b[31m1\x1b[0m\rP \x1b[31m2\x1b[0m\n"},
	}
	for _, tt := range tests {
		for cut := range len(tt.in) {
			s := newScreen(assembler{prefix: []byte("P "), color: true, terminal: true, pty: tt.pty})
			s.a.write([]byte(tt.in[:cut]))
			s.a.flush()
			s.a.write([]byte(tt.in[cut:]))
			s.a.end()
			if got := s.out.String(); got != tt.want {
				t.Errorf("%q cut at %d:\ngot  %q\nwant %q", tt.in, cut, got, tt.want)
			}
		}
	}
}

// However a stream is cut into reads, the same comes out, and all of it.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"a\nb", "\n\n", "\x1b[31mx\ny", "\r\n\r", "x\x1b", "\x1b[38;2;1", "\x1b[\n", strings.Repeat("x", 3*lineMax) + "\ny"} {
		f.Add([]byte(s), uint64(1), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, mode uint8) {
		a := assembler{prefix: []byte("P "), color: mode&1 != 0, terminal: mode&2 != 0, pty: mode&4 != 0}
		whole, cut := newScreen(a), newScreen(a)
		whole.a.write(data)
		whole.a.end()
		rng := rand.New(rand.NewPCG(seed, 0))
		for rest := data; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			cut.a.write(rest[:n])
			if rng.IntN(2) == 0 {
				cut.a.flush()
			}
			rest = rest[n:]
		}
		cut.a.end()
		if whole.out.String() != cut.out.String() && len(data) < lineMax {
			t.Errorf("mode %d:\nwhole %q\ncut   %q", mode, whole.out.String(), cut.out.String())
		}
		want := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		if len(data) == 0 {
			want = nil
		}
		for i := range want {
			if a.pty && (len(want[i]) < lineMax || strings.HasSuffix(want[i], "\r")) {
				want[i] = strings.TrimSuffix(want[i], "\r")
			}
		}
		if got := strings.Join(cut.lines, "\n"); got != strings.Join(want, "\n") && len(data) < lineMax {
			t.Errorf("mode %d: lines\ngot  %q\nwant %q", mode, got, strings.Join(want, "\n"))
		}
		if mode&7 == 0 {
			if got := strings.ReplaceAll("\n"+cut.out.String(), "\nP ", "\n"); !bytes.HasPrefix([]byte(got[1:]), data) && !bytes.Contains(data, []byte("\nP ")) && !bytes.HasPrefix(data, []byte("P ")) {
				t.Errorf("got %q", got)
			}
		}
	})
}

// Marks vanish from what was read, wherever they and the reads are cut.
func FuzzBarrier(f *testing.F) {
	f.Add("a", "b", uint64(1))
	f.Add("\x00flinch:", "\x00", uint64(2))
	f.Add("\x00flin", "ch:\x00\x00flinch:m\x00", uint64(3))
	f.Fuzz(func(t *testing.T, before, after string, seed uint64) {
		b := barrier{mark: []byte("\x00flinch:MARK\x00"), out: 1}
		if strings.Contains(before+after, "MARK") {
			return // nobody can know what it is
		}
		var got []byte
		rng := rand.New(rand.NewPCG(seed, 0))
		for rest := []byte(before + string(b.mark) + after); len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			got = append(got, b.filter(bytes.Clone(rest[:n]))...)
			rest = rest[n:]
		}
		got = append(got, b.hold...)
		if string(got) != before+after || b.up() {
			t.Errorf("got %q, want %q; still up: %v", got, before+after, b.up())
		}
	})
}

func BenchmarkLines(b *testing.B) {
	block := bytes.Repeat([]byte("2026-11-21T15:58:26Z \x1b[32mINFO\x1b[39m request served path=/index.html status=200 ms=12\n"), 700)
	a := assembler{prefix: []byte("\x1b[36mapp |\x1b[0m "), color: true, emit: func(piece) {}}
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		a.write(block)
	}
}
