package ready_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner/ready"
)

// sender makes the test binary send its arguments to NOTIFY_SOCKET.
const sender = "FLINCH_TEST_SEND"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(sender)
	if !ok {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		_, err = conn.Write([]byte(text))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func probe(t testing.TB, spec ready.Spec) *ready.Probe {
	t.Helper()
	p, err := ready.New(spec, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func addr(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))
}

func TestNothingToWaitFor(t *testing.T) {
	if err := probe(t, ready.Spec{}).Wait(t.Context(), ready.Deps{}); err != nil {
		t.Error(err)
	}
}

// Asked at once, after 5 ms, then ever more slowly up to every 250 ms.
func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := ready.New(ready.Spec{Port: 80, Timeout: 2 * time.Second}, "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var asked []time.Duration
		err = p.Wait(t.Context(), ready.Deps{Listening: func() []netip.AddrPort {
			asked = append(asked, time.Since(began))
			return nil
		}})
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if err == nil || err.Error() != "not ready after 2s: waited for port 80, last: it does not listen" {
			t.Errorf("got %v", err)
		}
		want := []time.Duration{0, 5 * time.Millisecond, 12500 * time.Microsecond, 23750 * time.Microsecond}
		if len(asked) < 5 || !slices.Equal(asked[:4], want) {
			t.Fatalf("asked at %v, want %v", asked, want)
		}
		if n := len(asked); asked[n-1]-asked[n-2] != 250*time.Millisecond {
			t.Errorf("asked at %v: not every 250 ms at the end", asked)
		}
	})
}

func TestPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := ready.New(ready.Spec{Port: 8080}, "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		own := func() []netip.AddrPort {
			if time.Since(began) < 30*time.Millisecond {
				return []netip.AddrPort{addr(9090)}
			}
			return []netip.AddrPort{addr(9090), addr(8080)}
		}
		if err := p.Wait(t.Context(), ready.Deps{Listening: own}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 30*time.Millisecond || took > 50*time.Millisecond {
			t.Errorf("ready after %v", took)
		}
	})
}

func TestPortErrors(t *testing.T) {
	holder := func(port uint16) (ready.Holder, bool) { return ready.Holder{PID: 123, Name: "node"}, port == 8080 }
	tests := []struct {
		spec ready.Spec
		deps ready.Deps
		want string
	}{
		{ready.Spec{Port: 8080}, ready.Deps{Listening: func() []netip.AddrPort { return nil }, Holder: holder},
			"waited for port 8080, last: port 8080 is held by pid 123 (node), not ours"},
		{ready.Spec{Port: 80}, ready.Deps{Listening: func() []netip.AddrPort { return []netip.AddrPort{addr(82), addr(81), addr(81)} }, Holder: holder},
			"waited for port 80, last: it listens on 81, 82"},
		{ready.Spec{AnyPort: true}, ready.Deps{Listening: func() []netip.AddrPort { return nil }},
			"waited for a port to listen on, last: it does not listen"},
		{ready.Spec{Log: regexp.MustCompile("^up$"), Notify: true}, ready.Deps{},
			`waited for READY=1 on its NOTIFY_SOCKET; waited for a line that matches "^up$"`},
		{ready.Spec{Exec: []string{"pg_isready", "-q"}}, ready.Deps{Exec: func(context.Context, []string) (int, error) { return 2, nil }},
			`waited for "pg_isready -q" to succeed, last: exit status 2`},
	}
	for _, tt := range tests {
		tt.spec.Timeout = 50 * time.Millisecond
		err := probe(t, tt.spec).Wait(t.Context(), tt.deps)
		var timeout *ready.TimeoutError
		if !errors.As(err, &timeout) || strings.Join(timeout.Waited, "; ") != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

func listen(t testing.TB) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().String()
}

func TestTCP(t *testing.T) {
	l, at := listen(t)
	if err := probe(t, ready.Spec{TCP: at}).Wait(t.Context(), ready.Deps{}); err != nil {
		t.Error(err)
	}
	l.Close()
	err := probe(t, ready.Spec{TCP: at, Timeout: 500 * time.Millisecond}).Wait(t.Context(), ready.Deps{})
	if err == nil || !strings.HasSuffix(err.Error(), ": waited for tcp "+at+", last: connection refused") {
		t.Errorf("got %v", err)
	}
}

// The answer of a process that was there before the service does not count, that
// of one that came since does.
func TestTCPOfAStranger(t *testing.T) {
	_, at := listen(t)
	_, port, _ := net.SplitHostPort(at)
	pid := 123
	asked := 0
	holder := func(uint16) (ready.Holder, bool) {
		if asked++; asked > 5 {
			pid = 124
		}
		return ready.Holder{PID: pid, Name: "node"}, true
	}
	if err := probe(t, ready.Spec{TCP: at}).Wait(t.Context(), ready.Deps{Holder: holder}); err != nil || asked != 6 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	same := func(uint16) (ready.Holder, bool) { return ready.Holder{PID: 123, Name: "node"}, true }
	err := probe(t, ready.Spec{TCP: at, Timeout: 500 * time.Millisecond}).Wait(t.Context(), ready.Deps{Holder: same})
	if err == nil || !strings.HasSuffix(err.Error(), "last: port "+port+" is held by pid 123 (node), not ours") {
		t.Errorf("got %v", err)
	}
}

func TestHTTP(t *testing.T) {
	var answer atomic.Int32 // the handler of a request that was given up may still run
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(answer.Load()))
	})
	for _, srv := range []*httptest.Server{httptest.NewServer(handler), httptest.NewTLSServer(handler)} {
		defer srv.Close()
		for _, status := range []int32{200, 204, 302, 399} {
			answer.Store(status)
			if err := probe(t, ready.Spec{HTTP: srv.URL + "/health"}).Wait(t.Context(), ready.Deps{}); err != nil {
				t.Errorf("%d: %v", status, err)
			}
		}
		for _, status := range []int32{404, 503} {
			answer.Store(status)
			err := probe(t, ready.Spec{HTTP: srv.URL, Timeout: 500 * time.Millisecond}).Wait(t.Context(), ready.Deps{})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("last: status %d ", status)) {
				t.Errorf("got %v", err)
			}
		}
	}
}

func TestHTTPThatNeverAnswers(t *testing.T) {
	_, at := listen(t)
	began := time.Now()
	err := probe(t, ready.Spec{HTTP: "http://" + at + "/", Timeout: 100 * time.Millisecond}).Wait(t.Context(), ready.Deps{})
	if err == nil || !strings.HasSuffix(err.Error(), "waited for http://"+at+"/, last: no answer") || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestLog(t *testing.T) {
	p := probe(t, ready.Spec{Log: regexp.MustCompile(`^listening on \d+$`)})
	result := make(chan error, 1)
	go func() { result <- p.Wait(t.Context(), ready.Deps{}) }()
	p.Line([]byte("not listening on 80"))
	select {
	case err := <-result:
		t.Fatalf("ready at once: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	p.Line([]byte("\x1b[1;32mlistening\x1b[0m on \x1b[4m80\x1b[24m"))
	p.Line([]byte("more"))
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// A line that came before anybody waited counts.
func TestLogBeforeWait(t *testing.T) {
	p := probe(t, ready.Spec{Log: regexp.MustCompile("up")})
	p.Line([]byte("up"))
	if err := p.Wait(t.Context(), ready.Deps{}); err != nil {
		t.Error(err)
	}
}

func TestExec(t *testing.T) {
	calls := 0
	run := func(ctx context.Context, argv []string) (int, error) {
		calls++
		switch calls {
		case 1:
			return 0, errors.New("no such file")
		case 2:
			return 1, nil
		}
		return 0, nil
	}
	if err := probe(t, ready.Spec{Exec: []string{"x"}}).Wait(t.Context(), ready.Deps{Exec: run}); err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestAllConditionsMustHold(t *testing.T) {
	listening := false
	p := probe(t, ready.Spec{AnyPort: true, Log: regexp.MustCompile("up"), Timeout: 40 * time.Millisecond})
	deps := ready.Deps{Listening: func() []netip.AddrPort {
		if listening {
			return []netip.AddrPort{addr(1)}
		}
		return nil
	}}
	p.Line([]byte("up"))
	if err := p.Wait(t.Context(), deps); err == nil {
		t.Error("ready without a port")
	}
	listening = true
	if err := p.Wait(t.Context(), deps); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the run is over")
	cancel(stop)
	if err := probe(t, ready.Spec{AnyPort: true}).Wait(ctx, ready.Deps{}); err != stop {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		spec ready.Spec
		want string
	}{
		{ready.Spec{Port: 70000}, "port 70000 is not between 1 and 65535"},
		{ready.Spec{Timeout: -1}, "timeout -1ns is negative"},
		{ready.Spec{Exec: []string{}}, "exec: nothing to run"},
		{ready.Spec{TCP: "localhost"}, `tcp "localhost": missing port in address`},
		{ready.Spec{TCP: "localhost:http"}, `tcp "localhost:http": port "http" is not a number from 1 to 65535`},
		{ready.Spec{HTTP: "localhost:80/x"}, `http "localhost:80/x": not a URL like http://127.0.0.1:8080/health`},
		{ready.Spec{HTTP: "http://%zz"}, `http: parse "http://%zz": invalid URL escape "%zz"`},
		{ready.Spec{HTTP: "http://localhost/", TCP: "[::1]:80", Port: 1}, "<nil>"},
	} {
		if got := fmt.Sprint(tt.spec.Validate()); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// send runs a process that sends the text and has ended when send returns.
func send(t testing.TB, p *ready.Probe, text string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(p.Env(), sender+"="+text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestNotify(t *testing.T) {
	p := probe(t, ready.Spec{Notify: true})
	result := make(chan error, 1)
	go func() { result <- p.Wait(t.Context(), ready.Deps{}) }()
	messages := make(chan ready.Message)
	go func() {
		defer close(messages)
		for {
			m, err := p.Notify().Receive(func(int) bool { return true })
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			p.Message(m)
			messages <- m
		}
	}()
	send(t, p, "STATUS=loading\nX=1\nMAINPID=12")
	if m := <-messages; m.Status != "loading" || m.Ready || m.MainPID != 12 || m.PID == 0 {
		t.Errorf("got %+v", m)
	}
	select {
	case err := <-result:
		t.Fatalf("ready by a status: %v", err)
	default:
	}
	send(t, p, "READY=1\nSTATUS=up\n")
	if m := <-messages; m.Status != "up" || !m.Ready {
		t.Errorf("got %+v", m)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	send(t, p, "RELOADING=1\nSTOPPING=1\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=5000000\nREADY=0\nMAINPID=-4")
	if m := <-messages; !m.Reloading || !m.Stopping || !m.Watchdog || m.Extend != 5*time.Second || m.Ready || m.MainPID != 0 {
		t.Errorf("got %+v", m)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	<-messages
	if _, err := os.Stat(filepath.Dir(p.Notify().Path())); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// systemd-notify(1) has ended before anybody can ask what run it belongs to.
func TestNotifyOfASenderThatHasEnded(t *testing.T) {
	p := probe(t, ready.Spec{Notify: true})
	send(t, p, "READY=1")
	m, err := p.Notify().Receive(func(int) bool { return false })
	if err != nil || !m.Ready {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestNotifyStatusIsInTheTimeout(t *testing.T) {
	p := probe(t, ready.Spec{Notify: true, Timeout: 20 * time.Millisecond})
	p.Message(ready.Message{Status: "migrating"})
	err := p.Wait(t.Context(), ready.Deps{})
	if err == nil || !strings.HasSuffix(err.Error(), `waited for READY=1 on its NOTIFY_SOCKET, last: status "migrating"`) {
		t.Errorf("got %v", err)
	}
}

// A living process that is not of the run is not listened to, and descriptors
// that it sends are closed.
func TestNotifyFromOthers(t *testing.T) {
	p := probe(t, ready.Spec{Notify: true})
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrUnix{Name: p.Notify().Path()}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	rights := unix.UnixRights(int(w.Fd()))
	if err := unix.Sendmsg(fd, []byte("READY=1\nSTATUS=other"), rights, to, 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := unix.Sendto(fd, []byte("STATUS=ours"), 0, to); err != nil {
		t.Fatal(err)
	}
	asked := 0
	m, err := p.Notify().Receive(func(pid int) bool {
		asked++
		return pid == os.Getpid() && asked > 1
	})
	if err != nil || m.Status != "ours" || m.PID != os.Getpid() {
		t.Errorf("got %+v, %v", m, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the descriptor is still open")
	}
	r.Close()
}
