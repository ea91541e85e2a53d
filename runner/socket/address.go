package socket

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Address is where to listen: a TCP address, or the path of a unix socket.
type Address struct {
	Name string     // in LISTEN_FDNAMES
	IP   netip.Addr // the zero Addr: all addresses of the machine
	Port uint16     // 0: the kernel chooses one, once
	Path string     // of a unix socket; "@name" is abstract; empty: TCP
}

// maxUnixPath is what sun_path holds beside its zero byte.
const maxUnixPath = 107

// maxName is systemd's limit.
const maxName = 255

// ParseError tells what is wrong with an address.
type ParseError struct {
	Text string
	Pos  int // byte offset
	Msg  string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%q: %s (at character %d)", e.Text, e.Msg, e.Pos+1)
}

// Parse reads "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (which is
// 127.0.0.1), ":8080" (all addresses) or "unix:/run/app.sock". Other names are
// errors: what they mean can change. name may be anything for the caller's
// convenience; what LISTEN_FDNAMES cannot hold of it becomes "_".
func Parse(s, name string) (Address, error) {
	a := Address{Name: clean(name)}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		a.Path = path
		return a, checkPath(s, path)
	}
	host, port, err := cut(s)
	if err != nil {
		return Address{}, err
	}
	if a.Port, err = parsePort(s, port); err != nil {
		return Address{}, err
	}
	a.IP, err = parseHost(s, host)
	return a, err
}

// String is the address as Parse reads it.
func (a Address) String() string {
	switch {
	case a.Path != "":
		return "unix:" + a.Path
	case !a.IP.IsValid():
		return ":" + strconv.Itoa(int(a.Port))
	}
	return netip.AddrPortFrom(a.IP, a.Port).String()
}

// cut splits host and port at the last colon.
func cut(s string) (host, port string, err error) {
	n := strings.LastIndexByte(s, ':')
	switch {
	case s == "":
		return "", "", &ParseError{s, 0, "an address is missing"}
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "."):
		return "", "", &ParseError{s, 0, `write "unix:" before the path of a unix socket`}
	case n < 0 && strings.Trim(s, "0123456789") == "":
		return "", "", &ParseError{s, 0, `write ":" before a port`}
	case n < 0 || strings.HasSuffix(s, "]"):
		return "", "", &ParseError{s, len(s), `the port is missing, as in "127.0.0.1:8080"`}
	}
	host, port = s[:n], s[n+1:]
	if strings.Contains(host, ":") && (host[0] != '[' || host[len(host)-1] != ']') {
		return "", "", &ParseError{s, 0, `write an IPv6 address in brackets, as in "[::1]:8080"`}
	}
	return host, port, nil
}

func parsePort(s, port string) (uint16, error) {
	pos := len(s) - len(port)
	n, err := strconv.ParseUint(port, 10, 32)
	switch {
	case port == "":
		return 0, &ParseError{s, pos, "the port is missing"}
	case err != nil:
		return 0, &ParseError{s, pos, fmt.Sprintf("the port %q is not a number", port)}
	case n > 65535:
		return 0, &ParseError{s, pos, fmt.Sprintf("the port %d is larger than 65535", n)}
	}
	return uint16(n), nil
}

func parseHost(s, host string) (netip.Addr, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	switch {
	case host == "":
		return netip.Addr{}, nil
	case host == "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	case host == "*":
		return netip.Addr{}, &ParseError{s, 0, `leave out the "*" to listen on all addresses`}
	}
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return netip.Addr{}, &ParseError{s, len(host) - len(strings.TrimPrefix(host, "[")), fmt.Sprintf("%q is not an IP address", text)}
	case ip.Is4() && text != host:
		return netip.Addr{}, &ParseError{s, 0, "brackets are for IPv6 addresses"}
	}
	return ip.Unmap(), nil
}

func checkPath(s, path string) error {
	pos := len(s) - len(path)
	switch {
	case path == "" || path == "@":
		return &ParseError{s, len(s), "the path is missing"}
	case strings.IndexByte(path, 0) >= 0:
		return &ParseError{s, pos + strings.IndexByte(path, 0), "a path cannot hold a zero byte"}
	case len(path) > maxUnixPath:
		return &ParseError{s, pos + maxUnixPath, fmt.Sprintf("the path has %d bytes, %d is the most for a socket", len(path), maxUnixPath)}
	}
	return nil
}

// clean makes a name that LISTEN_FDNAMES can hold: printable ASCII without
// colon.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return '_'
		}
		return r
	}, name)
	return name[:min(len(name), maxName)]
}
