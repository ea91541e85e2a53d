package inotify

import "golang.org/x/sys/unix"

// Syscalls are the calls into the kernel that a Conn makes. It exists for tests that need a call to fail: set the
// fields that shall differ and leave the others nil, which means the kernel's own. A function may be called by
// several goroutines at once. It returns a unix.Errno; EINTR and, from Read, EAGAIN are dealt with by the Conn.
type Syscalls struct {
	Init   func(flags int) (fd int, err error)                        // inotify_init1(2)
	Add    func(fd int, path string, mask uint32) (wd int, err error) // inotify_add_watch(2)
	Remove func(fd int, wd uint32) (success int, err error)           // inotify_rm_watch(2)
	Read   func(fd int, p []byte) (n int, err error)                  // read(2)
	Queued func(fd int) (bytes int, err error)                        // ioctl(2) FIONREAD
	Memfd  func(name string, flags int) (fd int, err error)           // memfd_create(2)
}

func (s Syscalls) orKernel() Syscalls {
	if s.Init == nil {
		s.Init = unix.InotifyInit1
	}
	if s.Add == nil {
		s.Add = unix.InotifyAddWatch
	}
	if s.Remove == nil {
		s.Remove = unix.InotifyRmWatch
	}
	if s.Read == nil {
		s.Read = unix.Read
	}
	if s.Queued == nil {
		s.Queued = queued
	}
	if s.Memfd == nil {
		s.Memfd = unix.MemfdCreate
	}
	return s
}

// queued asks with FIONREAD, which the kernel's headers call TIOCINQ too.
func queued(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) }

// retry repeats a call that a signal interrupted. Go's own preemption signals make that likely on filesystems whose
// look-ups can be interrupted (FUSE, NFS).
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}
