// Package ready finds out when a service that was started is ready to serve.
//
// [New] makes a [Probe] for one run, before the process is started: it opens what
// the process will need (the NOTIFY_SOCKET) and may be told lines of its output
// from the first one on. [Probe.Wait] blocks until all conditions of the [Spec]
// hold, asking from every 5 ms up to every 250 ms, or until its context ends.
//
// The package starts no process and looks into none: what it has to know of the
// run comes as functions in [Deps]. It owns no goroutine that outlives Wait.
package ready

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Spec says when a service is ready. All conditions that are set must hold, each
// at least once; none set: it is ready at once.
type Spec struct {
	Port    int            // a TCP port that the run itself listens on; 0: no such condition
	AnyPort bool           // the run listens on any TCP port
	TCP     string         // "host:port" accepts a connection
	HTTP    string         // a GET of this URL answers with a status from 200 to 399; redirects are not followed, certificates not checked
	Log     *regexp.Regexp // matches a line of its output
	Exec    []string       // this command ends with status 0
	Notify  bool           // it sends READY=1 as sd_notify(3) does
	Timeout time.Duration  // 0: DefaultTimeout
}

// DefaultTimeout is how long a service may take.
const DefaultTimeout = 30 * time.Second

// Polling begins at once and grows.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// Holder is a process that listens on a port.
type Holder struct {
	PID  int
	Name string
	Ours bool // it belongs to the run
}

func (h Holder) String() string { return fmt.Sprintf("pid %d (%s)", h.PID, h.Name) }

// Deps are what a probe asks of others. A nil function is one that knows nothing.
type Deps struct {
	// Listening returns the addresses of the TCP sockets that processes of the
	// run listen on, without those that were handed down to it. Needed for Port
	// and AnyPort.
	Listening func() []netip.AddrPort
	// Holder finds who listens on a port, one of the run's own first.
	Holder func(port uint16) (Holder, bool)
	// Exec runs a command to its end, or until ctx is done, and returns its exit
	// status; an error if it did not start or was killed. Needed for Exec.
	Exec func(ctx context.Context, argv []string) (status int, err error)
}

// Validate reports what of a Spec cannot be.
func (s Spec) Validate() error {
	switch {
	case s.Port < 0 || s.Port > 65535:
		return fmt.Errorf("port %d is not between 1 and 65535", s.Port)
	case s.Timeout < 0:
		return fmt.Errorf("timeout %v is negative", s.Timeout)
	case s.Exec != nil && (len(s.Exec) == 0 || s.Exec[0] == ""):
		return errors.New("exec: nothing to run")
	}
	if s.TCP != "" {
		if _, _, err := splitHostPort(s.TCP); err != nil {
			return fmt.Errorf("tcp %q: %w", s.TCP, err)
		}
	}
	if s.HTTP == "" {
		return nil
	}
	u, err := url.Parse(s.HTTP)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("http %q: not a URL like http://127.0.0.1:8080/health", s.HTTP)
	}
	return nil
}

// Ambiguous returns which conditions another process than the run may fulfil
// when it shares listening sockets with it: a connection to them is accepted by
// whoever comes first. Empty: none.
func (s Spec) Ambiguous() string {
	switch {
	case s.TCP != "":
		return "tcp"
	case s.HTTP != "":
		return "http"
	}
	return ""
}

// Probe watches one run become ready.
type Probe struct {
	spec   Spec
	notify *Notify

	logged   *flag
	notified *flag
	changed  chan struct{} // a flag was set, or its last text changed; one reader: Wait
}

// New makes the probe of one run. With Notify it makes a socket in dir, which
// must be private (mode 0700). It has to be closed.
func New(spec Spec, dir string) (*Probe, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("ready: %w", err)
	}
	if spec.Timeout == 0 {
		spec.Timeout = DefaultTimeout
	}
	p := &Probe{spec: spec, changed: make(chan struct{}, 1), logged: &flag{}, notified: &flag{}}
	if !spec.Notify {
		return p, nil
	}
	n, err := listenNotify(dir)
	if err != nil {
		return nil, fmt.Errorf("ready: %w", err)
	}
	p.notify = n
	return p, nil
}

// Env is what the process needs in its environment.
func (p *Probe) Env() []string {
	if p.notify == nil {
		return nil
	}
	return []string{"NOTIFY_SOCKET=" + p.notify.path}
}

// Notify is the socket of a Spec with Notify, else nil. Somebody has to receive
// from it and pass each message on to Message.
func (p *Probe) Notify() *Notify { return p.notify }

// Close removes the socket. It may be called again.
func (p *Probe) Close() error {
	if p.notify == nil {
		return nil
	}
	return p.notify.Close()
}

// Line is told each line of the run's output, without its newline. It never
// blocks and keeps nothing of text; when nobody waits for a line it costs next
// to nothing.
func (p *Probe) Line(text []byte) {
	if p.spec.Log == nil || p.logged.isSet() {
		return
	}
	if p.spec.Log.Match(plain(text)) {
		p.logged.set("")
		p.signal()
	}
}

// Message is told each message that the run sent to its NOTIFY_SOCKET.
func (p *Probe) Message(m Message) {
	switch {
	case m.Ready:
		p.notified.set("")
	case m.Status != "":
		p.notified.say(fmt.Sprintf("status %q", m.Status))
	}
	p.signal()
}

func (p *Probe) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Wait returns nil when the service is ready, a [*TimeoutError] when it is not in
// time, and ctx's cause when that ends before.
func (p *Probe) Wait(ctx context.Context, deps Deps) error {
	began := time.Now()
	limit, cancel := context.WithTimeout(ctx, p.spec.Timeout)
	defer cancel()
	checks := p.checks(deps)
	poll := time.NewTimer(0)
	defer poll.Stop()
	for every := firstPoll; ; {
		select {
		case <-limit.Done():
			return p.ended(ctx, checks, time.Since(began))
		case <-p.changed:
			checks = pass(limit, checks, true)
		case <-poll.C:
			checks = pass(limit, checks, false)
			poll.Reset(every)
			every = min(every*3/2, lastPoll)
		}
		if len(checks) == 0 {
			return nil
		}
	}
}

// pass asks the checks and returns those that do not hold yet.
func pass(ctx context.Context, checks []check, told bool) (left []check) {
	for _, c := range checks {
		if told && c.flag == nil || !c.holds(ctx) {
			left = append(left, c)
		}
	}
	return left
}

func (p *Probe) ended(ctx context.Context, left []check, after time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &TimeoutError{After: after.Round(time.Millisecond)}
	for _, c := range left {
		what := "waited for " + c.what
		if last := c.seen(); last != "" {
			what += ", last: " + last
		}
		e.Waited = append(e.Waited, what)
	}
	return e
}

// TimeoutError says that a service did not become ready in time.
type TimeoutError struct {
	After  time.Duration
	Waited []string // a sentence for each condition that did not hold
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("not ready after %v: %s", e.After, strings.Join(e.Waited, "; "))
}

// Hint is what the user can do about it.
func (e *TimeoutError) Hint() string {
	return `if it only needs longer, raise it: ready = { ..., timeout = "60s" }`
}

// flag is a condition that others report, with the last that was seen of it.
type flag struct {
	mu   sync.Mutex
	ok   bool
	last string
}

func (f *flag) set(last string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ok, f.last = true, last
}

func (f *flag) say(last string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = last
}

func (f *flag) isSet() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ok
}

func (f *flag) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}
