package process

import (
	"bytes"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// PortOwner finds the process that listens on a TCP port of this network namespace. False: nobody does, or
// the process is not visible to us (another user's, or another namespace's).
func PortOwner(port uint16) (Proc, bool) {
	wanted := map[string]netip.AddrPort{}
	for _, s := range listening(os.Getpid()) {
		if s.addr.Port() == port {
			wanted[s.link] = s.addr
		}
	}
	if len(wanted) == 0 {
		return Proc{}, false
	}
	for _, p := range allProcs() {
		if len(heldBy(p.PID, wanted)) > 0 {
			return described([]Proc{p})[0], true
		}
	}
	return Proc{}, false
}

// Listening are the addresses of the TCP sockets that a process of the run listens on. Cheap enough to ask every
// 5 ms.
func (t *Tree) Listening() []netip.AddrPort {
	all := map[string]netip.AddrPort{}
	for _, s := range listening(t.pid) {
		all[s.link] = s.addr
	}
	if len(all) == 0 {
		return nil
	}
	var addrs []netip.AddrPort
	for _, p := range t.Members() {
		for _, link := range heldBy(p.PID, all) {
			addrs = append(addrs, all[link])
			delete(all, link) // once, however many processes share it
		}
	}
	return addrs
}

// socket is a listening one: how a descriptor of it looks in /proc/PID/fd, and its address.
type socket struct {
	link string
	addr netip.AddrPort
}

// heldBy lists which of the sockets a process has open.
func heldBy(pid int, sockets map[string]netip.AddrPort) (links []string) {
	anyThread(pid, func(dir string) bool {
		names, _ := dirNames(dir + "/fd")
		for _, name := range names {
			link, err := os.Readlink(dir + "/fd/" + name)
			if _, ok := sockets[link]; ok && err == nil {
				links = append(links, link)
			}
		}
		return len(names) > 0
	})
	return links
}

// listening lists the TCP sockets in state LISTEN of the network namespace that pid is in; of ours if it is gone.
func listening(pid int) []socket {
	if ourNetwork(pid) {
		if sockets, err := diagnosed(); err == nil {
			return sockets
		}
		pid = os.Getpid()
	}
	return tabled(pid)
}

// tabled is the slow way, for other namespaces and where netlink is forbidden.
func tabled(pid int) (sockets []socket) {
	for _, name := range [...]string{"net/tcp", "net/tcp6"} {
		data, err := slurp(procPath(pid, name))
		if err != nil {
			continue // no such family
		}
		for line := range bytes.Lines(data) {
			if s, ok := parseSocket(string(line)); ok {
				sockets = append(sockets, s)
			}
		}
	}
	return sockets
}

// parseSocket reads a line of /proc/net/tcp: "sl local_address rem_address st ... inode". State 0A is LISTEN.
func parseSocket(line string) (s socket, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != "0A" {
		return s, false
	}
	host, port, _ := strings.Cut(f[1], ":")
	n, err := strconv.ParseUint(port, 16, 16)
	addr, ok := parseAddr(host)
	inode, err2 := strconv.ParseUint(f[9], 10, 32)
	if err != nil || err2 != nil || !ok {
		return s, false
	}
	return socket{link: socketLink(uint32(inode)), addr: netip.AddrPortFrom(addr, uint16(n))}, true
}

// parseAddr decodes an address: hexadecimal words of 32 bits, each in the machine's byte order (little endian on all
// that we build for).
func parseAddr(digits string) (addr netip.Addr, ok bool) {
	var raw []byte
	for ; len(digits) >= 8; digits = digits[8:] {
		word, err := strconv.ParseUint(digits[:8], 16, 32)
		if err != nil {
			return addr, false
		}
		raw = append(raw, byte(word), byte(word>>8), byte(word>>16), byte(word>>24))
	}
	return netip.AddrFromSlice(raw)
}
