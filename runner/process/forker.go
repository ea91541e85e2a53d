package process

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stuckAfter = 2 * time.Second        // after SIGKILL
	lookAgain  = time.Millisecond       // for evidence that was unreadable
	execLimit  = 100 * time.Millisecond // for which it may be, on a machine with much to do
	sweepAgain = 10 * time.Millisecond  // for members that are not our children (yet)

	eventsAhead = 16 // that wait for their reader without holding up the forker
)

// forker is the loop that owns everything. Its thread must outlive every leader: the death of the thread would be taken for
// the death of their parent.
func (h *Host) forker() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h.forks.thread.Store(int32(unix.Gettid()))
	h.lookAround()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for armed := (time.Time{}); !h.ended; {
		if next := h.nextDeadline(); next != armed {
			rearm(timer, next)
			armed = next
		}
		out, event := h.nextEvent()
		select {
		case call := <-h.calls:
			call.f()
			close(call.ended)
			h.doAfter()
		case <-h.sigchld:
			h.reap()
		case <-timer.C:
			armed = time.Time{}
			h.expire(time.Now())
		case out <- event:
			h.queue = h.queue[1:]
		}
	}
	close(h.events)
	close(h.closed)
}

// rearm sets a timer; a zero time stops it.
func rearm(timer *time.Timer, at time.Time) {
	if at.IsZero() {
		timer.Stop()
	} else {
		timer.Reset(time.Until(at))
	}
}

func (h *Host) doAfter() {
	for _, f := range h.after {
		f()
	}
	h.after = h.after[:0]
}

// lookAround finds out what the kernel offers, and which children are not ours: the program may have been started by an
// exec in a shell that had some.
func (h *Host) lookAround() {
	var err error
	h.list, err = unix.Open(childrenPath(h.pid, h.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	h.noLists = err != nil
	for _, pid := range h.children() {
		h.foreign[pid] = true
	}
	h.mixed = h.pid == 1 || len(h.foreign) > 0
}

// nextEvent makes the select offer the oldest event, or nothing.
func (h *Host) nextEvent() (chan<- Event, Event) {
	if len(h.queue) == 0 {
		return nil, Event{}
	}
	return h.events, h.queue[0]
}

func (h *Host) emit(e Event) {
	e.Time = time.Now()
	h.queue = append(h.queue, e)
}

// nextDeadline is the earliest deadline of all runs; zero: there is none.
func (h *Host) nextDeadline() (next time.Time) {
	if h.guardian != nil {
		next = earliest(h.guardian.due, h.guardian.again)
	}
	if !h.suspended.IsZero() {
		return next
	}
	for _, t := range h.trees {
		next = earliest(next, t.deadline, t.look)
	}
	return next
}

// earliest is the first of the times that are not zero; zero if all are.
func earliest(times ...time.Time) (first time.Time) {
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// expire handles the deadlines that have passed.
func (h *Host) expire(now time.Time) {
	if g := h.guardian; g != nil {
		if !g.due.IsZero() && !now.Before(g.due) {
			g.flush()
		}
		if !g.again.IsZero() && !now.Before(g.again) {
			g.again = time.Time{}
			h.ensureGuardian()
		}
	}
	if !h.suspended.IsZero() {
		return
	}
	for _, t := range h.trees {
		if !t.look.IsZero() && !now.Before(t.look) {
			t.look = time.Time{}
			h.lookAt(t)
		}
		if !t.deadline.IsZero() && !now.Before(t.deadline) {
			t.deadline = time.Time{}
			h.late(t)
		}
	}
	h.settle()
}

// lookAt repeats the killing: members that are not our children do not wake us when they end or fork.
func (h *Host) lookAt(t *Tree) {
	switch t.phase {
	case killing:
		h.killAll(t)
	case clearing:
		h.clear(t)
	}
}

// late is the end of a grace, or of the patience with a killed run.
func (h *Host) late(t *Tree) {
	switch t.phase {
	case stopping:
		procs := h.members(t)
		h.emit(Event{Kind: Killed, Tree: t, Procs: described(procs)})
		h.beginKill(t)
	case killing, clearing:
		h.emit(Event{Kind: Stuck, Tree: t, Procs: described(h.members(t))})
	}
}

// reap takes every status there is. No other code in the program waits.
func (h *Host) reap() {
	for {
		var ws unix.WaitStatus
		var ru unix.Rusage
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG|unix.WUNTRACED|unix.WCONTINUED, &ru)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		h.status(pid, ws, &ru)
	}
	h.settle()
}

// status files one status.
func (h *Host) status(pid int, ws unix.WaitStatus, ru *unix.Rusage) {
	t := h.leaders[pid]
	switch {
	case t != nil && ws.Stopped():
		h.halted(t, ws.StopSignal())
	case t != nil && ws.Continued():
		h.continued(t)
	case ws.Stopped() || ws.Continued():
	case t != nil:
		h.exited(t, statusOf(ws), usageOf(ru))
	case h.guardian != nil && pid == h.guardian.pid:
		h.guardian.lost()
		h.ensureGuardian()
	case h.foreign[pid]:
		delete(h.foreign, pid)
	default:
		h.orphans++
		delete(h.adopted, pid)
	}
}

// halted tells of a stop, unless it is ours.
func (h *Host) halted(t *Tree, sig syscall.Signal) {
	t.hushed = !h.suspended.IsZero()
	if !t.hushed {
		h.emit(Event{Kind: Stopped, Tree: t, Signal: sig})
	}
}

func (h *Host) continued(t *Tree) {
	if !t.hushed {
		h.emit(Event{Kind: Continued, Tree: t})
	}
	t.hushed = false
}

func (h *Host) exited(t *Tree, status Status, usage Usage) {
	t.reaped, t.status = true, status
	delete(h.leaders, t.pid)
	h.takeTerminal(t)
	h.emit(Event{Kind: Exited, Tree: t, Status: status, Usage: usage})
}

// settle brings every run whose leader is gone nearer to its end.
func (h *Host) settle() {
	if h.anyEnding() {
		h.adopt()
		for _, t := range h.trees {
			h.finish(t)
		}
	}
	if h.closing && !h.still && h.allQuiet() {
		close(h.quiet)
		h.still = true
	}
}

func (h *Host) anyEnding() bool {
	if h.closing {
		return true
	}
	for _, t := range h.trees {
		if t.reaped {
			return true
		}
	}
	return false
}

// adopt finds the orphans that became our children, and whose they are.
func (h *Host) adopt() {
	h.blind = false
	for _, pid := range h.children() {
		c := h.adopted[pid]
		switch {
		case h.leaders[pid] != nil, h.foreign[pid], h.guardian != nil && h.guardian.pid == pid:
			continue
		case c == nil:
			p, ok := readProc(pid)
			if !ok { // no descriptor is free: it is there until we reap it
				h.blind = true
				continue
			}
			c = &child{Proc: p, since: time.Now()}
			h.adopted[pid] = c
		}
		h.identify(c)
	}
}

// children lists those that were given to us: orphans go to the main thread, which Go never ends. Those that the forker's thread
// has are the leaders and the guardian. The file stays open: that is quicker, and where no descriptor is free, nobody must be taken
// to have ended.
func (h *Host) children() []int {
	if h.noLists {
		return childrenByScan(h.pid)
	}
	given, _ := slurpOpen(h.list)
	return numbers(given)
}

// finish decides what is to be done with a run whose leader is gone.
func (h *Host) finish(t *Tree) {
	if !t.reaped {
		return
	}
	left, sure := h.orphansOf(t)
	switch {
	case t.phase == over:
		if len(left) == 0 && sure {
			h.forget(t)
		}
	case !sure:
		t.look = time.Now().Add(lookAgain)
	case len(left) == 0:
		h.over(t, nil)
	case t.phase == running:
		h.leftovers(t)
	case t.phase == killing:
		h.killAll(t)
	case t.phase == clearing:
		h.clear(t)
	case t.phase == stopping: // they have their grace
		h.askLate(t, left)
	}
}

// orphansOf lists the direct children that belong to the run; every living member has one among its ancestors once the
// leader is gone. A zombie counts until it is reaped, which is soon. Not sure: some child's evidence could not be read, it
// may be one.
func (h *Host) orphansOf(t *Tree) (left []*child, sure bool) {
	sure = !h.blind
	for _, c := range h.adopted {
		switch {
		case c.tree == t:
			left = append(left, c)
		case c.tree == nil && !c.sure:
			sure = false
		}
	}
	return left, sure
}

// leftovers applies the policy to what outlived a leader that ended by itself.
func (h *Host) leftovers(t *Tree) {
	in, out := h.bySession(t)
	if len(in)+len(out) == 0 { // zombies; their SIGCHLD is on the way
		t.look = time.Now().Add(sweepAgain)
		return
	}
	switch t.spec.Leftovers {
	case LeaveAll:
		h.over(t, append(in, out...))
	case LeaveDaemons:
		t.phase = clearing
		t.deadline = time.Now().Add(stuckAfter)
		if len(in) > 0 {
			h.emit(Event{Kind: Swept, Tree: t, Procs: described(in)})
		}
		h.clear(t)
	default:
		h.emit(Event{Kind: Swept, Tree: t, Procs: described(append(in, out...))})
		h.beginKill(t)
	}
}

// bySession parts the members that did not leave the run's session (for a foreground job, which shares ours, its group)
// from those that did.
func (h *Host) bySession(t *Tree) (in, out []Proc) {
	for _, p := range h.members(t) {
		if p.Session == t.pid || t.job && p.Group == t.pid {
			in = append(in, p)
		} else {
			out = append(out, p)
		}
	}
	return in, out
}

// clear kills what is left of the session, and ends the run when there is nothing but what is left on purpose.
func (h *Host) clear(t *Tree) {
	in, out := h.bySession(t)
	if len(in) == 0 && len(out) > 0 {
		h.over(t, out)
		return
	}
	for _, p := range in {
		h.send(p, unix.SIGKILL)
	}
	t.look = time.Now().Add(sweepAgain)
}

// over ends the run. What is left of it is left on purpose.
func (h *Host) over(t *Tree, left []Proc) {
	t.phase, t.deadline, t.look = over, time.Time{}, time.Time{}
	h.takeTerminal(t)
	if len(left) > 0 {
		h.emit(Event{Kind: Left, Tree: t, Procs: described(left)})
		h.guardian.spare(t)
	} else {
		h.forget(t)
	}
	h.emit(Event{Kind: Over, Tree: t, Status: t.status})
}

// forget drops a run of which nothing is left.
func (h *Host) forget(t *Tree) {
	delete(h.trees, t.number)
	h.guardian.drop(t)
	h.cgroups.remove(t.cgroup)
}
