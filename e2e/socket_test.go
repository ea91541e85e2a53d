package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// handDown is a flinch whose server is given a socket; keys are more lines of its config.
func handDown(t *testing.T, run string, keys string, opts ...string) (s *service, url string) {
	t.Helper()
	dir := project(t, map[string]string{"a.txt": "0"})
	port := freePort(t)
	s = &service{log: filepath.Join(t.TempDir(), "log"), file: filepath.Join(dir, "a.txt")}
	argv := self(t, "serve", s.log, append([]string{"fd"}, opts...)...)
	if run == "" {
		run = toml(argv)
	} else {
		run = "'''" + fmt.Sprintf(run, strings.Join(argv, " ")) + "'''"
	}
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf("[service.web]\nfiles = [\"a.txt\"]\nlisten = [\"127.0.0.1:%d\"]\nrun = %s\n%s\n", port, run, keys))
	s.session = start(t, dir)
	return s, fmt.Sprintf("http://127.0.0.1:%d/", port)
}

// clients ask all the time, each with a new connection; they are told apart only by number.
type clients struct {
	cancel         context.CancelFunc
	all            sync.WaitGroup
	mu             sync.Mutex
	asked, refused int
	example        error
}

func askFrom(n int, url string) *clients {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{cancel: cancel}
	for range n {
		c.all.Go(func() {
			client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
			for ctx.Err() == nil {
				c.note(get(&client, url))
			}
		})
	}
	return c
}

func get(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func (c *clients) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if err != nil {
		c.refused++
		c.example = err
	}
}

func (c *clients) stop() { c.cancel(); c.all.Wait() }

// Five restarts under load of a server that is slow to start: no client is refused, neither where the old
// one serves until the new one is ready, nor where the clients wait in between.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]string{
		"stop, then start": "",
		"overlap":          "overlap = true\nready = { notify = true }",
	} {
		t.Run(name, func(t *testing.T) {
			s, url := handDown(t, "", keys, "begin=200ms", "notify")
			s.await("UP", 1)
			load := askFrom(8, url)
			for i := range 5 {
				s.bump()
				s.await("UP", i+2)
				s.await("END", i+1)
			}
			load.stop()
			t.Logf("%d requests", load.asked)
			if load.refused > 0 {
				t.Errorf("%d of %d requests failed: %v", load.refused, load.asked, load.example)
			}
			if keys == "" {
				s.assertAlone()
			}
			for _, e := range entries(s.log, "FD") {
				if e.text != "true 1 web true" {
					t.Errorf("a server found (pid right, fds, names, blocking) %s", e.text)
				}
			}
		})
	}
}

// LISTEN_PID is right however the server is started, as long as it is the process that was started.
func TestListenPID(t *testing.T) {
	t.Parallel()
	for _, run := range []string{"", "exec %s", "true && exec %s", "FOO=1 %s"} {
		s, _ := handDown(t, run, "")
		if got := s.await("FD", 1).text; got != "true 1 web true" {
			t.Errorf("%q: the server found (pid right, fds, names, blocking) %s", run, got)
		}
		s.end(syscall.SIGTERM)
	}
}

// A new server that never becomes ready is stopped, and the old one goes on as if nothing had been.
func TestReadyNeverComes(t *testing.T) {
	t.Parallel()
	deaf := filepath.Join(t.TempDir(), "deaf")
	s, url := handDown(t, "", "overlap = true\nready = { notify = true, timeout = \"300ms\" }", "notify", "deaf="+deaf)
	first := s.await("UP", 1)
	s.waitErr("ready rule=web")
	write(t, deaf, "")
	s.bump()
	second := s.await("UP", 2)
	eventually(t, "the new one is stopped", func() bool { return !alive(second.pid) })
	for range 20 {
		if got := ask(url); got != fmt.Sprint(first.pid) {
			t.Fatalf("%q answers, want the old one, %d", got, first.pid)
		}
	}
	if err := os.Remove(deaf); err != nil {
		t.Fatal(err)
	}
	s.bump()
	third := s.await("UP", 3)
	eventually(t, "the old one is gone", func() bool { return !alive(first.pid) })
	if got := ask(url); got != fmt.Sprint(third.pid) {
		t.Errorf("%q answers, want the new one, %d", got, third.pid)
	}
}

// A port that somebody else holds is said so with his pid, and his being there does not make the service ready.
func TestPortIsHeld(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	dir, log := project(t, nil), filepath.Join(t.TempDir(), "log")
	write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf("[service.web]\nready = { port = %d, timeout = \"300ms\" }\nrun = %s\n", port, toml(self(t, "serve", log))))
	s := start(t, dir)
	s.waitErr(fmt.Sprintf("port %d is held by pid %d", port, syscall.Getpid()))
	if strings.Contains(s.err.String(), "ready rule=web") {
		t.Error("a stranger's port made the service ready")
	}
}

// Ready means: the port is there, the page answers, the line was printed, the probe says so. What needs it starts then.
func TestReadiness(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	for name, ready := range map[string]string{
		"port": fmt.Sprintf("{ port = %d }", port), "any port": "{ port = true }",
		"tcp": fmt.Sprintf(`{ tcp = "127.0.0.1:%d" }`, port), "http": fmt.Sprintf(`{ http = "http://127.0.0.1:%d/" }`, port),
		"exec": fmt.Sprintf(`{ exec = "bash -c '</dev/tcp/127.0.0.1/%d'" }`, port), "notify": "{ notify = true }",
	} {
		dir, log := project(t, nil), filepath.Join(t.TempDir(), "log")
		write(t, filepath.Join(dir, "flinch.toml"), fmt.Sprintf("[service.web]\nready = %s\nrun = %s\n[task.after]\nneeds = [\"web\"]\nrun = %s\n", ready,
			toml(self(t, "serve", log, fmt.Sprintf("port=%d", port), "begin=100ms", "notify")), toml(stamp(t, log, 0))))
		s := start(t, dir)
		eventually(t, name+": what needs it has run", func() bool { return count(log, "END") == 1 })
		if after := entries(log, "START")[1]; after.at < entries(log, "BEGUN")[0].at {
			t.Errorf("%s: what needs it started before it was ready", name)
		}
		s.end(syscall.SIGTERM)
	}
}
