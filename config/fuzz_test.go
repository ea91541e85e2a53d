package config

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func seeds(f *testing.F) {
	for _, path := range []string{"../config.example.toml", "testdata/errors.txtar"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		for part := range strings.SplitSeq(string(data), "\n-- ") {
			_, text, _ := strings.Cut(part, "\n")
			f.Add([]byte(text))
		}
	}
	for _, text := range []string{
		"[task]\n0.0=0", "[[task]]\n[task.x]\n", "[task.a]\nrun='x'\n[[service.b.listen]]\naddress=':1'\n[[service.b.listen]]\naddress=':2'\n",
		"a.b.c=1\n[a.b]\nd=2\n", "a=[{b=1,c=[2,{d=3}]},\n{}]", "\"\\u0061\"=1\na=2", "'''a'''=1", "a=\"\"\"x\"\"\"\"\"\nb='''y'''''", "a = 1979-05-27 07:32:00Z # x",
		"a = { b = 1,\n c.d = 2, # x\n}", "x={a.b=1,a.c=2}\n", "[a]\n[a.b]\n[a]\n", "=", "[", "[]", "a=", "a=\"\\", "a={", "\r", "a=1\r\n", "[a.\"b.c\"]\n[a.b.c]",
	} {
		f.Add([]byte(text))
	}
}

// FuzzParse: whatever the bytes, there is a config that can be used or an
// error that stands at a place of the file, and never a panic.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("flinch.toml", data, Options{})
		if err == nil {
			checkConfig(t, cfg)
			return
		}
		var list Errors
		if !errors.As(err, &list) || len(list) == 0 {
			t.Fatalf("got %#v, want errors", err)
		}
		if !slices.IsSortedFunc(list, func(a, b *Error) int { return a.Pos.compare(b.Pos) }) {
			t.Errorf("errors out of order:\n%v", err)
		}
		lines := strings.Split(strings.TrimPrefix(string(data), "\xef\xbb\xbf"), "\n")
		for _, e := range list {
			if e.Pos.Line > len(lines) || (e.Pos.Line == 0 && !strings.Contains(e.Msg, "UTF-16") && !strings.Contains(e.Msg, "larger")) {
				t.Errorf("%q has no place", e.Error())
			}
			if e.Pos.Line > 0 && (e.Pos.Col < 1 || e.Pos.Len < 1 || e.Pos.Col > 1+len([]rune(e.Line))) {
				t.Errorf("%q is beyond its line %q", e.Error(), e.Line)
			}
			if strings.Contains(e.Text(), "\x1b") || e.Msg == "" {
				t.Errorf("%q cannot be shown", e.Text())
			}
		}
	})
}

// checkConfig is what every user of a Config relies on.
func checkConfig(t *testing.T, cfg *Config) {
	t.Helper()
	if len(cfg.Rules) == 0 || len(cfg.Roots) == 0 || cfg.Jobs < 1 || cfg.Poll <= 0 {
		t.Errorf("got %+v", cfg)
	}
	for _, r := range cfg.Rules {
		if r.Run.IsZero() || r.On == 0 || r.Shell == "" || r.Dir == "" || r.StopSignal == 0 || r.MaxWait <= 0 || r.MaxWait < r.Settle.Duration {
			t.Errorf("rule %s: got %+v", r.Name, r)
		}
		if !r.Equal(r) || cfg.Rule(r.Name) != r || !r.Pos("").IsSet() {
			t.Errorf("rule %s is not itself", r.Name)
		}
		for _, need := range r.Needs {
			if cfg.Rule(need) == nil {
				t.Errorf("rule %s needs %s, which is nobody", r.Name, need)
			}
		}
		if r.Kind == Task && (r.Ready != nil || r.Listen != nil) {
			t.Errorf("task %s has keys of a service", r.Name)
		}
	}
}

// FuzzWalk: the walk for places accepts what the library accepts and sees
// the same tree.
func FuzzWalk(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
			data = data[3:] // readDocument takes one, the library another
		}
		d := &document{name: "x", text: string(data), root: &node{kind: tableKind}}
		d.lines = lineStarts(d.text)
		if !d.encoding() {
			return
		}
		s := &scanner{doc: d, src: d.text, root: &node{kind: tableKind}}
		bad := s.run()
		if bad != nil && bad.limit {
			return
		}
		values, err := decode(d.text)
		if err != nil {
			return
		}
		if bad != nil {
			t.Fatalf("the walk stops at %d: %s", bad.at, bad.msg)
		}
		if len(s.duplicates) > 0 {
			t.Fatalf("the walk sees a duplicate: %v", s.duplicates)
		}
		attach(s.root, values)
		compareTree(t, s.root, values)
	})
}

func compareTree(t *testing.T, n *node, value any) {
	t.Helper()
	if !n.pos.IsSet() && n.key != "" {
		t.Errorf("%q has no place", n.key)
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) != len(n.kids) || n.kind != tableKind {
			t.Fatalf("%q: got %d keys, want %d", n.key, len(n.kids), len(v))
		}
		for _, kid := range n.kids {
			compareTree(t, kid, v[kid.key])
		}
	case []map[string]any:
		if len(v) != len(n.kids) {
			t.Fatalf("%q: got %d tables, want %d", n.key, len(n.kids), len(v))
		}
		for i, kid := range n.kids {
			compareTree(t, kid, v[i])
		}
	case []any:
		if len(v) != len(n.kids) {
			t.Fatalf("%q: got %d elements, want %d", n.key, len(n.kids), len(v))
		}
		for i, kid := range n.kids {
			compareTree(t, kid, v[i])
		}
	default:
		if n.kind == noKind || len(n.kids) > 0 {
			t.Fatalf("%q: got %v, want %v", n.key, n.kind, value)
		}
	}
}

func TestWalkKeepsPlaces(t *testing.T) {
	d := readDocument("x", []byte("a = [1, 'é', [2]]\n[b.\"c d\"]\ne.f = { g = true }\n[[h]]\ni = 1\n[[h]]\ni = 2\n"))
	if d.errs != nil {
		t.Fatal(d.errs)
	}
	root := d.root
	g := root.child("b").child("c d").child("e").child("f").child("g")
	for _, c := range []struct {
		what string
		got  Pos
		want Pos
	}{
		{"a", root.child("a").pos, Pos{Line: 1, Col: 5, Len: 13}},
		{"a[1]", root.child("a").kids[1].pos, Pos{Line: 1, Col: 9, Len: 3}},
		{"a[2][0]", root.child("a").kids[2].kids[0].pos, Pos{Line: 1, Col: 15, Len: 1}},
		{"c d", root.child("b").child("c d").keyPos, Pos{Line: 2, Col: 4, Len: 5}},
		{"g", g.keyPos, Pos{Line: 3, Col: 9, Len: 1}},
		{"g's value", g.pos, Pos{Line: 3, Col: 13, Len: 4}},
		{"second h.i", root.child("h").kids[1].child("i").pos, Pos{Line: 7, Col: 5, Len: 1}},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.what, c.got, c.want)
		}
	}
}

// TestHugeInputs: what would take a naive parser minutes or its stack.
func TestHugeInputs(t *testing.T) {
	for name, text := range map[string]string{
		"deep array":    "a=" + strings.Repeat("[", maxSize-10),
		"deep table":    "a=" + strings.Repeat("{a=", (maxSize-10)/3),
		"long key":      strings.Repeat("a.", (maxSize-10)/2) + "a=1",
		"long array":    "a=[" + strings.Repeat("1,", (maxSize-10)/2) + "]",
		"many keys":     manyKeys(),
		"many brackets": strings.Repeat("[[a]]\n", 20_000),
	} {
		if _, err := Parse("flinch.toml", []byte(text), Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func manyKeys() string {
	var b strings.Builder
	for i := 0; b.Len() < maxSize/4; i++ {
		b.WriteString(strings.Repeat("k", i%7+1))
		b.WriteString(strings.Repeat("x", i%3))
		b.WriteByte(byte('0' + i%10))
		b.WriteString(" = 1\n")
	}
	return b.String()
}

// TestLibraryPanicsAreErrors keeps the reason why decode recovers.
func TestLibraryPanicsAreErrors(t *testing.T) {
	if _, err := decode("a = 1"); err != nil {
		t.Errorf("got %v", err)
	}
	var parse toml.ParseError
	if _, err := decode("a = "); !errors.As(err, &parse) {
		t.Errorf("got %T, want a ParseError", err)
	}
}
