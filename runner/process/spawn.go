package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a start is retried that failed for a reason that passes by itself.
const patience = 100 * time.Millisecond

// What only the process itself can do before it becomes the command, a shell does.
const (
	// listenScript: nobody knows the pid earlier. It costs 0.8 ms more than writing it into the memory of a traced child, but
	// works under every seccomp and Yama setting, keeps set-user-id programs working, and is one line.
	listenScript = `export LISTEN_PID=$$; `
	// ignoreScript: this program handles the signal, and what is handled here is not ignored there.
	ignoreScript = `trap "" INT; `
	becomeScript = `exec "$0" "$@"`
)

// StartError says why a run was not started.
type StartError struct {
	Path string // the program, as it was looked for
	Dir  string // the working directory; empty: this program's
	Err  error  // mostly a syscall.Errno
}

func (e *StartError) Error() string {
	if e.Dir == "" {
		return fmt.Sprintf("start %s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("start %s in %s: %v", e.Path, e.Dir, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Hint says what to do about it; empty where nothing is known.
func (e *StartError) Hint() string {
	switch {
	case errors.Is(e.Err, errNoDir):
		return "the working directory does not exist (yet)"
	case errors.Is(e.Err, errStalled):
		return "others had to wait for it; is it on a file system that does not answer?"
	case errors.Is(e.Err, errCarriage):
		return "it was written on Windows: sed -i 's/\\r$//' " + e.Path
	case errors.Is(e.Err, errNoInterpreter):
		return "the interpreter that its first line (or the loader that the binary) names does not exist"
	case errors.Is(e.Err, fs.ErrNotExist) && strings.Contains(e.Path, "/"):
		return "the file does not exist (yet): is it built by another rule? then name that one in needs"
	case errors.Is(e.Err, fs.ErrNotExist):
		return "no folder of the command's PATH has it"
	case errors.Is(e.Err, syscall.EACCES):
		return "chmod +x " + e.Path
	case errors.Is(e.Err, syscall.ETXTBSY):
		return "somebody still writes this file"
	case errors.Is(e.Err, syscall.E2BIG):
		return "command line and environment are too long; use {dirs}, each, or FLINCH_CHANGES_FILE"
	case errors.Is(e.Err, syscall.EAGAIN):
		return "the limit of processes is reached: ulimit -u"
	}
	return ""
}

var (
	errNoDir         = errors.New("no such working directory")
	errNoInterpreter = errors.New("its interpreter does not exist")
	errStalled       = errors.New("its file could not be read")
	errCarriage      = errors.New("its first line ends in a carriage return")
	errFolder        = errors.New("it is a folder")
	errEmpty         = errors.New("empty command")
)

// Start starts a run. The error is a *[StartError]. It returns when the leader executes its program. It takes longer than that only where the
// program's file is still open for writing or no process can be made: that is retried for 100 ms.
func (h *Host) Start(spec Spec) (*Tree, error) {
	j, err := newJob(spec, h.deaf && !spec.Interruptible)
	if err != nil {
		return nil, err
	}
	var t *Tree
	for wait, end := time.Millisecond, time.Now().Add(patience); ; wait *= 2 {
		if t, err = h.try(j); err == nil || !passing(err) || time.Now().Add(wait).After(end) {
			break
		}
		time.Sleep(wait)
	}
	runtime.KeepAlive(spec) // its files must stay open until here
	if err != nil {
		return nil, &StartError{Path: j.path, Dir: spec.Dir, Err: diagnose(j, err)}
	}
	return t, nil
}

// passing tells errors that go away: another process between fork and exec holds the file open, or there are too many.
func passing(err error) bool {
	return errors.Is(err, syscall.ETXTBSY) || errors.Is(err, syscall.EAGAIN)
}

// diagnose tells the meanings of ENOENT and EACCES apart.
func diagnose(j *job, err error) error {
	if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EACCES) {
		return err
	}
	info, serr := os.Stat(j.abs(j.path))
	switch {
	case errors.Is(err, syscall.EACCES) && serr == nil && info.IsDir():
		return errFolder
	case !errors.Is(err, syscall.ENOENT):
		return err
	case j.spec.Dir != "" && !exists(j.spec.Dir):
		return errNoDir
	case !strings.Contains(j.path, "/"): // what the folder has of this name was not meant
		return err
	case serr == nil && carriage(j.abs(j.path)):
		return errCarriage
	case serr == nil:
		return errNoInterpreter
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// carriage tells whether a script names its interpreter in a line with a Windows end: "sh\r" is no program.
func carriage(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n') // the kernel reads no more
	return strings.HasPrefix(line, "#!") && strings.HasSuffix(line, "\r\n")
}

// job is a Spec, ready for the fork.
type job struct {
	spec  Spec
	path  string
	argv  []string
	env   []string  // the first is the place of the marker
	files []uintptr // none stands for /dev/null
	tty   int       // the first of descriptors 0 to 2 that is a terminal; -1: none
}

func newJob(spec Spec, deaf bool) (*job, error) {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return nil, &StartError{Dir: spec.Dir, Err: errEmpty}
	}
	if spec.Env == nil {
		spec.Env = os.Environ()
	}
	j := &job{spec: spec, path: spec.Argv[0], argv: spec.Argv}
	script := ""
	if spec.ListenPID {
		script += listenScript
	}
	if deaf {
		script += ignoreScript
	}
	path, err := j.find(spec.Argv[0])
	if err == nil && script != "" { // the shell would tell it too late, and not to us
		err = unix.Access(j.abs(path), unix.X_OK)
	}
	if err != nil {
		return nil, &StartError{Path: spec.Argv[0], Dir: spec.Dir, Err: diagnose(j, err)}
	}
	j.path = path
	if script != "" {
		j.path, j.argv = shell, append([]string{"sh", "-c", script + becomeScript}, spec.Argv...)
	}
	return j, nil
}

const (
	shell = "/bin/sh"
	none  = ^uintptr(0) // what a closed os.File has for a descriptor
)

// find looks a program up as execvp(3) would in the child: in the child's PATH, and from its directory.
func (j *job) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // execve(2) itself tells what is wrong
	}
	list, ok := lookupEnv(j.spec.Env, "PATH")
	if !ok {
		list = "/bin:/usr/bin"
	}
	var err error = syscall.ENOENT
	for dir := range strings.SplitSeq(list, ":") {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		info, serr := os.Stat(j.abs(path))
		if serr != nil || info.IsDir() {
			continue
		}
		if err = unix.Access(j.abs(path), unix.X_OK); err == nil {
			return path, nil
		}
	}
	return "", err
}

// abs is a path of the child as seen from here.
func (j *job) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(j.spec.Dir, path)
}

func lookupEnv(env []string, name string) (value string, ok bool) {
	for _, entry := range env {
		if v, found := strings.CutPrefix(entry, name+"="); found {
			value, ok = v, true // the last one counts
		}
	}
	return value, ok
}

// try is one attempt, on the forker, which is called before everything is prepared: that is done while its thread wakes up. The
// rest of the book-keeping is done after the caller has its answer.
func (h *Host) try(j *job) (t *Tree, err error) {
	prepared := make(chan error, 1)
	call := h.begin(context.Background(), func() {
		err = <-prepared
		if err == nil && (h.closing || h.ended) {
			err = os.ErrClosed
		}
		if err == nil {
			t, err = h.fork(j)
		}
	})
	prepared <- j.prepare()
	if !call.done() {
		return nil, os.ErrClosed
	}
	return t, err
}

// prepare makes what does not depend on the forker, and never waits for anything.
func (j *job) prepare() error {
	if j.env == nil {
		j.env = append(make([]string, 0, len(j.spec.Env)+1), "")
		for _, entry := range j.spec.Env {
			if !strings.HasPrefix(entry, markName+"=") && !(j.spec.ListenPID && strings.HasPrefix(entry, "LISTEN_PID=")) {
				j.env = append(j.env, entry)
			}
		}
	}
	return j.open()
}

// fork makes the leader and files it before its end can be noticed.
func (h *Host) fork(j *job) (*Tree, error) {
	t := &Tree{host: h, spec: j.spec, number: h.last + 1}
	attr := h.attributes(j, t)
	dir := h.cgroups.take()
	t.started = time.Now()
	if dir != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD, t.cgroup = true, dir.fd, dir.path
	}
	if len(h.trees) > 0 || len(h.queue) > 0 { // the ends and the times of others wait for this one, too
		limit := time.AfterFunc(forkLimit, h.forks.giveUp)
		defer limit.Stop()
	}
	pid, err := h.forks.execute(j, attr)
	if err != nil && dir != nil {
		pid, err = h.withoutCgroup(j, t, attr, dir, err)
	} else if dir != nil {
		dir.close()
	}
	if err != nil {
		return nil, err
	}
	t.pid = pid
	h.last++
	h.trees[t.number], h.leaders[pid] = t, t
	h.later(func() {
		h.cgroups.restock()
		h.guard(t)
	})
	return t, nil
}

// withoutCgroup tries again outside of the cgroup. If that works, it was the cgroup that did not.
func (h *Host) withoutCgroup(j *job, t *Tree, attr *syscall.ProcAttr, dir *cgroupDir, err error) (int, error) {
	// The cgroup's folder may be what does not exist: another flinch tidies up what it takes for left behind.
	if passing(err) || err == errStalled || errors.Is(err, syscall.ENOENT) && dir.exists() {
		h.cgroups.giveBack(dir)
		return 0, err
	}
	attr.Sys.UseCgroupFD, t.cgroup = false, ""
	pid, err := h.forks.execute(j, attr)
	if err != nil {
		h.cgroups.giveBack(dir)
		return 0, err
	}
	h.log.Debug("cgroups are not usable", "dir", dir.path)
	dir.close()
	h.cgroups.close()
	h.cgroups = nil
	return pid, nil
}

// attributes is the state in which the child begins: a session of its own, so that no terminal can stop it, and an end
// with this program's end.
func (h *Host) attributes(j *job, t *Tree) *syscall.ProcAttr {
	sys := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if h.terminal != nil && (j.tty >= 0 || j.spec.Foreground) {
		t.modes = h.terminal.modes()
	}
	if j.spec.Terminal && j.tty >= 0 {
		sys.Setctty, sys.Ctty = true, j.tty
		t.modes = nil // it is another terminal
	}
	if j.spec.Foreground && h.terminal != nil {
		t.job = true
		sys.Setsid, sys.Setpgid = false, true
		if h.terminal.ours() {
			sys.Foreground, sys.Ctty = true, h.terminal.fd
		}
	}
	for i, fd := range j.files {
		if fd == none {
			j.files[i] = h.null.Fd()
		}
	}
	j.env[0] = markName + "=" + t.markValue()
	return &syscall.ProcAttr{Dir: j.spec.Dir, Env: j.env, Files: j.files, Sys: sys}
}

// open lists the child's descriptors, and finds the first of 0 to 2 that is a terminal. The mode O_NONBLOCK belongs to the open
// file, not to the descriptor: an earlier child may have set it.
func (j *job) open() error {
	spec := &j.spec
	j.files, j.tty = j.files[:0], -1
	for i, f := range append([]*os.File{spec.Stdin, spec.Stdout, spec.Stderr}, spec.Extra...) {
		if f == nil {
			j.files = append(j.files, none)
			continue
		}
		fd := f.Fd()
		if fd == none {
			return fmt.Errorf("descriptor %d: %w", i, os.ErrClosed)
		}
		if err := unix.SetNonblock(int(fd), false); err != nil {
			return fmt.Errorf("descriptor %d: %w", i, err)
		}
		if i <= 2 && j.tty < 0 && isTerminal(int(fd)) {
			j.tty = i
		}
		j.files = append(j.files, fd)
	}
	return nil
}
