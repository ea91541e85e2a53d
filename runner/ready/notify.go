package ready

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notify is the socket on which one run speaks sd_notify(3). It is a file in a
// private directory and not an abstract name: any process of the machine may
// send to those, and not all clients know them.
type Notify struct {
	path string
	conn *net.UnixConn

	once sync.Once
	err  error
}

// Message is one datagram, as sd_notify(3) describes it.
type Message struct {
	Ready     bool
	Reloading bool
	Stopping  bool
	Watchdog  bool   // WATCHDOG=1
	Status    string // STATUS=
	MainPID   int    // MAINPID=, 0 if not sent
	Extend    time.Duration
	PID       int // of the sender, as the kernel says
}

// messageMax is the longest datagram that is read whole.
const messageMax = 64 << 10

// maxFDs is how many descriptors the kernel lets a datagram carry.
const maxFDs = 253

// listenNotify makes the socket under a name of its own.
func listenNotify(dir string) (*Notify, error) {
	name, err := os.MkdirTemp(dir, "notify-*")
	if err != nil {
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	n := &Notify{path: name + "/s"}
	if n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.path, Net: "unixgram"}); err == nil {
		err = n.wantCredentials()
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("notify socket: %w", err)
	}
	return n, nil
}

func (n *Notify) wantCredentials() error {
	raw, err := n.conn.SyscallConn()
	if err != nil {
		return err
	}
	var opt error
	err = raw.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	if err == nil {
		err = os.NewSyscallError("setsockopt", opt)
	}
	return err
}

// Path is the value of NOTIFY_SOCKET.
func (n *Notify) Path() string { return n.path }

// Close ends Receive and removes the socket. It may be called again.
func (n *Notify) Close() error {
	n.once.Do(func() {
		if n.conn != nil {
			n.err = n.conn.Close()
		}
		if err := os.RemoveAll(n.path[:len(n.path)-2]); n.err == nil {
			n.err = err
		}
	})
	return n.err
}

// Receive blocks until the run has sent a message, and returns net.ErrClosed
// after Close. Only one goroutine may call it.
//
// member reports whether a pid belongs to the run; messages of others are
// dropped. A sender that has already ended cannot be asked for (systemd-notify(1)
// ends at once): it counts when it is our own user's or root's, since nobody
// else could have found the socket.
func (n *Notify) Receive(member func(pid int) bool) (Message, error) {
	buf := make([]byte, messageMax)
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxFDs))
	for {
		size, oobSize, _, _, err := n.conn.ReadMsgUnix(buf, oob)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Message{}, fmt.Errorf("notify socket: %w", err)
		}
		cred := credentials(oob[:oobSize])
		if cred == nil || !trusted(cred, member) {
			continue
		}
		m := parse(buf[:size])
		m.PID = int(cred.Pid)
		return m, nil
	}
}

// credentials finds the sender in the control data, and closes the descriptors
// that came with it: FDSTORE=1 is not kept, and the closing is what BARRIER=1
// waits for.
func credentials(oob []byte) *unix.Ucred {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var cred *unix.Ucred
	for i := range messages {
		if c, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			cred = c
		}
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return cred
}

func trusted(cred *unix.Ucred, member func(pid int) bool) bool {
	if member != nil && member(int(cred.Pid)) {
		return true
	}
	return ended(int(cred.Pid)) && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
}

// ended reports whether a process has ended, reaped or not.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH)
	}
	name := bytes.LastIndexByte(stat, ')')
	return bytes.HasPrefix(stat[name+1:], []byte(" Z")) || bytes.HasPrefix(stat[name+1:], []byte(" X"))
}

// parse reads the assignments of a datagram; what it does not know is left out.
func parse(data []byte) (m Message) {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		key, value, _ := bytes.Cut(line, []byte("="))
		yes := string(value) == "1"
		switch string(key) {
		case "READY":
			m.Ready = m.Ready || yes
		case "RELOADING":
			m.Reloading = m.Reloading || yes
		case "STOPPING":
			m.Stopping = m.Stopping || yes
		case "WATCHDOG":
			m.Watchdog = m.Watchdog || yes
		case "STATUS":
			m.Status = string(value)
		case "MAINPID":
			m.MainPID = number(value)
		case "EXTEND_TIMEOUT_USEC":
			m.Extend = time.Duration(number(value)) * time.Microsecond
		}
	}
	return m
}

// number is a positive decimal, or 0.
func number(b []byte) int {
	n, err := strconv.ParseUint(string(b), 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
