package runner

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/flinch-run/flinch/runner/process"
	"github.com/flinch-run/flinch/runner/socket"
)

// sockets are the listening sockets of the rules that want some. They are opened
// as early as can be, so that clients wait rather than be refused, and stay open
// over all runs. Processes.mu guards them.
type sockets struct {
	opt  socket.Options
	sets map[string]*socket.Set // by rule
}

func newSockets(dir string) *sockets {
	return &sockets{opt: socket.Options{Dir: dir, Holder: portHolder}, sets: make(map[string]*socket.Set)}
}

func portHolder(port uint16) string {
	if p, ok := process.PortOwner(port); ok {
		return fmt.Sprintf("pid %d (%s)", p.PID, p.Name)
	}
	return ""
}

// keep closes what none of the rules wants any more and opens what is new. What
// cannot be opened now is tried, and reported, at the rule's next start.
func (s *sockets) keep(rules []*Rule) {
	wanted := make(map[string]*Rule)
	for _, r := range rules {
		wanted[r.Name] = r
	}
	for name, set := range s.sets {
		if r := wanted[name]; r == nil || !slices.Equal(set.Addresses(), r.Listen) {
			set.Close()
			delete(s.sets, name)
		}
	}
	for _, r := range rules {
		s.of(r)
	}
}

// of is the set of a rule; nil: it wants none.
func (s *sockets) of(r *Rule) (*socket.Set, error) {
	if len(r.Listen) == 0 || !r.service() {
		return nil, nil
	}
	if set := s.sets[r.Name]; set != nil {
		return set, nil
	}
	set, err := socket.Listen(r.Listen, s.opt)
	if err == nil {
		s.sets[r.Name] = set
	}
	return set, err
}

func (s *sockets) close() {
	for _, set := range s.sets {
		set.Close()
	}
}

// listen makes the run's descriptors from 3 on, and returns what it has to be told
// of them.
func (r *life) listen() ([]string, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	set, err := r.p.sockets.of(r.rule)
	if err != nil || set == nil {
		return nil, err
	}
	if r.extra, err = set.Files(); err != nil {
		return nil, err
	}
	r.handed = set.Where()
	return set.Env(), nil
}

// handedPorts are the addresses that the run listens on without having done
// anything.
func (r *life) handedPorts() map[netip.AddrPort]bool {
	ports := make(map[netip.AddrPort]bool)
	for _, at := range r.handed {
		if a, err := netip.ParseAddrPort(at); err == nil {
			ports[a] = true
		}
	}
	return ports
}

// Sockets lists where the sockets of a rule listen: for port 0 with the port that
// the kernel chose.
func (p *Processes) Sockets(rule string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if set := p.sockets.sets[rule]; set != nil {
		return set.Where()
	}
	return nil
}
