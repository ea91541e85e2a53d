package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// zone is the index of the interface that a link-local address names.
func zone(ip interface{ Zone() string }) uint32 {
	name := ip.Zone()
	if name == "" {
		return 0
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

func (a Address) listenUnix(opts Options) (*listener, error) {
	path := a.Path
	if path[0] != '@' && !filepath.IsAbs(path) {
		path = filepath.Join(opts.Dir, path)
	}
	if len(path) > maxUnixPath {
		return nil, fmt.Errorf("the path %s has %d bytes, %d is the most for a socket", path, len(path), maxUnixPath)
	}
	fd, err := socket(unix.AF_UNIX)
	if err != nil {
		return nil, err
	}
	l := &listener{at: "unix:" + path, file: os.NewFile(uintptr(fd), a.String())}
	if err := l.bindUnix(fd, path); err != nil {
		l.file.Close()
		return nil, err
	}
	return l, nil
}

// bindUnix takes the path, also from a socket that nobody listens on any more.
func (l *listener) bindUnix(fd int, path string) error {
	sa := &unix.SockaddrUnix{Name: path}
	err := bind(fd, sa)
	if errors.Is(err, unix.EADDRINUSE) {
		if err := removeStale(path); err != nil {
			return err
		}
		err = bind(fd, sa)
	}
	if err != nil || path[0] == '@' {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	l.path, l.dev, l.ino = path, st.Dev, st.Ino
	return nil
}

// removeStale removes a socket that refuses connections: its server ended
// without doing so.
func removeStale(path string) error {
	var st unix.Stat_t
	if path[0] != '@' {
		if err := unix.Lstat(path, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
			return fmt.Errorf("%s exists and is not a socket", path)
		}
	}
	holder, err := connect(path)
	switch {
	case err == nil || errors.Is(err, unix.EAGAIN): // its backlog may be full
		return &InUseError{At: path, Holder: holder}
	case !errors.Is(err, unix.ECONNREFUSED):
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	if path[0] == '@' {
		return &InUseError{At: path} // bound, and nobody listens yet: no path to take over
	}
	return os.Remove(path)
}

// connect tries whether somebody listens, and returns who.
func connect(path string) (holder string, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return "", err
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || cred.Pid == 0 {
		return "", nil
	}
	return fmt.Sprintf("pid %d (%s)", cred.Pid, comm(int(cred.Pid))), nil
}

// comm is the name of a process.
func comm(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || len(name) == 0 {
		return "?"
	}
	return string(name[:len(name)-1])
}
