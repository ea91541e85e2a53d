package process

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forkLimit is how long a fork may hold up others. The parent is stopped until its child executes the program, whose file
// may be on a file system that does not answer.
const forkLimit = 2 * time.Second

// forks is what others may know of the forker while it is stuck in a fork.
type forks struct {
	born   time.Time     // of the host: what began is counted from
	thread atomic.Int32  // the forker's
	count  atomic.Uint64 // odd: one is under way
	began  atomic.Int64  // when it was, in nanoseconds
	killed atomic.Uint64 // the one that was given up
}

// execute forks and executes; a script without "#!" goes to sh, as a shell would do it.
func (f *forks) execute(j *job, attr *syscall.ProcAttr) (int, error) {
	pid, err := f.one(j.path, j.argv, attr)
	if err == syscall.ENOEXEC {
		pid, err = f.one(shell, append([]string{"sh", j.path}, j.argv[1:]...), attr)
	}
	return pid, err
}

// one is one fork. One that was given up looks like a success, as no error came from the child; its status is nobody's.
func (f *forks) one(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
	f.began.Store(int64(time.Since(f.born)))
	n := f.count.Add(1)
	pid, err := syscall.ForkExec(path, argv, attr)
	f.count.Add(1)
	if err == nil && f.killed.Load() == n {
		return 0, errStalled
	}
	return pid, err
}

// giveUp kills the child of a fork that is under way. It is the latest child of the forker's thread that is still this program, and
// while the fork goes on its pid cannot be another's.
func (f *forks) giveUp() {
	n := f.count.Load()
	if n%2 == 0 || time.Since(f.born)-time.Duration(f.began.Load()) < forkLimit-forkLimit/10 {
		return
	}
	children, _ := childrenOfThread(os.Getpid(), int(f.thread.Load()))
	for i := len(children) - 1; i >= 0; i-- {
		if !copyOfUs(children[i]) {
			continue
		}
		fd, err := unix.PidfdOpen(children[i], 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		if f.count.Load() == n {
			f.killed.Store(n)
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		return
	}
}

// copyOfUs tells whether a process has our program and our arguments; the guardian has others.
func copyOfUs(pid int) bool {
	ours, err := os.Readlink("/proc/self/exe")
	theirs, err2 := os.Readlink(procPath(pid, "exe"))
	return err == nil && err2 == nil && ours == theirs && commandLine(pid) == commandLine(os.Getpid())
}
