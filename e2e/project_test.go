package e2e

import (
	"context"
	"errors"
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
	"time"
)

// freePort is a TCP port nobody listens on at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// ask returns the body at url, or the empty string while nobody answers.
func ask(url string) string {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return string(body)
}

// asked counts what a client that asks all the time was told.
type asked struct {
	mu      sync.Mutex
	answers map[string]int
	cancel  context.CancelFunc
	done    chan struct{}
}

// askAlways asks url every 10 ms until stop, and remembers each answer.
func askAlways(url string) *asked {
	ctx, cancel := context.WithCancel(context.Background())
	a := &asked{answers: map[string]int{}, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				body := ask(url)
				a.mu.Lock()
				a.answers[body]++
				a.mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	}()
	return a
}

func (a *asked) stop() map[string]int {
	a.cancel()
	<-a.done
	return a.answers
}

const goServer = `package main

import (
	"fmt"
	"net/http"
	"os"

	"example.com/app/greet"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, greet.Text) })
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
`

const goProject = `
[task.build]
files = ["**/*.go", "go.mod", "!**/*_test.go"]
run = "go build -o bin/app ."

[task.test]
files = ["**/*.go"]
run = "go test {dirs}"

[service.app]
run = ["bin/app", "%d"]
needs = ["build"]
ready = { http = "http://127.0.0.1:%d/" }
`

// A Go module with a build, tests and a server that is edited while it is being asked.
func TestGoProject(t *testing.T) {
	t.Parallel()
	needs(t, "go")
	port := freePort(t)
	dir := project(t, map[string]string{
		"go.mod":              "module example.com/app\n\ngo 1.24\n",
		"main.go":             goServer,
		"greet/greet.go":      "package greet\n\nconst Text = \"v0\"\n",
		"greet/greet_test.go": "package greet\n\nimport \"testing\"\n\nfunc TestText(t *testing.T) {\n\tif Text == \"\" {\n\t\tt.Fatal(\"empty\")\n\t}\n}\n",
		".gitignore":          "bin/\n",
		"flinch.toml":         fmt.Sprintf(goProject, port, port),
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	s := launch(t, dir)
	eventually(t, "the first version serves", func() bool { return ask(url) == "v0" })
	client := askAlways(url)
	for i := 1; i <= 3; i++ {
		write(t, filepath.Join(dir, "greet/greet.go"), fmt.Sprintf("package greet\n\nconst Text = \"v%d\"\n", i))
		want := fmt.Sprintf("v%d", i)
		eventually(t, want+" serves", func() bool { return ask(url) == want })
	}
	write(t, filepath.Join(dir, "greet/greet.go"), "package greet\n\nconst Text = \n")
	s.waitErr("failed")
	if got := ask(url); got != "v3" {
		t.Errorf("after a build that failed the server says %q, want the old one's v3", got)
	}
	write(t, filepath.Join(dir, "greet/greet.go"), "package greet\n\nconst Text = \"v4\"\n")
	eventually(t, "v4 serves", func() bool { return ask(url) == "v4" })
	for answer := range client.stop() {
		if answer != "" && !strings.HasPrefix(answer, "v") {
			t.Errorf("a client was told %q", answer)
		}
	}
	s.waitOut("ok") // the words of go test
	assertEndsClean(t, s, port)
}

// assertEndsClean ends flinch by Ctrl-C's signal: it ends by that signal, and the port is free.
func assertEndsClean(t *testing.T, s *session, port int) {
	t.Helper()
	state := s.end(syscall.SIGINT)
	if ws := state.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("flinch ended with %v, want by SIGINT", state)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("the port after flinch's end: %v", err)
	}
	l.Close()
}

const nodeServer = `
const http = require('http');
const text = require('./text.js');
http.createServer((req, res) => res.end(text)).listen(%d, '127.0.0.1');
`

// A Node server without npm, restarted on each save.
func TestNodeServer(t *testing.T) {
	t.Parallel()
	needs(t, "node")
	port := freePort(t)
	dir := project(t, map[string]string{
		"server.js": fmt.Sprintf(nodeServer, port),
		"text.js":   "module.exports = 'v0';\n",
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	s := start(t, dir, "--service", "-e", "js", "--", "node", "server.js")
	eventually(t, "the first version serves", func() bool { return ask(url) == "v0" })
	for i := 1; i <= 3; i++ {
		want := fmt.Sprintf("v%d", i)
		write(t, filepath.Join(dir, "text.js"), fmt.Sprintf("module.exports = '%s';\n", want))
		eventually(t, want+" serves", func() bool { return ask(url) == want })
	}
	assertEndsClean(t, s, port)
}

// A Makefile that compiles: one run a save, and no run for what make itself writes.
func TestMakefile(t *testing.T) {
	t.Parallel()
	needs(t, "make")
	dir := project(t, map[string]string{
		"Makefile": "out.txt: in.txt\n\ttr a-z A-Z < in.txt > out.txt\n\techo made >> made.log\n",
		"in.txt":   "hello\n",
	})
	start(t, dir, "-f", "*.txt", "-f", "Makefile", "--", "make", "-s")
	out := filepath.Join(dir, "out.txt")
	eventually(t, "the first make", func() bool { return content(out) == "HELLO\n" })
	for _, word := range []string{"one", "two", "three"} {
		// make compares times that are as coarse as the kernel's tick.
		quiet(t, func() string { return content(filepath.Join(dir, "made.log")) })
		write(t, filepath.Join(dir, "in.txt"), word+"\n")
		eventually(t, "make after "+word, func() bool { return content(out) == strings.ToUpper(word)+"\n" })
	}
	quiet(t, func() string { return content(filepath.Join(dir, "made.log")) })
	if n := strings.Count(content(filepath.Join(dir, "made.log")), "made"); n != 4 {
		t.Errorf("make made %d times, want 4", n)
	}
}

// A command that cannot be started is a failed run, not the end of flinch.
func TestMissingCommand(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": ""})
	s := start(t, dir, "--", "./not-there")
	s.waitErr("not-there")
	tool := filepath.Join(dir, "not-there")
	write(t, tool, "#!/bin/sh\necho it is there\n")
	if err := os.Chmod(tool, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.txt"), "1")
	s.waitOut("it is there")
}

// kill -9 of flinch leaves nothing of a service behind.
func TestKillLeavesNothing(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	needs(t, "node")
	dir := project(t, map[string]string{"server.js": fmt.Sprintf(nodeServer, port), "text.js": "module.exports = 'up';\n"})
	s := start(t, dir, "--service", "--", "sh", "-c", "node server.js & setsid sleep 1000 & wait")
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	eventually(t, "the server serves", func() bool { return ask(url) == "up" })
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	eventually(t, "the port is free again", func() bool {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
		return true
	})
}
