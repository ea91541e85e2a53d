package process

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	guardName   = "flinch-guard" // argv[0] of the guardian
	guardEnv    = "FLINCH_GUARD" // holds the host's id
	guardAgain  = time.Second    // between two starts of guardians that keep dying
	guardSweeps = 2 * time.Second
	guardDelay  = 5 * time.Millisecond // of news: the guardian is not to wake while a run starts
)

// guardian is the host's end: what it knows of the second process. Only the forker touches it; nil: none is wanted.
type guardian struct {
	pid     int
	w       int     // write end of the pipe that only this process has: its end of file is our death
	fresh   []*Tree // runs that it is to be told of
	unsent  []byte
	due     time.Time // to send it; zero: nothing is unsent
	started time.Time
	again   time.Time // when to start another one; zero: one is there, or no run
}

// guard makes sure that there is a guardian, and tells it of a run.
func (h *Host) guard(t *Tree) {
	if h.guardian == nil {
		return
	}
	if h.guardian.pid == 0 {
		h.ensureGuardian()
	} else {
		h.guardian.add(t)
	}
}

// ensureGuardian starts one, and tells it everything there is. One that keeps dying is started again after a while.
func (h *Host) ensureGuardian() {
	g := h.guardian
	if h.ended || h.closing {
		return
	}
	if again := g.started.Add(guardAgain); time.Now().Before(again) {
		g.again = again
		return
	}
	g.started, g.again = time.Now(), time.Time{}
	if err := g.start(h.id, h.null); err != nil {
		h.log.Debug("no guardian", "err", err)
		g.again = g.started.Add(guardAgain)
		return
	}
	if h.cgroups != nil {
		g.tell("cgroup", h.cgroups.base)
	}
	for _, t := range h.trees {
		g.add(t)
		if t.phase == over {
			g.spare(t)
		}
	}
}

// start executes this program again: /proc/self/exe is right also when the file was replaced meanwhile.
func (g *guardian) start(id string, null *os.File) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(fds[0])
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{guardEnv + "=" + id, "GOMAXPROCS=1", "GOGC=20", "GOTRACEBACK=none"},
		Files: []uintptr{uintptr(fds[0]), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{guardName, "of", strconv.Itoa(os.Getpid())}, attr)
	if err != nil {
		unix.Close(fds[1])
		return err
	}
	unix.SetNonblock(fds[1], true)
	g.pid, g.w, g.fresh, g.unsent = pid, fds[1], nil, nil
	return nil
}

// lost: the guardian has ended, or was ended.
func (g *guardian) lost() {
	unix.Close(g.w)
	g.pid, g.due = 0, time.Time{}
}

// add tells of a run.
func (g *guardian) add(t *Tree) {
	g.fresh = append(g.fresh, t)
	g.soon()
}

// spare tells of processes that are left on purpose.
func (g *guardian) spare(t *Tree) {
	if g != nil {
		g.tell("spare", strconv.FormatUint(t.number, 10), t.cgroup)
		g.flush()
	}
}

// drop tells that nothing of a run is left: its numbers may become somebody else's.
func (g *guardian) drop(t *Tree) {
	g.tell("drop", strconv.FormatUint(t.number, 10))
}

// end tells the guardian to go without doing anything.
func (g *guardian) end() {
	if g != nil && g.pid != 0 {
		g.tell("end")
		g.flush()
		unix.Close(g.w)
	}
}

// tell has a line sent soon.
func (g *guardian) tell(words ...string) {
	if g == nil || g.pid == 0 {
		return
	}
	g.unsent = append(g.unsent, strings.Join(words, "\t")+"\n"...)
	g.soon()
}

func (g *guardian) soon() {
	if g.due.IsZero() {
		g.due = time.Now().Add(guardDelay)
	}
}

// flush sends what is unsent. A guardian that does not read (it is stopped) does not stop us: what the pipe does not take
// is kept for the next time. A run is known to it by its leader, if that lives still.
func (g *guardian) flush() {
	if g.pid == 0 {
		g.fresh, g.due = nil, time.Time{}
		return
	}
	for _, t := range g.fresh {
		if p, ok := readProc(t.pid); ok && !t.reaped {
			g.tell("run", strconv.FormatUint(t.number, 10), strconv.Itoa(p.PID), strconv.FormatUint(p.Start, 10))
		}
	}
	g.fresh, g.due = nil, time.Time{}
	if n, err := unix.Write(g.w, g.unsent); err == nil {
		g.unsent = g.unsent[n:]
	}
}

// reapGuardian waits for a guardian that was told to end: it has nothing to do, so that is soon.
func (h *Host) reapGuardian() {
	if h.guardian == nil || h.guardian.pid == 0 {
		return
	}
	for range 100 {
		pid, err := unix.Wait4(h.guardian.pid, nil, unix.WNOHANG, nil)
		if pid == h.guardian.pid || err == unix.ECHILD {
			return
		}
		time.Sleep(time.Millisecond)
	}
	unix.Kill(h.guardian.pid, unix.SIGKILL) // ours and unreaped: it is nobody else
	unix.Wait4(h.guardian.pid, nil, 0, nil)
}

// Guard must be called first in main, and in TestMain of tests that start runs. In a process that was started as a
// guardian it does that work and never returns; in any other it does nothing.
func Guard() {
	id := os.Getenv(guardEnv)
	if id == "" || len(os.Args) == 0 || os.Args[0] != guardName {
		return
	}
	g := &guard{id: id, runs: map[uint64]leader{}, spared: map[uint64]bool{}, sparedDirs: map[string]bool{}}
	if !g.wait() {
		g.clean()
	}
	os.Exit(0)
}

// guard is the guardian's own state: what it would have to do.
type guard struct {
	id         string
	cgroup     string
	runs       map[uint64]leader
	spared     map[uint64]bool
	sparedDirs map[string]bool
}

// leader is the identity of a run's first process.
type leader struct {
	pid   int
	start uint64
}

// wait reads until the host tells it to end (true) or is gone (false). Whoever wants to end the host mostly does not know
// of the guardian: it does not react to the signals that he sends to all.
func (g *guard) wait() bool {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE)
	debug.FreeOSMemory() // what the program's own start-up used
	dropPages()          // after the collection, which reads most of the program's tables
	os.WriteFile("/proc/self/comm", []byte("guard"), 0)
	in := bufio.NewReaderSize(os.Stdin, 512)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if words := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); words[0] == "end" {
			return true
		} else if len(words) > 1 {
			g.note(words)
		}
	}
}

// dropPages gives back the pages of the program's files that its start-up touched. What is needed again comes from the
// page cache. Left alone is what can be written, and what was, before it was made read-only (relocations).
func dropPages() {
	maps, err := slurp("/proc/self/smaps")
	if err != nil {
		return
	}
	var from, to uint64
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(f[0], ":"):
			from, to = 0, 0
			if len(f) >= 6 && f[1][1] != 'w' && strings.HasPrefix(f[5], "/") {
				fmt.Sscanf(f[0], "%x-%x", &from, &to)
			}
		case f[0] == "Anonymous:" && f[1] == "0" && to > from:
			unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		}
	}
}

func (g *guard) note(words []string) {
	if words[0] == "cgroup" {
		g.cgroup = words[1]
		return
	}
	n, _ := strconv.ParseUint(words[1], 10, 64)
	switch words[0] {
	case "run":
		pid, _ := strconv.Atoi(words[2])
		start, _ := strconv.ParseUint(words[3], 10, 64)
		g.runs[n] = leader{pid, start}
	case "spare":
		delete(g.runs, n)
		g.spared[n] = true
		g.sparedDirs[words[2]] = true
	case "drop":
		delete(g.runs, n)
		delete(g.spared, n)
	}
}

// clean kills all that the dead host had started, until nothing of it is left.
func (g *guard) clean() {
	none := 0 // sweeps in a row that found nobody: in the middle of an exec, a process cannot be known
	for end := time.Now().Add(guardSweeps); none < 3 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		g.eachDir(func(dir string) { killCgroup(dir) })
		if none++; g.sweep() > 0 {
			none = 0
		}
	}
	for range 50 {
		g.eachDir(func(dir string) { unix.Rmdir(dir) })
		if g.cgroup == "" || unix.Rmdir(g.cgroup) != unix.EBUSY {
			break
		}
		time.Sleep(time.Millisecond)
	}
}

// eachDir visits the cgroups of runs.
func (g *guard) eachDir(do func(dir string)) {
	if g.cgroup == "" {
		return
	}
	dirs, _ := filepath.Glob(g.cgroup + "/*/cgroup.procs")
	for _, dir := range dirs {
		if dir = filepath.Dir(dir); !g.sparedDirs[dir] {
			do(dir)
		}
	}
}

// sweep kills every process that is one of ours by marker, session or group, and counts them.
func (g *guard) sweep() (n int) {
	pids := g.pids()
	for _, p := range allProcs() {
		if p.PID == os.Getpid() || !p.alive() || !g.isOurs(p, pids) {
			continue
		}
		n++
		killProc(p, unix.SIGKILL)
	}
	return n
}

// pids are the leaders whose numbers still mean what they did.
func (g *guard) pids() map[int]bool {
	pids := map[int]bool{}
	for _, l := range g.runs {
		if p, ok := readProc(l.pid); !ok || p.Start == l.start {
			pids[l.pid] = true
		}
	}
	return pids
}

func (g *guard) isOurs(p Proc, pids map[int]bool) bool {
	if pids[p.Session] || pids[p.Group] {
		return true
	}
	value, _ := marks(p.PID)
	n, found := numberIn(value, g.id)
	return found && !g.spared[n]
}
