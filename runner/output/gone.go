package output

import (
	"os"

	"golang.org/x/sys/unix"
)

// watch waits for the readers of pipes and sockets to go. A command that
// inherits them writes by itself, so that our own writes would not tell.
type watch struct {
	r, w *os.File // closing w ends it
	done chan struct{}
}

// WatchReaders calls gone, once and from a goroutine of its own, when nobody reads
// one of the files any more; only pipes and sockets have readers. It does so until
// stop is called, which returns when that goroutine has ended.
func WatchReaders(gone func(error), files ...*os.File) (stop func()) {
	return watchReaders(gone, files...).stop
}

// watchReaders starts to watch; what is neither pipe nor socket is left out.
func watchReaders(gone func(error), files ...*os.File) *watch {
	w := &watch{done: make(chan struct{})}
	var fds []unix.PollFd
	var names []string
	for _, f := range files {
		if hasReader(f) {
			names = append(names, f.Name())
			fds = append(fds, unix.PollFd{Fd: int32(descriptor(f))}) // POLLERR and POLLHUP need not be asked for
		}
	}
	var end [2]int
	if len(fds) == 0 || unix.Pipe2(end[:], unix.O_CLOEXEC) != nil {
		close(w.done)
		return w
	}
	w.r, w.w = os.NewFile(uintptr(end[0]), "end"), os.NewFile(uintptr(end[1]), "end")
	fds = append(fds, unix.PollFd{Fd: int32(end[0])})
	go func() {
		defer close(w.done)
		if n := await(fds); n >= 0 && n < len(names) {
			gone(&os.PathError{Op: "write", Path: names[n], Err: unix.EPIPE})
		}
	}()
	return w
}

// await blocks until one of them has an event, and returns which.
func await(fds []unix.PollFd) int {
	for {
		_, err := unix.Poll(fds, -1)
		if err != nil && err != unix.EINTR {
			return -1
		}
		for i := len(fds) - 1; i >= 0; i-- {
			if err == nil && fds[i].Revents != 0 {
				return i
			}
		}
	}
}

func (w *watch) stop() {
	if w.w != nil {
		w.w.Close()
	}
	<-w.done
	if w.r != nil {
		w.r.Close()
	}
}

func hasReader(f *os.File) bool {
	var st unix.Stat_t
	if unix.Fstat(descriptor(f), &st) != nil {
		return false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFIFO || st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// same reports whether both are the same open terminal, pipe or file, so that
// what is written to one stands beside what is written to the other.
func same(a, b *os.File) bool {
	var sa, sb unix.Stat_t
	if unix.Fstat(descriptor(a), &sa) != nil || unix.Fstat(descriptor(b), &sb) != nil {
		return false
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino
}
