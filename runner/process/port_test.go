package process

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func addrOf(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Only sockets that a process of the run holds count, whatever their family, and however deep the process.
func TestListening(t *testing.T) {
	h := newTestHost(t, Options{})
	foreign, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	silent := start(t, h, Spec{Argv: []string{"sleep", "1000"}})
	for _, c := range []struct{ network, address string }{{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", ":0"}} {
		if l, err := net.Listen(c.network, c.address); err != nil {
			t.Logf("%s: %v", c.network, err)
			continue
		} else {
			l.Close()
		}
		tree, out := output(t, h, Spec{Argv: sh(`setsid "$@" & wait`, self("listen", c.network, c.address)...)})
		want := addrOf(t, out.next(t))
		got := tree.Listening()
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %v", c.network, got, want)
		}
		p, ok := PortOwner(want.Port())
		if !ok || !slices.Contains(pids(tree.Members()), p.PID) || !strings.Contains(p.Command, helperFlag) {
			t.Errorf("%s: owner %+v %v", c.network, p, ok)
		}
		tree.Kill()
		next(t, h, tree, Over)
		if p, ok := PortOwner(want.Port()); ok {
			t.Errorf("%s: after the end, owner %v", c.network, p)
		}
		if got := tree.Listening(); got != nil {
			t.Errorf("%s: after the end, got %v", c.network, got)
		}
	}
	if got := silent.Listening(); got != nil {
		t.Errorf("a run that does not listen: got %v", got)
	}
	if p, ok := PortOwner(addrOf(t, foreign.Addr().String()).Port()); !ok || p.PID != os.Getpid() {
		t.Errorf("our own socket: got %v %v", p, ok)
	}
}

// A socket that was handed down counts as the run's.
func TestListeningHandedDown(t *testing.T) {
	h := newTestHost(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree := start(t, h, Spec{Argv: []string{"sleep", "1000"}, Extra: []*os.File{f}})
	if got, want := tree.Listening(), addrOf(t, l.Addr().String()); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Both ways to ask give the same.
func TestSocketSources(t *testing.T) {
	for _, c := range []struct{ network, address string }{{"tcp4", "127.0.0.1:0"}, {"tcp6", "[::1]:0"}, {"tcp", ":0"}} {
		l, err := net.Listen(c.network, c.address)
		if err != nil {
			t.Logf("%s: %v", c.network, err)
			continue
		}
		defer l.Close()
		fast, err := diagnosed()
		if err != nil {
			t.Skipf("no netlink here: %v", err)
		}
		want := addrOf(t, l.Addr().String())
		match := func(s socket) bool { return s.addr == want }
		i, j := slices.IndexFunc(fast, match), slices.IndexFunc(tabled(os.Getpid()), match)
		if i < 0 || j < 0 || fast[i] != tabled(os.Getpid())[j] {
			t.Errorf("%v: got %v and %v", want, fast, tabled(os.Getpid()))
		}
	}
}

// A run in a network of its own.
func TestListeningElsewhere(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a network namespace")
	}
	h := newTestHost(t, Options{})
	tree, out := output(t, h, Spec{Argv: append([]string{"unshare", "-n"}, self("listen", "tcp4", "0.0.0.0:0")...)})
	line := out.next(t)
	want, err := netip.ParseAddrPort(line)
	if err != nil {
		t.Skip(line)
	}
	if got := tree.Listening(); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParseSocket(t *testing.T) {
	for _, c := range []struct{ line, addr, link string }{
		{"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0", "127.0.0.1:8080", "socket:[4711]"},
		{"   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0", "[::1]:22", "socket:[12]"},
		{"   2: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0", "", ""},
		{"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "", ""},
		{"", "", ""},
		{"   0: zzzz:1F90 00000000:0000 0A a b c d e 4711", "", ""},
		{"   0: 0100007F:1F9000 00000000:0000 0A a b c d e 4711", "", ""},
	} {
		s, ok := parseSocket(c.line)
		if ok != (c.addr != "") || ok && (s.addr.String() != c.addr || s.link != c.link) {
			t.Errorf("%q: got %v %v, want %s %s", c.line, s, ok, c.addr, c.link)
		}
	}
}

// BenchmarkListening is what a look at a server costs that listens, beside a few other processes.
func BenchmarkListening(b *testing.B) {
	h := newTestHost(b, Options{})
	tree, out := output(b, h, Spec{Argv: self("listen", "tcp", "127.0.0.1:0")})
	out.next(b)
	for b.Loop() {
		if len(tree.Listening()) != 1 {
			b.Fatal("it does not listen")
		}
	}
	b.ReportMetric(float64(b.Elapsed()/time.Microsecond)/float64(b.N), "µs/look")
}
