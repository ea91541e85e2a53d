// Package socket opens the listening sockets that a rule's runs inherit.
//
// A [Set] outlives its runs: while one run is stopped and the next is started,
// clients wait in the backlog and none is refused. Nothing here ever accepts.
// Descriptors are handed down as systemd does it (sd_listen_fds(3)): from 3 on,
// in the order of the config, with LISTEN_FDS and LISTEN_FDNAMES; LISTEN_PID is
// the business of whoever starts the process.
//
// The package has no goroutine. A Set is not safe for concurrent use.
package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait while nobody accepts; the kernel cuts it
// to net.core.somaxconn.
const backlog = 1024

// Options of a set.
type Options struct {
	Dir string // unix socket paths are relative to it
	// Holder describes who listens on a TCP port, such as "pid 123 (node)"; empty
	// where that is not known. May be nil.
	Holder func(port uint16) string
}

// Set is the open sockets of one rule.
type Set struct {
	addrs   []Address
	sockets []*listener
}

// listener is one of them.
type listener struct {
	file *os.File
	path string // of a unix socket that is ours to remove
	dev  uint64
	ino  uint64
	name string
	at   string // where it listens, as it came out
}

// Listen opens all addresses, or none.
func Listen(addrs []Address, opts Options) (*Set, error) {
	s := &Set{addrs: addrs}
	for _, a := range addrs {
		l, err := a.listen(opts)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
		l.name = a.Name
		s.sockets = append(s.sockets, l)
	}
	return s, nil
}

// Addresses are those that the set was opened with.
func (s *Set) Addresses() []Address { return s.addrs }

// Where lists where it listens, in the same order: for port 0 with the port that
// the kernel chose.
func (s *Set) Where() []string {
	list := make([]string, len(s.sockets))
	for i, l := range s.sockets {
		list[i] = l.at
	}
	return list
}

// Files are the descriptors for a process that is about to be started, to be its
// 3 and up. They stay the set's. Call it before each start: a run before may have
// made the sockets non-blocking, which all runs would see.
func (s *Set) Files() ([]*os.File, error) {
	files := make([]*os.File, len(s.sockets))
	for i, l := range s.sockets {
		if err := unix.SetNonblock(int(l.file.Fd()), false); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", l.at, os.NewSyscallError("fcntl", err))
		}
		files[i] = l.file
	}
	return files, nil
}

// Env is what the process needs in its environment besides LISTEN_PID.
func (s *Set) Env() []string {
	names := make([]string, len(s.sockets))
	for i, l := range s.sockets {
		names[i] = l.name
	}
	return []string{"LISTEN_FDS=" + strconv.Itoa(len(names)), "LISTEN_FDNAMES=" + strings.Join(names, ":")}
}

// Inodes are those of the sockets, as in /proc/PID/fd and /proc/net/tcp: a run
// has them open without having done anything to become ready.
func (s *Set) Inodes() []uint64 {
	list := make([]uint64, len(s.sockets))
	for i, l := range s.sockets {
		var st unix.Stat_t
		if unix.Fstat(int(l.file.Fd()), &st) == nil {
			list[i] = st.Ino
		}
	}
	return list
}

// Close closes the sockets, and removes the paths of unix sockets that are still
// theirs. It may be called again.
func (s *Set) Close() error {
	var errs []error
	for _, l := range s.sockets {
		errs = append(errs, l.close())
	}
	s.sockets = nil
	return errors.Join(errs...)
}

func (l *listener) close() error {
	err := l.file.Close()
	var st unix.Stat_t
	if l.path != "" && unix.Lstat(l.path, &st) == nil && st.Dev == l.dev && st.Ino == l.ino {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// InUseError says who has an address already.
type InUseError struct {
	At     string // "port 8080" or a path
	Holder string // empty: not known
}

func (e *InUseError) Error() string {
	if e.Holder == "" {
		return e.At + " is in use"
	}
	return fmt.Sprintf("%s is held by %s, not ours", e.At, e.Holder)
}

// Unwrap makes errors.Is(err, unix.EADDRINUSE) true.
func (e *InUseError) Unwrap() error { return unix.EADDRINUSE }

// Hint is what the user can do about it.
func (e *InUseError) Hint() string { return "end that process, or choose another address" }

func (a Address) listen(opts Options) (*listener, error) {
	if a.Path != "" {
		return a.listenUnix(opts)
	}
	return a.listenTCP(opts)
}

func (a Address) listenTCP(opts Options) (*listener, error) {
	fd, sa, err := a.tcpSocket()
	if err != nil {
		return nil, err
	}
	// With SO_REUSEADDR connections of an earlier server that linger in TIME_WAIT
	// do not count. Never SO_REUSEPORT: a second listener would get half of ours.
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = bind(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return nil, a.inUse(err, opts)
	}
	return &listener{file: os.NewFile(uintptr(fd), a.String()), at: where(fd, a)}, nil
}

// tcpSocket makes a socket for the address. Without one, it is for both IPv4 and
// IPv6 where the machine has both.
func (a Address) tcpSocket() (fd int, sa unix.Sockaddr, err error) {
	port := int(a.Port)
	if a.IP.Is4() {
		fd, err = socket(unix.AF_INET)
		return fd, &unix.SockaddrInet4{Port: port, Addr: a.IP.As4()}, err
	}
	fd, err = socket(unix.AF_INET6)
	if err != nil && !a.IP.IsValid() {
		fd, err = socket(unix.AF_INET)
		return fd, &unix.SockaddrInet4{Port: port}, err
	}
	if err != nil {
		return -1, nil, err
	}
	only := 1
	sa6 := &unix.SockaddrInet6{Port: port}
	if a.IP.IsValid() {
		sa6.Addr = a.IP.As16()
		sa6.ZoneId = zone(a.IP)
	}
	if !a.IP.IsValid() || a.IP.IsUnspecified() {
		only = 0
	}
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	if err != nil {
		unix.Close(fd)
	}
	return fd, sa6, err
}

func socket(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

func bind(fd int, sa unix.Sockaddr) error {
	if err := unix.Bind(fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

func (a Address) inUse(err error, opts Options) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	e := &InUseError{At: fmt.Sprintf("port %d", a.Port)}
	if opts.Holder != nil {
		e.Holder = opts.Holder(a.Port)
	}
	return e
}

// where is the address that a socket got.
func where(fd int, a Address) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return a.String()
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	}
	return a.String()
}
