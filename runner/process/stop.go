package process

import (
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stop begins, or hastens, the end of a run.
func (h *Host) stop(t *Tree, sig syscall.Signal, grace time.Duration) {
	switch {
	case t.phase == over:
	case t.phase == killing: // nothing is stronger
	case grace <= 0 || sig == unix.SIGKILL:
		h.beginKill(t)
	default:
		h.ask(t, sig, time.Now().Add(grace))
	}
}

// ask sends the polite signal. SIGCONT follows, or a stopped process would not see it before its time is over.
func (h *Host) ask(t *Tree, sig syscall.Signal, deadline time.Time) {
	t.asked = sig
	h.signal(t, sig, unix.SIGCONT)
	if t.phase != stopping || deadline.Before(t.deadline) {
		t.deadline = deadline
	}
	t.phase = stopping
}

// askLate asks orphans that were not there when the signal was sent: a shell may hold signals back while it forks, and
// then dies of the one that its new child has not got. Twice is better than not at all.
func (h *Host) askLate(t *Tree, orphans []*child) {
	for _, c := range orphans {
		if t.known[c.PID] != c.Start {
			t.known[c.PID] = c.Start
			h.send(c.Proc, t.asked, unix.SIGCONT)
		}
	}
}

// beginKill makes the rest of the run's life short. The group goes first, and mostly that was everybody: the whole of
// cgroup.kill takes longer than the death of a group.
func (h *Host) beginKill(t *Tree) {
	t.phase = killing
	t.deadline = time.Now().Add(stuckAfter)
	t.look = time.Now().Add(sweepAgain) // somebody may be forked meanwhile
	h.signal(t, unix.SIGKILL)
}

// killAll is repeated until the run is over, as members may fork while they are killed.
func (h *Host) killAll(t *Tree) {
	if t.cgroup != "" {
		killCgroup(t.cgroup)
	}
	h.signal(t, unix.SIGKILL)
	t.look = time.Now().Add(sweepAgain)
}

// beginClose kills what is left. Processes left on purpose are not.
func (h *Host) beginClose() {
	h.closing = true
	for _, t := range h.trees {
		if t.phase < killing {
			h.beginKill(t)
		}
	}
	h.settle()
}

// allQuiet tells whether all runs are over and all their orphans gone. Orphans that no run can be found for are killed,
// unless they may be strangers.
func (h *Host) allQuiet() bool {
	for _, t := range h.trees {
		if t.phase != over {
			return false
		}
	}
	quiet := true
	for pid, c := range h.adopted {
		if c.tree == nil && !h.mixed {
			unix.Kill(pid, unix.SIGKILL)
			quiet = false
		}
	}
	return quiet
}

// endClose leaves the program as it was found.
func (h *Host) endClose() {
	h.terminal.close()
	h.guardian.end()
	h.reapGuardian()
	if h.cgroups != nil {
		h.cgroups.close()
	}
	h.null.Close()
	if !h.noLists {
		unix.Close(h.list)
	}
	signal.Stop(h.sigchld)
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	h.ended = true
}
