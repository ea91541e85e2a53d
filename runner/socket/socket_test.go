package socket_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner/socket"
)

// serve makes the test binary accept one connection on each descriptor that it
// was handed, and answer with the socket's name.
const serve = "FLINCH_TEST_SERVE"

func TestMain(m *testing.M) {
	if _, ok := os.LookupEnv(serve); !ok {
		os.Exit(m.Run())
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if os.Getenv("LISTEN_FDS") != fmt.Sprint(len(names)) {
		os.Exit(2)
	}
	for i, name := range names {
		// A Go program's way, which makes the shared socket non-blocking.
		l, err := net.FileListener(os.NewFile(uintptr(3+i), name))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		conn, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		io.WriteString(conn, name)
		conn.Close()
	}
}

func parse(t testing.TB, s, name string) socket.Address {
	t.Helper()
	a, err := socket.Parse(s, name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func listen(t testing.TB, opts socket.Options, addrs ...socket.Address) *socket.Set {
	t.Helper()
	s, err := socket.Listen(addrs, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial connects to where a set listens.
func dial(where string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		return net.Dial("unix", path)
	}
	return net.Dial("tcp", where)
}

// Clients that come while no process runs wait for the next one; each run finds
// blocking sockets, whatever the one before has made of them.
func TestHandDown(t *testing.T) {
	s := listen(t, socket.Options{Dir: t.TempDir()},
		parse(t, "127.0.0.1:0", "web"), parse(t, "unix:app.sock", "api"), parse(t, "[::1]:0", "six"), parse(t, "localhost:0", "a:b c"))
	for range 3 {
		var conns []net.Conn
		for _, at := range s.Where() {
			conn, err := dial(at)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		files, err := s.Files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
				t.Errorf("flags %#x, error %v", flags, err)
			}
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env, cmd.ExtraFiles = append(s.Env(), serve+"="), files
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for i, want := range []string{"web", "api", "six", "a_b_c"} {
			if got, err := io.ReadAll(conns[i]); err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
			conns[i].Close()
		}
	}
}

func TestEnv(t *testing.T) {
	s := listen(t, socket.Options{}, parse(t, "127.0.0.1:0", "x"), parse(t, "127.0.0.1:0", "x"))
	if want := []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=x:x"}; !slices.Equal(s.Env(), want) {
		t.Errorf("got %q, want %q", s.Env(), want)
	}
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if want := fmt.Sprintf("socket:[%d]", s.Inodes()[i]); err != nil || link != want {
			t.Errorf("got %s, %v, want %s", link, err, want)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("it is not closed on exec: %#x, %v", flags, err)
		}
	}
}

func TestAllAddresses(t *testing.T) {
	s := listen(t, socket.Options{}, parse(t, ":0", "x"))
	_, port, err := net.SplitHostPort(s.Where()[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Error(err)
			continue
		}
		conn.Close()
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	addr := parse(t, l.Addr().String(), "x")
	for holder, want := range map[string]string{
		"":               "listen on " + l.Addr().String() + ": port " + port + " is in use",
		"pid 123 (node)": "listen on " + l.Addr().String() + ": port " + port + " is held by pid 123 (node), not ours",
	} {
		before := descriptors(t)
		_, err := socket.Listen([]socket.Address{parse(t, "127.0.0.1:0", "y"), addr}, socket.Options{Holder: func(uint16) string { return holder }})
		if err == nil || err.Error() != want || !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("got %v, want %s", err, want)
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors before, %d after the error", before, after)
		}
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A connection of an earlier server in TIME_WAIT does not keep us from the port.
func TestAgainAfterTimeWait(t *testing.T) {
	s := listen(t, socket.Options{}, parse(t, "127.0.0.1:0", "x"))
	at := s.Where()[0]
	files, err := s.Files()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	fd, _, err := unix.Accept4(int(files[0].Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd) // the side that closes first keeps the port
	if _, err := io.ReadAll(conn); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	listen(t, socket.Options{}, parse(t, at, "x"))
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()

	s := listen(t, socket.Options{Dir: dir}, parse(t, "unix:s", "x"))
	_, err = socket.Listen(s.Addresses(), socket.Options{Dir: dir})
	name, _ := os.ReadFile("/proc/self/comm")
	want := fmt.Sprintf("listen on unix:s: %s is held by pid %d (%s), not ours", path, os.Getpid(), strings.TrimSpace(string(name)))
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the path is left: %v", err)
	}
}

func TestUnixPathOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := parse(t, "unix:"+path, "x")
	_, err := socket.Listen([]socket.Address{addr}, socket.Options{})
	if want := "listen on " + addr.String() + ": " + path + " exists and is not a socket"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s := listen(t, socket.Options{}, addr)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("another's file was removed: %v", err)
	}
}

func TestAbstractSocket(t *testing.T) {
	addr := parse(t, fmt.Sprintf("unix:@flinch-test-%d", os.Getpid()), "x")
	s := listen(t, socket.Options{Dir: "/nowhere"}, addr)
	conn, err := dial(s.Where()[0])
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	var used *socket.InUseError
	if _, err := socket.Listen([]socket.Address{addr}, socket.Options{}); !errors.As(err, &used) {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:8080":        "127.0.0.1:8080",
		":8080":                 ":8080",
		"localhost:80":          "127.0.0.1:80",
		"[::1]:8080":            "[::1]:8080",
		"[fe80::1%1]:8080":      "[fe80::1%1]:8080",
		"[::ffff:127.0.0.1]:80": "127.0.0.1:80",
		"unix:/run/app.sock":    "unix:/run/app.sock",
		"unix:@x":               "unix:@x",
		"":                      `"": an address is missing (at character 1)`,
		"8080":                  `"8080": write ":" before a port (at character 1)`,
		"localhost":             `"localhost": the port is missing, as in "127.0.0.1:8080" (at character 10)`,
		"[::1]":                 `"[::1]": the port is missing, as in "127.0.0.1:8080" (at character 6)`,
		"::1:8080":              `"::1:8080": write an IPv6 address in brackets, as in "[::1]:8080" (at character 1)`,
		"127.0.0.1:":            `"127.0.0.1:": the port is missing (at character 11)`,
		"127.0.0.1:http":        `"127.0.0.1:http": the port "http" is not a number (at character 11)`,
		"127.0.0.1:65536":       `"127.0.0.1:65536": the port 65536 is larger than 65535 (at character 11)`,
		"127.0.0.300:80":        `"127.0.0.300:80": "127.0.0.300" is not an IP address (at character 1)`,
		"[::g]:80":              `"[::g]:80": "::g" is not an IP address (at character 2)`,
		"[127.0.0.1]:80":        `"[127.0.0.1]:80": brackets are for IPv6 addresses (at character 1)`,
		"*:80":                  `"*:80": leave out the "*" to listen on all addresses (at character 1)`,
		"example.org:80":        `"example.org:80": "example.org" is not an IP address (at character 1)`,
		"/run/app.sock":         `"/run/app.sock": write "unix:" before the path of a unix socket (at character 1)`,
		"unix:":                 `"unix:": the path is missing (at character 6)`,
		"unix:a\x00b":           `"unix:a\x00b": a path cannot hold a zero byte (at character 7)`,
	} {
		a, err := socket.Parse(in, "")
		got := a.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Parse(%q): got %s, want %s", in, got, want)
		}
	}
	long := "unix:/" + strings.Repeat("x", 107)
	if _, err := socket.Parse(long, ""); err == nil || !strings.HasSuffix(err.Error(), "the path has 108 bytes, 107 is the most for a socket (at character 113)") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", ":0", "[::1%x]:1", "unix:a", "localhost:1", "[]:1", "]:1", "[:1"} {
		f.Add(s, "name")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		a, err := socket.Parse(s, name)
		if err != nil {
			var pe *socket.ParseError
			if !errors.As(err, &pe) || pe.Pos < 0 || pe.Pos > len(s) {
				t.Errorf("%q: got %#v", s, err)
			}
			return
		}
		again, err := socket.Parse(a.String(), a.Name)
		if err != nil || again != a {
			t.Errorf("%q: %v reads as %v, %v", s, a, again, err)
		}
	})
}
