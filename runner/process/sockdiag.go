package process

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Sizes of the kernel's struct inet_diag_req_v2 and inet_diag_msg (linux/inet_diag.h), and where things are in them.
const (
	diagRequest = 56
	diagMessage = 72
	diagPort    = 4 // big endian, as the address is
	diagAddr    = 8
	diagInode   = 68
	tcpListen   = 10
)

// diagnosed asks the kernel for the listening sockets of our own network namespace. /proc/net/tcp has the same, but walks the table of
// all connections too, which takes milliseconds on a machine with much memory.
func diagnosed() ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}) // it answers at once, or a sandbox does not let it
	var sockets []socket
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if err := unix.Sendto(fd, request(family), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, err
		}
		if sockets, err = answers(fd, sockets); err != nil {
			return nil, err
		}
	}
	return sockets, nil
}

// request asks for all TCP sockets of a family in state LISTEN.
func request(family byte) []byte {
	msg := make([]byte, unix.SizeofNlMsghdr+diagRequest)
	binary.NativeEndian.PutUint32(msg[0:], uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := msg[unix.SizeofNlMsghdr:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<tcpListen)
	return msg
}

// answers reads until the kernel says that this was all.
func answers(fd int, sockets []socket) ([]socket, error) {
	buf := make([]byte, 16<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return sockets, err
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(rest))
			kind := binary.NativeEndian.Uint16(rest[4:])
			if size < unix.SizeofNlMsghdr || size > len(rest) || kind == unix.NLMSG_ERROR {
				return sockets, unix.EPROTO
			}
			if kind == unix.NLMSG_DONE {
				return sockets, nil
			}
			if s, ok := decodeSocket(rest[unix.SizeofNlMsghdr:size]); ok {
				sockets = append(sockets, s)
			}
			rest = rest[min(len(rest), (size+3)&^3):]
		}
	}
}

// decodeSocket reads an inet_diag_msg.
func decodeSocket(msg []byte) (s socket, ok bool) {
	if len(msg) < diagMessage || msg[1] != tcpListen {
		return s, false
	}
	length := 4
	if msg[0] == unix.AF_INET6 {
		length = 16
	}
	addr, ok := netip.AddrFromSlice(msg[diagAddr : diagAddr+length])
	if !ok {
		return s, false
	}
	port := binary.BigEndian.Uint16(msg[diagPort:])
	return socket{link: socketLink(binary.NativeEndian.Uint32(msg[diagInode:])), addr: netip.AddrPortFrom(addr, port)}, true
}

// socketLink is what the link of a descriptor of the socket says.
func socketLink(inode uint32) string { return fmt.Sprintf("socket:[%d]", inode) }

// ourNetwork tells whether a process is in our network namespace; also if it is gone.
func ourNetwork(pid int) bool {
	ours, err := os.Readlink("/proc/self/ns/net")
	theirs, err2 := os.Readlink(procPath(pid, "ns/net"))
	return err != nil || err2 != nil || ours == theirs
}
