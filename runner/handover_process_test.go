package runner

import (
	"bufio"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/runner/ready"
	"github.com/flinch-run/flinch/runner/socket"
)

// inheriting is a service on a socket that outlives its runs.
func inheriting(t testing.TB) Rule {
	t.Helper()
	addr, err := socket.Parse("127.0.0.1:0", "s")
	if err != nil {
		t.Fatal(err)
	}
	s := helping("s", "inherit", "100")
	s.Listen = []socket.Address{addr}
	s.Ready = ready.Spec{Notify: true, Timeout: patience}
	return s
}

// ask connects once and returns the pid that answers.
func ask(addr string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Clients are never refused over restarts, whether the new run takes over from
// the old one or follows it.
func TestProcessSocketOutlivesRuns(t *testing.T) {
	for _, overlap := range []bool{false, true} {
		s := inheriting(t)
		s.Overlap = overlap
		r := newRig(t, Options{}, nil, s)
		r.await(EventReady, "s", 1)
		addr := r.runner.opt.Host.(*Processes).Sockets("s")[0]
		stop := make(chan struct{})
		var clients sync.WaitGroup
		var mu sync.Mutex
		pids, refused, asked := map[string]bool{}, 0, 0
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					pid, err := ask(addr)
					mu.Lock()
					asked++
					switch {
					case errors.Is(err, syscall.ECONNREFUSED):
						refused++
					case err == nil:
						pids[pid] = true
					}
					mu.Unlock()
				}
			})
		}
		for i := range 3 {
			r.save("x", "s")
			pid := strconv.Itoa(r.await(EventReady, "s", i+2).PID)
			r.await(EventOver, "s", i+1)
			r.eventually("an answer of the new run", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return pids[pid]
			})
		}
		close(stop)
		clients.Wait()
		mu.Lock()
		if refused != 0 {
			t.Errorf("overlap %v: %d of %d refused", overlap, refused, asked)
		}
		mu.Unlock()
		r.quit()
	}
}

func TestProcessAddressInUseIsAFailureThatSaysWho(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := inheriting(t)
	if s.Listen[0], err = socket.Parse(l.Addr().String(), "s"); err != nil {
		t.Fatal(err)
	}
	s.Restart = Never
	r := newRig(t, Options{}, nil, s)
	var used *socket.InUseError
	if e := r.await(EventOver, "s", 1); !errors.As(e.Err, &used) || used.Holder == "" {
		t.Errorf("got %v, want an address in use, and by whom", e.Err)
	}
	l.Close()
	r.save("x", "s")
	r.await(EventReady, "s", 1)
}
