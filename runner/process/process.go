// Package process starts commands as process trees and makes sure that nothing of them is left.
//
// A [Tree] is one run: the process that was started (its leader) and all its descendants, also those that left the
// leader's process group or session, or that were orphaned. A run is over when no process of it is left; not when its
// leader ends, and not when somebody closes a pipe.
//
// The package knows nothing of rules, of why a run starts, or of output: it is given open files and passes them on.
//
// # How it knows
//
// The program makes itself the subreaper of its descendants. So whoever loses its parent becomes our child, and "no
// child of ours belongs to the run" is proof that no descendant does. Which run an orphan belongs to is told, best
// evidence first, by its cgroup (where a cgroup v2 is writable), by a marker in its environment, by the snapshot of the
// tree that is taken when a stop begins, and by its session and group.
//
// A signal is sent only to a process whose identity cannot change under way: to our own children, which keep their pid
// until we reap them, to the group of a leader that is not reaped yet, and else through a pidfd whose start time was
// compared.
//
// # Concurrency
//
// One goroutine, the forker, owns all state. It is locked to its thread, forks every child (the kernel's
// parent-death signal fires when the forking thread ends), and is the only caller of wait in the program: no other
// code may use os/exec or [os.Process.Wait] while a Host is open. It ends with [Host.Close]. All methods may
// be called from any goroutine; none waits for a child, except Close.
package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the settings of a [Host].
type Options struct {
	// Guardian starts a second process beside the first run, which kills all runs when this program dies without
	// Close. Never started as PID 1, whose death ends every process of its namespace anyway. [Guard] must be called
	// first in main.
	Guardian bool
	// NoCgroup leaves cgroups alone, even where they are writable.
	NoCgroup bool
	// Logger is told what was found at run time, at debug level; nil: nobody.
	Logger *slog.Logger
}

// Host starts runs and watches over them until they are over. There can be one in a program.
type Host struct {
	log    *slog.Logger
	id     string // random; the first half of every marker
	outer  string // markers of the flinch around this one, kept in front of ours
	calls  chan call
	events chan Event // sent to by the forker only
	quiet  chan struct{}
	closed chan struct{}
	null   *os.File
	forks  forks
	deaf   bool // SIGINT was ignored when this program started

	// Only the forker touches what follows.
	pid       int
	sigchld   chan os.Signal
	queue     []Event
	last      uint64           // number of the latest run
	trees     map[uint64]*Tree // runs that are not over, and those that left processes on purpose
	leaders   map[int]*Tree    // by the pid of a leader that is not reaped
	adopted   map[int]*child   // orphans that became our children
	foreign   map[int]bool     // children from before our time
	orphans   int              // orphans reaped
	cgroups   *cgroups         // nil: none
	guardian  *guardian        // nil: none wanted
	terminal  *terminal        // nil: no controlling terminal
	after     []func()         // to be done when the caller has its answer
	list      int              // our own children: /proc/PID/task/PID/children, open
	noLists   bool             // the kernel has none
	blind     bool             // a child could not be looked at
	mixed     bool             // orphans of strangers come to us too
	suspended time.Time        // when Suspend was called; zero: running
	closing   bool             // no run starts any more
	still     bool             // and none is left: quiet is closed
	ended     bool
}

// child is an orphan that was adopted: a direct child that we did not fork.
type child struct {
	Proc
	tree  *Tree // nil: nobody knows whose
	sure  bool  // false: its evidence was unreadable (it was in the middle of an exec); look again
	since time.Time
}

// NewHost makes the program the subreaper of its descendants and starts the forker. Descriptors above 2 that the program was
// started with are marked close-on-exec, so that no run inherits what it was not given. If it was started with SIGINT ignored,
// as background jobs of scripts are, so are the runs (but see Spec.Interruptible), also if it handles SIGINT itself; it is to do so after NewHost. (Of the other
// signals but SIGHUP, which is inherited as it is, Go does not tell how they were found.)
func NewHost(opt Options) (*Host, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	closeOnExec()
	h := &Host{
		log: opt.Logger, id: randomID(), outer: os.Getenv(markName), pid: os.Getpid(), null: null, deaf: signal.Ignored(unix.SIGINT),
		calls: make(chan call), events: make(chan Event, eventsAhead), quiet: make(chan struct{}), closed: make(chan struct{}),
		forks: forks{born: time.Now()}, sigchld: make(chan os.Signal, 1), trees: map[uint64]*Tree{}, leaders: map[int]*Tree{},
		adopted: map[int]*child{}, foreign: map[int]bool{},
	}
	if h.log == nil {
		h.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if !opt.NoCgroup {
		h.cgroups = newCgroups(h.id, h.log)
	}
	if opt.Guardian && h.pid != 1 {
		h.guardian = &guardian{}
	}
	h.terminal = openTerminal()
	signal.Notify(h.sigchld, unix.SIGCHLD)
	go h.forker()
	return h, nil
}

// Events is the stream of what happens to runs, in order. It has one reader. Nothing waits for the reader: what it does
// not take is queued. Closed at the end of [Host.Close].
func (h *Host) Events() <-chan Event { return h.events }

// Sync waits until all that was asked for before has been done. A start that others wait for is given up after two seconds: the
// kernel does not let go of a program's file that it cannot read.
func (h *Host) Sync() { h.do(func() {}) }

// Orphans is the number of orphaned processes that were adopted and reaped so far.
func (h *Host) Orphans() (n int) {
	h.do(func() { n = h.orphans })
	return n
}

// Cgroup is the directory below which runs have their cgroups; empty where none is writable.
func (h *Host) Cgroup() (dir string) {
	h.do(func() {
		if h.cgroups != nil {
			dir = h.cgroups.base
		}
	})
	return dir
}

// Close kills every run that is not over, and every process whose run is unknown; as PID 1 every process there is, with
// SIGTERM and half of the time that ctx leaves first. Processes left on purpose ([Spec.Leftovers]) are spared. It waits until all are gone, puts the
// terminal back to how it was found, ends the guardian, and closes the channel of events: one that is queued and not
// taken is lost. The error names processes that were still there when ctx ended.
func (h *Host) Close(ctx context.Context) error {
	if h.pid == 1 {
		h.endNamespace(ctx)
	}
	if !h.begin(ctx, h.beginClose).done() {
		if ctx.Err() != nil {
			return errors.New("a start has not come to its end: its file could not be read")
		}
		return nil
	}
	var err error
	select {
	case <-h.quiet:
	case <-ctx.Done():
		err = h.stillThere()
	}
	h.do(h.endClose)
	<-h.closed
	return err
}

// endNamespace is the end of a PID 1: everybody in its namespace is asked to go, whoever started it.
func (h *Host) endNamespace(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	grace := time.Second
	if ok {
		grace = time.Until(deadline) / 2
	}
	unix.Kill(-1, unix.SIGTERM)
	unix.Kill(-1, unix.SIGCONT)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(grace); time.Now().Before(end) && h.others(); {
		<-ticker.C
	}
	unix.Kill(-1, unix.SIGKILL)
}

// others tells whether any other process lives in this PID namespace.
func (h *Host) others() bool {
	for _, p := range allProcs() {
		if p.PID != h.pid && p.alive() {
			return true
		}
	}
	return false
}

// stillThere names the processes that outlived their SIGKILL.
func (h *Host) stillThere() error {
	var names []string
	h.do(func() {
		for _, t := range h.trees {
			if t.phase == over {
				continue
			}
			for _, p := range described(h.members(t)) {
				names = append(names, p.Where())
			}
		}
	})
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("still there after SIGKILL: %s", strings.Join(names, "; "))
}

// do runs f on the forker and waits for it. False: the host is closed.
func (h *Host) do(f func()) bool { return h.begin(context.Background(), f).done() }

// call is a function that the forker runs.
type call struct {
	f     func()
	ended chan struct{} // nil: the host was closed before, or the context has ended
}

// begin has f run on the forker and does not wait for its end.
func (h *Host) begin(ctx context.Context, f func()) call {
	c := call{f: f, ended: make(chan struct{})}
	patience := time.NewTimer(forkLimit)
	defer patience.Stop()
	for {
		select {
		case h.calls <- c:
			return c
		case <-h.closed:
			return call{}
		case <-ctx.Done():
			return call{}
		case <-patience.C:
			h.forks.giveUp()
			patience.Reset(forkLimit)
		}
	}
}

// done waits for the end of a call. False: the host is closed.
func (c call) done() bool {
	if c.ended == nil {
		return false
	}
	<-c.ended
	return true
}

// later runs f on the forker when the current call was answered.
func (h *Host) later(f func()) { h.after = append(h.after, f) }

func randomID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// closeOnExec marks every descriptor above 2. Go opens its own this way; those that the program inherited may not be.
func closeOnExec() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, ok := atoi(e.Name()); ok && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
