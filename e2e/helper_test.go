package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary a helper command: what it does is its first
// word, the log that it writes to the second. Every flinch of a test has it in
// its environment, and so its commands do.
const helperEnv = "FLINCH_E2E_HELPER"

// helper runs one helper command and returns its exit status.
func helper(args []string) int {
	verbs := map[string]func(journal, options) int{"stamp": stamped, "serve": serve, "child": child, "forest": forest}
	if len(args) < 2 || verbs[args[0]] == nil {
		fmt.Fprintf(os.Stderr, "helper: unknown command %q\n", args)
		return 2
	}
	return verbs[args[0]](journal(args[1]), parseOptions(args[2:]))
}

// self is a command line of a helper.
func self(t *testing.T, verb, log string, opts ...string) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{exe, verb, log}, opts...)
}

// options are a helper's words: "key=value" or "key".
type options map[string]string

func parseOptions(words []string) options {
	o := options{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		o[key] = value
	}
	return o
}

func (o options) has(key string) bool { _, ok := o[key]; return ok }

func (o options) number(key string) int { n, _ := strconv.Atoi(o[key]); return n }

func (o options) duration(key string) time.Duration { d, _ := time.ParseDuration(o[key]); return d }

// journal is a log to which many processes append whole lines:
// "KIND monotonic-ns pid words".
type journal string

func (j journal) add(kind string, words ...any) {
	f, err := os.OpenFile(string(j), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	_, _ = io.WriteString(f, fmt.Sprintf("%s %d %d %s\n", kind, now(), os.Getpid(), strings.TrimSpace(fmt.Sprintln(words...))))
}

// stamped is a task: START with the reason and what was read, END after runs=, the exit status is exit=.
func stamped(log journal, o options) int {
	if o.has("ignore") {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	log.add("START", os.Getenv("FLINCH_REASON"), os.Getenv("FLINCH_RULE"), content(o["read"]))
	if o.has("child") {
		startChild(log, o["child"], nil)
	}
	time.Sleep(o.duration("runs")) // the work of a slow command
	if o.has("write") {
		if err := os.WriteFile(o["write"], []byte(fmt.Sprint(now())), 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if o.has("copy") { // what a generator does: its output follows from its input
		if err := os.WriteFile(o["copy"], []byte(content(o["read"])), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	log.add("END", content(o["read"]))
	return o.number("exit")
}

// serve is a server that does what its options say:
//
//	port=N fd          listen there, or on the socket handed down
//	begin=D stop=D     takes so long to start, and to stop when asked to
//	ignore             takes no signal for an end
//	child=KIND         starts a child at first: see startChild
//	runs=D exit=N      ends by itself
//	notify             tells its manager when it is ready
//	deaf=FILE          is never ready while FILE exists
//
// It logs START, OTHERS (how many of its kind live beside it), BEGUN, UP, SIG, END.
func serve(log journal, o options) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	log.add("START", os.Getenv("FLINCH_REASON"), os.Getenv("FLINCH_RULE"), content(o["read"]))
	log.add("OTHERS", othersAlive())
	time.Sleep(o.duration("begin")) // the work of a slow start
	log.add("BEGUN")
	listener, err := o.listen(log)
	if err != nil {
		log.add("FAILED", err)
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	if o.has("child") {
		startChild(log, o["child"], listener)
	}
	var ended <-chan time.Time
	if o.has("runs") {
		ended = time.After(o.duration("runs"))
	}
	finish := answer(listener)
	log.add("UP")
	notify(o)
	for {
		select {
		case sig := <-signals:
			log.add("SIG", unix.SignalName(sig.(syscall.Signal)))
			if o.has("ignore") || sig == syscall.SIGHUP {
				continue
			}
			finish()
			time.Sleep(o.duration("stop")) // the work of a slow end
			log.add("END")
			return 0
		case <-ended:
			log.add("GONE")
			return o.number("exit")
		}
	}
}

// answer answers each request with the pid, until finish is called: that returns when everyone who was
// accepted has been answered. (http.Server.Shutdown drops those who have not asked yet.)
func answer(l net.Listener) (finish func()) {
	if l == nil {
		return func() {}
	}
	var open sync.WaitGroup
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Done()
			}
		},
	}
	server.SetKeepAlivesEnabled(false)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	return func() {
		l.Close()
		<-served
		open.Wait()
	}
}

// listen opens the server's socket, or takes the one that was handed down.
func (o options) listen(log journal) (net.Listener, error) {
	if o.has("port") {
		return net.Listen("tcp", "127.0.0.1:"+o["port"])
	}
	if !o.has("fd") {
		return nil, nil
	}
	flags, err := unix.FcntlInt(3, unix.F_GETFL, 0)
	if err != nil {
		return nil, fmt.Errorf("fd 3: %w", err)
	}
	log.add("FD", os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"), flags&unix.O_NONBLOCK == 0)
	return net.FileListener(os.NewFile(3, "listen"))
}

// notify speaks to the manager as sd_notify does.
func notify(o options) {
	if _, err := os.Stat(o["deaf"]); !o.has("notify") || err == nil {
		return
	}
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "READY=1")
}

// startChild leaves a child behind: in the same group (group), that ignores
// signals (deaf), in a session of its own (daemon), both (deaf-daemon), some
// made by several threads (threads), one that holds the port (port), one with
// another group (apart), one with no environment (bare).
func startChild(log journal, kind string, l net.Listener) {
	switch kind {
	case "threads":
		startFromThreads(log)
	case "port":
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			log.add("FAILED", err)
			return
		}
		run(log, &syscall.SysProcAttr{}, os.Environ(), f, "")
	case "apart":
		run(log, &syscall.SysProcAttr{Setpgid: true}, os.Environ(), nil, "")
	case "bare":
		run(log, &syscall.SysProcAttr{Setsid: true}, []string{helperEnv + "=1"}, nil, "")
	default:
		attr := &syscall.SysProcAttr{Setsid: strings.Contains(kind, "daemon")}
		deaf := ""
		if strings.Contains(kind, "deaf") {
			deaf = "ignore"
		}
		run(log, attr, os.Environ(), nil, deaf)
	}
}

// startFromThreads starts children from threads that stay: each is another thread's child.
func startFromThreads(log journal) {
	done := make(chan struct{})
	for range 4 {
		go func() {
			runtime.LockOSThread()
			run(log, &syscall.SysProcAttr{Setsid: true}, os.Environ(), nil, "")
			done <- struct{}{}
			select {} // the thread stays
		}()
		<-done
	}
}

func run(log journal, attr *syscall.SysProcAttr, env []string, extra *os.File, word string) {
	exe, err := os.Executable()
	if err != nil {
		log.add("FAILED", err)
		return
	}
	cmd := exec.Command(exe, "child", string(log), word)
	cmd.SysProcAttr, cmd.Env = attr, env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if extra != nil {
		cmd.ExtraFiles = []*os.File{extra}
	}
	if err := cmd.Start(); err != nil {
		log.add("FAILED", err)
		return
	}
	log.add("CHILD", cmd.Process.Pid)
}

// child lives until it is killed, or, unless it ignores signals, asked to end.
func child(_ journal, o options) int {
	if o.has("ignore") {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	time.Sleep(10 * time.Minute)
	return 0
}

// othersAlive counts the other helpers of the same test that live.
func othersAlive() int {
	exe, err := os.Executable()
	if err != nil {
		return -1
	}
	n := 0
	for _, p := range marked(os.Getenv(markEnv)) {
		if p.pid != os.Getpid() && p.exe == exe {
			n++
		}
	}
	return n
}

// entry is one line of a helper's log.
type entry struct {
	kind string
	at   int64 // monotonic, ns
	pid  int
	text string
}

// entries are the lines of a log of one kind, in their order; of all kinds where none is given.
func entries(log string, kinds ...string) (list []entry) {
	for line := range strings.Lines(content(log)) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(words) < 4 || !strings.HasSuffix(line, "\n") {
			continue
		}
		at, _ := strconv.ParseInt(words[1], 10, 64)
		pid, _ := strconv.Atoi(words[2])
		e := entry{words[0], at, pid, words[3]}
		for _, k := range kinds {
			if k == e.kind {
				list = append(list, e)
			}
		}
		if len(kinds) == 0 {
			list = append(list, e)
		}
	}
	return list
}

// count is the number of lines of a kind.
func count(log, kind string) int { return len(entries(log, kind)) }
