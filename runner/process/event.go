package process

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what an [Event] tells.
type Kind uint8

// The kinds of events. For one run: any number of Stopped, Continued, Killed and Stuck, one Exited, at most one Swept, at
// most one Left, and Over as the last.
const (
	// Exited: the leader ended, with Status and Usage. Other processes of the run may live on.
	Exited Kind = iota + 1
	// Over: no process of the run is left, but for those that were just named in Left.
	Over
	// Stopped: the leader was stopped by Signal: SIGTTIN and SIGTTOU mean that it wants the terminal.
	Stopped
	// Continued: the leader goes on.
	Continued
	// Killed: the time of grace was over and Procs were sent SIGKILL.
	Killed
	// Swept: the leader had ended by itself and Procs, which outlived it, were sent SIGKILL.
	Swept
	// Left: the leader had ended by itself and Procs, which outlived it, are left alone, also by Close.
	Left
	// Stuck: Procs are still there two seconds after SIGKILL. The run stays open until they are gone.
	Stuck
)

var kindNames = [...]string{
	Exited: "exited", Over: "over", Stopped: "stopped", Continued: "continued", Killed: "killed",
	Swept: "swept", Left: "left", Stuck: "stuck",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Event is something that happened to a run.
type Event struct {
	Kind   Kind
	Tree   *Tree
	Status Status         // of Exited and Over
	Usage  Usage          // of Exited
	Signal syscall.Signal // of Stopped
	Procs  []Proc         // of Killed, Swept, Left and Stuck
	Time   time.Time      // when the forker learned of it
}

// Status is how a leader ended.
type Status struct {
	Code   int            // exit status, 0 to 255; 0 where a signal ended it
	Signal syscall.Signal // the signal that ended it; 0: it exited
	Core   bool           // and left a core file
}

// Success tells whether the leader exited with 0.
func (s Status) Success() bool { return s == Status{} }

// ExitCode is the number that a shell would show: 128 + n for signal n.
func (s Status) ExitCode() int {
	if s.Signal != 0 {
		return 128 + int(s.Signal)
	}
	return s.Code
}

// String is "exit status 1" or "signal SIGSEGV (core dumped)".
func (s Status) String() string {
	if s.Signal == 0 {
		return fmt.Sprintf("exit status %d", s.Code)
	}
	text := "signal " + signalName(s.Signal)
	if s.Core {
		text += " (core dumped)"
	}
	return text
}

// Usage is what the leader, and those of its children that it waited for, used.
type Usage struct {
	User, System time.Duration
	MaxRSS       int64 // bytes
}

func statusOf(ws unix.WaitStatus) Status {
	if ws.Signaled() {
		return Status{Signal: ws.Signal(), Core: ws.CoreDump()}
	}
	return Status{Code: ws.ExitStatus()}
}

func usageOf(ru *unix.Rusage) Usage {
	return Usage{
		User: time.Duration(ru.Utime.Nano()), System: time.Duration(ru.Stime.Nano()),
		MaxRSS: ru.Maxrss << 10,
	}
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("%d", int(sig))
}
