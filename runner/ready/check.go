package ready

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attemptMax is how long one connection or request may take before it is tried
// anew.
const attemptMax = 5 * time.Second

// check is one condition. Only the goroutine of Wait touches it.
type check struct {
	what  string                          // what is waited for
	ask   func(ctx context.Context) error // nil: it holds
	flag  *flag                           // set by others; then ask is nil
	state *state
}

type state struct{ last string }

func (c check) holds(ctx context.Context) bool {
	if c.flag != nil {
		return c.flag.isSet()
	}
	err := c.ask(ctx)
	if err != nil && (ctx.Err() == nil || c.state.last == "") { // one that was cut short has seen less
		c.state.last = reason(err)
	}
	return err == nil
}

func (c check) seen() string {
	if c.flag != nil {
		return c.flag.text()
	}
	return c.state.last
}

// checks are the conditions of the spec, the cheap ones first.
func (p *Probe) checks(deps Deps) (list []check) {
	add := func(what string, ask func(context.Context) error) {
		list = append(list, check{what: what, ask: ask, state: &state{}})
	}
	s := p.spec
	if s.Notify {
		list = append(list, check{what: "READY=1 on its NOTIFY_SOCKET", flag: p.notified})
	}
	if s.Log != nil {
		list = append(list, check{what: fmt.Sprintf("a line that matches %q", s.Log), flag: p.logged})
	}
	if s.AnyPort {
		add("a port to listen on", func(context.Context) error { return deps.anyPort() })
	}
	if s.Port != 0 {
		add(fmt.Sprintf("port %d", s.Port), func(context.Context) error { return deps.port(uint16(s.Port)) })
	}
	if s.TCP != "" {
		before := deps.stranger(s.TCP)
		add("tcp "+s.TCP, func(ctx context.Context) error { return both(dial(ctx, s.TCP), before) })
	}
	if s.HTTP != "" {
		before := deps.stranger(hostOf(s.HTTP))
		add(s.HTTP, func(ctx context.Context) error { return both(get(ctx, s.HTTP), before) })
	}
	if s.Exec != nil {
		add(fmt.Sprintf("%q to succeed", strings.Join(s.Exec, " ")), func(ctx context.Context) error { return deps.exec(ctx, s.Exec) })
	}
	return list
}

// both asks for what comes after an answer, if there was one.
func both(answer error, after func() error) error {
	if answer != nil {
		return answer
	}
	return after()
}

func (d Deps) anyPort() error {
	if d.Listening == nil || len(d.Listening()) == 0 {
		return errors.New("it does not listen")
	}
	return nil
}

// port looks for a listening socket of the run itself: a connection would also
// be answered by a process that was there before.
func (d Deps) port(port uint16) error {
	if d.Listening == nil {
		return errors.New("its sockets are not known")
	}
	own := d.Listening()
	if slices.ContainsFunc(own, func(a netip.AddrPort) bool { return a.Port() == port }) {
		return nil
	}
	if h, ok := d.holder(port); ok && !h.Ours {
		return fmt.Errorf("port %d is held by %v, not ours", port, h)
	}
	if len(own) == 0 {
		return errors.New("it does not listen")
	}
	return fmt.Errorf("it listens on %s", ports(own))
}

func ports(addrs []netip.AddrPort) string {
	var list []string
	for _, a := range addrs {
		list = append(list, strconv.Itoa(int(a.Port())))
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}

func (d Deps) holder(port uint16) (Holder, bool) {
	if d.Holder == nil {
		return Holder{}, false
	}
	return d.Holder(port)
}

// stranger notes who else listens on the port of a local address now, when the
// service can hardly have begun to. As long as it is still that process, its
// answer does not count. A helper that comes later (a container's port, a tunnel)
// counts as the service's.
func (d Deps) stranger(hostPort string) func() error {
	host, port, err := splitHostPort(hostPort)
	if err != nil || !local(host) {
		return func() error { return nil }
	}
	before, found := d.holder(port)
	if !found || before.Ours {
		return func() error { return nil }
	}
	return func() error {
		if now, ok := d.holder(port); ok && !now.Ours && now.PID == before.PID {
			return fmt.Errorf("port %d is held by %v, not ours", port, now)
		}
		return nil
	}
}

func local(host string) bool {
	if host == "localhost" || host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

func splitHostPort(s string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, errors.New(strings.TrimPrefix(reason(err), "address "+s+": "))
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return host, uint16(n), nil
}

// hostOf is the "host:port" of a URL.
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func dial(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// get asks once, over a connection of its own and without a proxy.
func get(ctx context.Context, rawURL string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptMax)
	defer cancel()
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "flinch")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("status %s", res.Status)
	}
	_, err = io.CopyN(io.Discard, res.Body, 64<<10)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

func (d Deps) exec(ctx context.Context, argv []string) error {
	if d.Exec == nil {
		return errors.New("it cannot be run")
	}
	status, err := d.Exec(ctx, argv)
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("exit status %d", status)
	}
	return nil
}

// reason is the part of an error that says what was seen.
func reason(err error) string {
	var errno syscall.Errno
	var dns *net.DNSError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &dns):
		return dns.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer"
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// escapes are the sequences that colour and move, which a pattern should not
// have to know of.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-9;:?]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|[@-Z\\\\-_])")

// plain is a line without escape sequences.
func plain(text []byte) []byte {
	if slices.Index(text, 0x1b) < 0 {
		return text
	}
	return escapes.ReplaceAll(text, nil)
}
