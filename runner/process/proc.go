package process

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Proc is a process as it was seen once: its pid may belong to somebody else by now.
type Proc struct {
	PID, Parent, Group, Session int
	State                       byte   // R, S, D, T, t, Z as in proc(5)
	Start                       uint64 // clock ticks after boot; with PID, the identity of a process
	Name                        string // at most 15 bytes
	Command                     string // the command line; only in events and answers, and empty where it is not readable
	Wait                        string // the kernel function that it waits in; only in events, and empty where unknown

	Foreign bool // it runs as somebody whom we may not signal; only in events

	threads int
	bare    bool // it has an environment, and that is empty
}

// String is "node (pid 123)".
func (p Proc) String() string { return fmt.Sprintf("%s (pid %d)", p.Name, p.PID) }

// Where is "node (pid 123), state D, waits in nfs_wait_bit_killable": why it may not end.
func (p Proc) Where() string {
	text := fmt.Sprintf("%s, state %c", p, p.State)
	switch {
	case p.Foreign:
		text += ", runs as another user who alone may end it"
	case p.Wait != "":
		text += ", waits in " + p.Wait
	}
	return text
}

// alive: a process whose first thread has ended looks like a zombie while its other threads go on.
func (p Proc) alive() bool { return p.State != 'Z' && p.State != 'X' || p.threads > 1 }

// described has what costs another look into /proc.
func described(procs []Proc) []Proc {
	for i := range procs {
		procs[i].Command = commandLine(procs[i].PID)
		procs[i].Foreign = unix.Kill(procs[i].PID, 0) == unix.EPERM
		if wait, err := slurp(procPath(procs[i].PID, "wchan")); err == nil && string(wait) != "0" {
			procs[i].Wait = string(wait)
		}
	}
	return procs
}

func commandLine(pid int) string {
	data := ofThreads(pid, "cmdline")
	return strings.ReplaceAll(strings.TrimRight(string(data), "\x00"), "\x00", " ")
}

// readProc reads /proc/PID/stat. False: there is no such process.
func readProc(pid int) (Proc, bool) {
	data, err := slurp(procPath(pid, "stat"))
	if err != nil {
		return Proc{}, false
	}
	return parseStat(data)
}

// parseStat reads a line of proc(5)'s stat. The name may hold spaces and parentheses, so it ends at the last one.
func parseStat(data []byte) (p Proc, ok bool) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return p, false
	}
	if p.PID, ok = atoi(string(data[:open-1])); !ok {
		return p, false
	}
	p.Name = string(data[open+1 : end])
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 20 {
		return p, false
	}
	p.State = fields[0][0]
	p.Parent, _ = atoi(fields[1])
	p.Group, _ = atoi(fields[2])
	p.Session, _ = atoi(fields[3])
	p.threads, _ = atoi(fields[17])
	p.Start, _ = strconv.ParseUint(fields[19], 10, 64)
	p.bare = len(fields) > 48 && fields[47] == fields[48] && fields[47] != "0" // where it begins and ends
	return p, true
}

// allProcs lists every process there is.
func allProcs() []Proc {
	names, err := dirNames("/proc")
	if err != nil {
		return nil
	}
	procs := make([]Proc, 0, len(names))
	for _, name := range names {
		pid, ok := atoi(name)
		if !ok {
			continue
		}
		if p, ok := readProc(pid); ok {
			procs = append(procs, p)
		}
	}
	return procs
}

// childrenOfThread lists the children that a thread forked. The kernel reparents orphans to the first thread of the
// subreaper. The list is exact as long as no child of the thread is reaped meanwhile, which only the forker does to ours.
func childrenOfThread(pid, tid int) ([]int, error) {
	data, err := slurp(childrenPath(pid, tid))
	return numbers(data), err
}

func childrenPath(pid, tid int) string { return procPath(pid, "task/"+strconv.Itoa(tid)+"/children") }

func numbers(data []byte) (list []int) {
	for field := range bytes.FieldsSeq(data) {
		if n, ok := atoi(string(field)); ok {
			list = append(list, n)
		}
	}
	return list
}

// childrenOf lists the children that all threads of a process forked: each thread has a list of its own.
func childrenOf(pid int) []int {
	threads, err := dirNames(procPath(pid, "task"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range threads {
		if tid, ok := atoi(name); ok {
			list, _ := childrenOfThread(pid, tid) // gone meanwhile: its children are another's now
			pids = append(pids, list...)
		}
	}
	return pids
}

// childrenByScan is childrenOf for kernels that keep no lists: everybody's parent is asked.
func childrenByScan(pid int) []int {
	var pids []int
	for _, p := range allProcs() {
		if p.Parent == pid {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// marks finds the values of the marker in the environment that a process was started with. False: it could not be
// read or was empty, as it is for an instant during an exec.
func marks(pid int) (value string, ok bool) {
	data := ofThreads(pid, "environ")
	if len(data) == 0 {
		return "", false
	}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if v, found := bytes.CutPrefix(entry, []byte(markName+"=")); found {
			return string(v), true
		}
	}
	return "", true
}

// ofThreads is a file about what the threads of a process share; empty where it is not readable.
func ofThreads(pid int, name string) (data []byte) {
	anyThread(pid, func(dir string) bool {
		data, _ = slurp(dir + "/" + name)
		return len(data) > 0
	})
	return data
}

// anyThread reads what all threads of a process share: from the first, or where that has ended, and so has nothing any more,
// from another one.
func anyThread(pid int, read func(dir string) bool) {
	if read("/proc/" + strconv.Itoa(pid)) {
		return
	}
	threads, _ := dirNames(procPath(pid, "task"))
	for _, tid := range threads {
		if read(procPath(pid, "task/"+tid)) {
			return
		}
	}
}

// slurp reads a file of /proc or of a cgroup whole, without troubling the network poller.
func slurp(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return slurpOpen(fd)
}

// slurpOpen reads an open file of /proc from its beginning.
func slurpOpen(fd int) ([]byte, error) {
	buf := make([]byte, 0, page/4)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
		}
		n, err := unix.Pread(fd, buf[len(buf):cap(buf)], int64(len(buf)))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		buf = buf[:len(buf)+n]
		if n == 0 || len(buf) < page/4 { // the kernel cuts short what does not fit into a page, and nothing less
			return buf, nil
		}
	}
}

const page = 4096

// dirNames lists a directory of /proc, without troubling the network poller.
func dirNames(path string) (names []string, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 2*page)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func atoi(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// killProc signals a process if it is still the one that was seen: the pidfd pins it before its start time is compared.
func killProc(p Proc, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == unix.ESRCH {
		return nil
	}
	if now, ok := readProc(p.PID); !ok || now.Start != p.Start {
		if err == nil {
			unix.Close(fd)
		}
		return nil
	}
	if err != nil { // a sandbox forbids pidfds; what is left of the race is some microseconds
		return ignoreGone(unix.Kill(p.PID, sig))
	}
	defer unix.Close(fd)
	return ignoreGone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

// ignoreGone: a process that is gone already is what the caller of a kill wanted.
func ignoreGone(err error) error {
	if err == unix.ESRCH {
		return nil
	}
	return err
}
