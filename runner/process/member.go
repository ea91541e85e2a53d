package process

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markName is the environment variable that tells a run's processes from all others. Its value is a list, so that a
// flinch inside a flinch does not hide its runs from the outer one.
const markName = "FLINCH_MARK"

// mark is what the environment of the run's processes holds.
func (t *Tree) mark() string { return t.host.id + "-" + strconv.FormatUint(t.number, 10) }

// markValue has the marks of the flinches around us in front of ours.
func (t *Tree) markValue() string {
	if t.host.outer == "" {
		return t.mark()
	}
	return t.host.outer + ":" + t.mark()
}

// numberIn finds the number of one of this host's runs in the value of a marker.
func numberIn(value, id string) (uint64, bool) {
	for mark := range strings.SplitSeq(value, ":") {
		if digits, ok := strings.CutPrefix(mark, id+"-"); ok {
			n, err := strconv.ParseUint(digits, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// identify finds out to which run an orphan belongs, unless that is known.
func (h *Host) identify(c *child) {
	if c.tree != nil || c.sure {
		return
	}
	c.sure = true
	if c.tree = h.byCgroup(c.PID); c.tree != nil {
		return
	}
	value, ok := marks(c.PID)
	if p, found := readProc(c.PID); !ok && found {
		c.Proc, ok = p, p.bare
	}
	if n, found := numberIn(value, h.id); found && h.trees[n] != nil {
		c.tree = h.trees[n]
		return
	}
	if c.tree = h.byPlace(c.Proc); c.tree != nil {
		return
	}
	if !ok && time.Since(c.since) < execLimit {
		c.sure = false
		return
	}
	c.tree = h.onlyOne()
}

func (h *Host) byCgroup(pid int) *Tree {
	if h.cgroups == nil {
		return nil
	}
	dir := h.cgroups.of(pid)
	for _, t := range h.trees {
		if t.cgroup != "" && (dir == t.cgroup || strings.HasPrefix(dir, t.cgroup+"/")) {
			return t
		}
	}
	return nil
}

// byPlace goes by the snapshot, session and group. A run that is over does not hold its numbers any more; of two that
// claim a number the later one has it.
func (h *Host) byPlace(p Proc) (found *Tree) {
	for _, t := range h.trees {
		if start, ok := t.known[p.PID]; ok && start == p.Start {
			return t
		}
		if t.phase != over && (p.Session == t.pid || p.Group == t.pid) && (found == nil || t.number > found.number) {
			found = t
		}
	}
	return found
}

// onlyOne is the last evidence: an orphan without any (a daemon with an emptied environment) must come from a run, and
// there is just one. Not so where orphans of strangers come to us too.
func (h *Host) onlyOne() (only *Tree) {
	if h.mixed {
		return nil
	}
	for _, t := range h.trees {
		if t.phase == over {
			continue
		}
		if only != nil {
			return nil
		}
		only = t
	}
	return only
}

// members lists the living processes of a run, the leader first: its descendants, the descendants of its orphans, whoever else
// is in its cgroup, and who was one of them at the last look.
func (h *Host) members(t *Tree) []Proc {
	h.adopt()
	var procs []Proc
	seen := map[int]bool{}
	if !t.reaped {
		procs = h.walk(procs, seen, t.pid)
	}
	for pid, c := range h.adopted {
		if c.tree == t {
			procs = h.walk(procs, seen, pid)
		}
	}
	if t.cgroup != "" {
		for _, pid := range h.cgroups.procs(t.cgroup) {
			procs = h.walk(procs, seen, pid)
		}
	}
	for pid, start := range t.known {
		if seen[pid] {
			continue
		}
		if p, ok := readProc(pid); ok && p.Start == start {
			procs = h.walk(procs, seen, pid)
		}
	}
	return procs
}

// walk adds a process and its descendants.
func (h *Host) walk(procs []Proc, seen map[int]bool, pid int) []Proc {
	if seen[pid] {
		return procs
	}
	p, ok := readProc(pid)
	if !ok {
		return procs
	}
	seen[pid] = true
	if p.alive() {
		procs = append(procs, p)
	}
	for _, pid := range h.childrenOf(p) {
		procs = h.walk(procs, seen, pid)
	}
	return procs
}

// childrenOf lists the children of a process, by the shortest way.
func (h *Host) childrenOf(p Proc) []int {
	switch {
	case h.noLists:
		return childrenByScan(p.PID)
	case p.threads == 1:
		list, _ := childrenOfThread(p.PID, p.PID) // gone meanwhile: its children are another's now
		return list
	default:
		return childrenOf(p.PID)
	}
}

// signal sends signals once to each member: to the leader's group as one, while the unreaped leader holds its number, then
// one by one to those that are not in it, also if they left it a moment ago. The tree is looked at before, as it falls apart
// under the signal.
func (h *Host) signal(t *Tree, signals ...unix.Signal) {
	procs := h.remember(t)
	if !t.reaped {
		for _, sig := range signals {
			unix.Kill(-t.pid, sig)
		}
		if !t.job && len(procs) == 1 && procs[0].PID == t.pid {
			return // the leader of a session cannot leave its group
		}
		procs = h.members(t)
	}
	for _, p := range procs {
		if t.reaped || p.Group != t.pid {
			h.send(p, signals...)
		}
	}
}

// remember takes the snapshot by which members are known later that have no other evidence.
func (h *Host) remember(t *Tree) []Proc {
	procs := h.members(t)
	t.known = make(map[int]uint64, len(procs))
	for _, p := range procs {
		t.known[p.PID] = p.Start
	}
	return procs
}

// send signals a process: our children by pid, which is theirs until we reap them, others by pidfd.
func (h *Host) send(p Proc, signals ...unix.Signal) {
	for _, sig := range signals {
		var err error
		if h.adopted[p.PID] != nil || h.leaders[p.PID] != nil {
			err = unix.Kill(p.PID, sig)
		} else {
			err = killProc(p, sig)
		}
		if err != nil {
			h.log.Debug("signal not sent", "signal", signalName(sig), "process", p, "err", err)
		}
	}
}

// String names the run in logs.
func (t *Tree) String() string { return fmt.Sprintf("%s (pid %d)", t.spec.Run, t.pid) }
