package process

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// suspendPatience is how long a run may take to stop itself on SIGTSTP.
const suspendPatience = 100 * time.Millisecond

// terminal is the terminal that controls this program. Only the forker touches it: the signal mask is the thread's.
type terminal struct {
	fd    int
	group int // this program's process group
	saved *unix.Termios
}

// openTerminal returns nil where no terminal controls us.
func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	t := &terminal{fd: fd, group: unix.Getpgrp()}
	t.saved = t.modes()
	return t
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// modes are the terminal's modes now; nil: it hung up.
func (t *terminal) modes() *unix.Termios {
	modes, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return nil
	}
	return modes
}

// foreground is the group that reads and gets Ctrl-C; 0: unknown.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

func (t *terminal) ours() bool { return t.foreground() == t.group }

// give makes a group the foreground job.
func (t *terminal) give(group int) {
	blockTTOU(func() { unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group) })
}

// restore sets modes, if we are in the foreground: otherwise they are somebody else's.
func (t *terminal) restore(modes *unix.Termios) {
	if modes == nil || !t.ours() {
		return
	}
	if now := t.modes(); now == nil || *now == *modes {
		return
	}
	blockTTOU(func() { unix.IoctlSetTermios(t.fd, unix.TCSETS, modes) })
}

// takeFrom takes the terminal back from a group, or from whoever has it and is gone.
func (t *terminal) takeFrom(group int) {
	owner := t.foreground()
	if owner == group || owner > 0 && unix.Kill(-owner, 0) == unix.ESRCH {
		t.give(t.group)
	}
}

func (t *terminal) close() {
	if t == nil {
		return
	}
	t.takeFrom(t.group)
	t.restore(t.saved)
	unix.Close(t.fd)
}

// blockTTOU runs f with SIGTTOU blocked on this thread: the signal would stop us for using the terminal from the background. It
// must not be ignored instead, children would inherit that.
func blockTTOU(f func()) {
	var set, old unix.Sigset_t
	bits := uint(8 * int(wordSize))
	set.Val[uint(unix.SIGTTOU-1)/bits] |= 1 << (uint(unix.SIGTTOU-1) % bits)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old) != nil {
		return
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	f()
}

const wordSize = strconv.IntSize / 8

// takeTerminal ends a run's use of the terminal.
func (h *Host) takeTerminal(t *Tree) {
	if h.terminal == nil {
		return
	}
	if t.job {
		h.terminal.takeFrom(t.pid)
	}
	h.terminal.restore(t.modes)
}

// Suspend stops all runs, as Ctrl-Z asks: with SIGTSTP where somebody handles that, and SIGSTOP where nobody does or 100 ms were not enough.
// The terminal is as it was before the runs. The caller may then stop the program itself. Time of grace does not pass until [Host.Resume].
func (h *Host) Suspend() {
	h.do(h.beginSuspend)
	h.untilStopped(func() {})
	h.untilStopped(h.stopAll) // again and again: who is not stopped yet may fork
	h.do(h.lendTerminal)
}

// untilStopped repeats what is to be done until all members are stopped, but not for long.
func (h *Host) untilStopped(do func()) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(suspendPatience); time.Now().Before(end); <-ticker.C {
		stopped := true
		h.do(func() {
			do()
			stopped = h.allStopped()
		})
		if stopped {
			return
		}
	}
}

func (h *Host) beginSuspend() {
	if h.suspended.IsZero() {
		h.suspended = time.Now()
	}
	for _, t := range h.trees {
		for _, p := range h.movable(t) {
			if catches(p.PID, unix.SIGTSTP) {
				h.send(p, unix.SIGTSTP)
			} else {
				h.send(p, unix.SIGSTOP)
			}
		}
	}
}

// movable are the members that a Suspend is for: not those that were left on purpose.
func (h *Host) movable(t *Tree) []Proc {
	if t.phase == over {
		return nil
	}
	return h.members(t)
}

func (h *Host) allStopped() bool {
	for _, t := range h.trees {
		for _, p := range h.movable(t) {
			if p.State != 'T' && p.State != 't' {
				return false
			}
		}
	}
	return true
}

func (h *Host) stopAll() {
	for _, t := range h.trees {
		for _, p := range h.movable(t) {
			h.send(p, unix.SIGSTOP)
		}
	}
}

// lendTerminal gives the terminal, as it was before, to whoever started this program.
func (h *Host) lendTerminal() {
	for _, t := range h.trees {
		if h.terminal != nil && t.job && t.phase != over {
			t.mine = h.terminal.modes()
			h.terminal.takeFrom(t.pid)
			h.terminal.restore(t.modes)
		}
	}
}

// Resume continues all runs. A foreground job gets the terminal back, as it had it, if this program is in the foreground.
func (h *Host) Resume() {
	h.do(func() {
		if h.suspended.IsZero() {
			return
		}
		away := time.Since(h.suspended)
		h.suspended = time.Time{}
		for _, t := range h.trees {
			if t.phase == over {
				continue
			}
			t.postpone(away)
			h.giveTerminal(t)
			h.signal(t, unix.SIGCONT)
		}
	})
}

// postpone gives a run the time that it was stopped for.
func (t *Tree) postpone(d time.Duration) {
	for _, at := range [...]*time.Time{&t.deadline, &t.look} {
		if !at.IsZero() {
			*at = at.Add(d)
		}
	}
}

// giveTerminal hands the terminal back to a foreground job.
func (h *Host) giveTerminal(t *Tree) {
	if h.terminal == nil || !t.job || t.reaped || !h.terminal.ours() {
		return
	}
	h.terminal.restore(t.mine)
	h.terminal.give(t.pid)
}

// catches tells whether a process has a handler for a signal.
func catches(pid int, sig unix.Signal) bool {
	data, err := slurp(procPath(pid, "status"))
	if err != nil {
		return false
	}
	_, after, ok := strings.Cut(string(data), "SigCgt:\t")
	if !ok {
		return false
	}
	digits, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(digits, 16, 64)
	return err == nil && mask&(1<<(uint(sig)-1)) != 0
}
