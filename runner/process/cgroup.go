package process

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups gives each run a directory of its own below this program's cgroup, where that is writable.
// A goroutine of its own makes the next directory while nobody waits, and removes those of runs that are over.
type cgroups struct {
	mount  string // where the hierarchy is mounted
	root   string // which of its directories that is
	parent string // this program's own
	base   string
	made   int             // directories made by the forker itself
	ready  chan *cgroupDir // holds the next one
	taken  chan struct{}
	gone   chan string
	quit   chan struct{}
	ended  chan struct{}
}

// cgroupDir is an empty directory, and an open descriptor of it.
type cgroupDir struct {
	path string
	fd   int
}

func (d *cgroupDir) close() { unix.Close(d.fd) }

// exists tells whether the folder has not been removed.
func (d *cgroupDir) exists() bool { return unix.Access(d.path, unix.F_OK) == nil }

// newCgroups finds this program's own cgroup v2 and makes a directory in it. nil: there is none that is writable.
func newCgroups(id string, log *slog.Logger) *cgroups {
	c, err := findCgroup()
	if err == nil {
		c.parent = c.base
		c.base = filepath.Join(c.parent, fmt.Sprintf("flinch-%d-%s", os.Getpid(), id))
		err = os.Mkdir(c.base, 0o755)
	}
	if err != nil {
		log.Debug("no cgroup for runs", "err", err)
		return nil
	}
	go c.housekeeping()
	return c
}

// findCgroup maps this program's line in /proc/self/cgroup to a directory.
func findCgroup() (*cgroups, error) {
	info, err := slurp("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	c := &cgroups{ready: make(chan *cgroupDir, 1), taken: make(chan struct{}, 1), gone: make(chan string, 64), quit: make(chan struct{}), ended: make(chan struct{})}
	for line := range strings.SplitSeq(string(info), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) >= 5 {
			c.root, c.mount = fields[3], fields[4]
			if c.base = c.of(os.Getpid()); c.base != "" && c.holds(os.Getpid()) {
				return c, nil
			}
		}
	}
	return nil, os.ErrNotExist
}

// holds makes sure that the directory found is really the cgroup of pid: namespaces may hide its true path.
func (c *cgroups) holds(pid int) bool {
	for _, p := range c.procs(c.base) {
		if p == pid {
			return true
		}
	}
	return false
}

// of is the directory of a process's cgroup; empty: unknown, or outside of what is mounted.
func (c *cgroups) of(pid int) string {
	data, err := slurp(procPath(pid, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			rel, err := filepath.Rel(c.root, path)
			if err != nil || strings.HasPrefix(rel, "..") {
				return ""
			}
			return filepath.Join(c.mount, rel)
		}
	}
	return ""
}

// procs lists the processes in a cgroup and below.
func (c *cgroups) procs(dir string) []int {
	data, err := slurp(dir + "/cgroup.procs")
	if err != nil {
		return nil
	}
	var pids []int
	for field := range bytes.FieldsSeq(data) {
		if pid, ok := atoi(string(field)); ok && pid > 0 { // 0: of another PID namespace
			pids = append(pids, pid)
		}
	}
	return pids
}

// killCgroup sends SIGKILL to everybody in a cgroup and below, fork bombs included. Kernels before 5.14 cannot.
func killCgroup(dir string) error {
	fd, err := unix.Open(dir+"/cgroup.kill", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("1"))
	return err
}

// take hands out an empty directory, mostly one that is ready; nil: none can be made. Only the forker calls it.
func (c *cgroups) take() *cgroupDir {
	if c == nil {
		return nil
	}
	select {
	case dir := <-c.ready:
		return dir
	default:
		c.made++
		return c.make("f" + strconv.Itoa(c.made))
	}
}

// restock has another directory made soon.
func (c *cgroups) restock() {
	if c == nil {
		return
	}
	select {
	case c.taken <- struct{}{}:
	default: // it knows
	}
}

// giveBack is for a directory that was not used.
func (c *cgroups) giveBack(dir *cgroupDir) {
	dir.close()
	c.remove(dir.path)
}

// remove has an empty directory removed soon.
func (c *cgroups) remove(path string) {
	if c != nil && path != "" {
		c.gone <- path
	}
}

// close removes what can be removed, and ends the goroutine.
func (c *cgroups) close() {
	close(c.quit)
	<-c.ended
}

// idle is how long after a start or an end the housekeeping waits: the kernel's cgroup lock would hold up the fork.
const idle = 10 * time.Millisecond

// housekeeping makes and removes directories until close.
func (c *cgroups) housekeeping() {
	defer close(c.ended)
	c.clearOld()
	var old []string
	made := 0
	chores := time.NewTimer(0)
	defer chores.Stop()
	due := true // and is not put off again by those who come meanwhile
	soon := func() {
		if !due {
			chores.Reset(idle)
			due = true
		}
	}
	for {
		select {
		case <-c.taken:
			soon()
		case path := <-c.gone:
			old = append(old, path)
			soon()
		case <-chores.C:
			due = false
			if old = removeDirs(old); len(old) > 0 {
				soon()
			}
			if len(c.ready) == 0 {
				made++
				c.ready <- c.make(strconv.Itoa(made))
			}
		case <-c.quit:
			c.leave(old)
			return
		}
	}
}

// clearOld removes what dead flinches could not, because processes that were left on purpose lived there.
func (c *cgroups) clearOld() {
	old, _ := filepath.Glob(c.parent + "/flinch-*-*")
	for _, base := range old {
		digits, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(base), "flinch-"), "-")
		if pid, ok := atoi(digits); !ok || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		dirs, _ := filepath.Glob(base + "/*/cgroup.procs")
		for _, dir := range dirs {
			unix.Rmdir(filepath.Dir(dir))
		}
		unix.Rmdir(base) // fails where somebody lives
	}
}

func (c *cgroups) make(name string) *cgroupDir {
	path := c.base + "/" + name
	if os.Mkdir(path, 0o755) != nil {
		return nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &cgroupDir{path: path, fd: fd}
}

// leave cleans up: the kernel may take a moment to see that the last process has left.
func (c *cgroups) leave(old []string) {
	for len(c.ready) > 0 {
		if dir := <-c.ready; dir != nil {
			dir.close()
			old = append(old, dir.path)
		}
	}
	for len(c.gone) > 0 {
		old = append(old, <-c.gone)
	}
	for range 50 {
		if old = removeDirs(old); len(old) == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	unix.Rmdir(c.base) // stays where processes were left on purpose
}

// removeDirs returns those that are still busy.
func removeDirs(paths []string) (busy []string) {
	for _, path := range paths {
		if unix.Rmdir(path) == unix.EBUSY {
			busy = append(busy, path)
		}
	}
	return busy
}
