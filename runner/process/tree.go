package process

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Leftovers says what happens to processes that outlive a leader that ended by itself. A run that was stopped leaves
// nothing, whatever this says.
type Leftovers uint8

const (
	// LeaveNone kills all of them. The default.
	LeaveNone Leftovers = iota
	// LeaveDaemons kills those of the leader's session and leaves the others, which went into one of their own, alone.
	LeaveDaemons
	// LeaveAll leaves all of them alone.
	LeaveAll
)

// Spec says what to start.
type Spec struct {
	// Run is the caller's name for the run; it does not mean anything to this package.
	Run string
	// Argv is the program and its arguments. A name without a slash is looked up in the PATH of Env, a relative one is
	// relative to Dir. A script without "#!" is run by sh.
	Argv []string
	// Dir is the working directory; empty: this program's.
	Dir string
	// Env is the whole environment; nil: this program's. The marker FLINCH_MARK is added.
	Env []string
	// Stdin, Stdout and Stderr become descriptors 0 to 2; nil: /dev/null. Extra become 3 and up. They stay the caller's to
	// close, any time after Start. O_NONBLOCK is cleared on all of them.
	Stdin, Stdout, Stderr *os.File
	Extra                 []*os.File
	// ListenPID sets LISTEN_PID to the pid of the leader.
	ListenPID bool
	// Interruptible: SIGINT is a signal that its rule sends; it is not started with that ignored, however this program was.
	Interruptible bool
	// Foreground makes the run the foreground job of the terminal that controls this program: in this program's session, in a
	// group of its own that reads from the terminal and gets Ctrl-C. When the leader ends, the terminal and its modes are
	// taken back. Without such a terminal it changes nothing; while this program is in the background itself, the job
	// is too, and an attempt to read is told by the event Stopped.
	Foreground bool
	// Terminal makes the first of Stdin, Stdout and Stderr that is a terminal (a new PTY) the controlling
	// terminal of the run's session.
	Terminal bool
	// Leftovers says what happens to processes that outlive a leader that ended by itself.
	Leftovers Leftovers
}

// Tree is one run: a leader and all its descendants.
type Tree struct {
	host    *Host
	spec    Spec
	number  uint64
	pid     int
	started time.Time
	job     bool // in this program's session, as its foreground job
	cgroup  string

	// Only the forker touches what follows.
	phase    phase
	reaped   bool // the leader is gone
	status   Status
	known    map[int]uint64 // pid -> start time, of members seen when a stop began
	asked    syscall.Signal // by which the run was asked to end
	deadline time.Time      // end of the grace, or when the run counts as stuck; zero: none
	look     time.Time      // look again then; zero: when a child changes
	hushed   bool           // stopped by Suspend: nobody is told
	modes    *unix.Termios  // of the terminal, before the run
	mine     *unix.Termios  // of the terminal, as the run had them when it was suspended
}

// phase is where in its life a run is.
type phase uint8

const (
	running  phase = iota // nobody asked it to end
	stopping              // asked, and has time
	clearing              // ended by itself; what is left of its session is being killed
	killing               // all of it is being killed
	over
)

// PID is the leader's pid, and the id of its process group; unless Foreground, also of its session. It may belong to somebody else once
// the run is over: do not signal it.
func (t *Tree) PID() int { return t.pid }

// Run is Spec.Run.
func (t *Tree) Run() string { return t.spec.Run }

// Spec is what the run was started with.
func (t *Tree) Spec() Spec { return t.spec }

// Started is when the leader was forked.
func (t *Tree) Started() time.Time { return t.started }

// Signal sends sig once to each process of the run.
func (t *Tree) Signal(sig syscall.Signal) {
	t.host.do(func() {
		if t.phase != over {
			t.host.signal(t, sig)
		}
	})
}

// SignalLeader sends sig to the leader alone. False: it has ended.
func (t *Tree) SignalLeader(sig syscall.Signal) (sent bool) {
	t.host.do(func() {
		sent = !t.reaped && unix.Kill(t.pid, sig) == nil
	})
	return sent
}

// Stop ends the run: sig and SIGCONT to each process of it, SIGKILL to whoever is left after grace. It returns at once; the
// end is told by the event Over. Called again, it sends sig again, and the shorter grace counts. No grace is Kill.
func (t *Tree) Stop(sig syscall.Signal, grace time.Duration) {
	t.host.do(func() { t.host.stop(t, sig, grace) })
}

// Kill ends the run with SIGKILL. It returns at once; the end is told by the event Over.
func (t *Tree) Kill() {
	t.host.do(func() { t.host.stop(t, unix.SIGKILL, 0) })
}

// Members are the living processes of the run, leader first; none when it is over.
func (t *Tree) Members() (procs []Proc) {
	t.host.do(func() {
		if t.phase != over {
			procs = t.host.members(t)
		}
	})
	return procs
}
