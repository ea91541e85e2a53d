package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
)

// ProcessOptions are what [Processes] are made of.
type ProcessOptions struct {
	Host    *process.Host   // closed by Processes.Close
	Printer *output.Printer // stays the caller's

	// Roots are the roots: the first, absolute, is FLINCH_ROOT and where relative
	// paths of rules begin; the others are named as in `flinch events`.
	Roots []string
	// RootNames are how several roots are called in the changes file; none where there is only one.
	RootNames []string
	Env       []string // below everything else; nil: this program's environment
	TempDir   string   // private (mode 0700), for changes files and notify sockets; empty: no changes files

	// AllFiles returns all files that match a rule, relative to the first root.
	// It may take its time; it is called from several goroutines.
	AllFiles func(rule string) []string
	// Stream says how the output of a run is to be printed. Nil: a pipe, with the
	// rule's name before each line. File and the readiness's share of Tap are added.
	Stream func(rule *Rule, id RunID) output.StreamOptions
	// Clear clears the terminal before a run of a rule that wants that. Nil: nothing does.
	Clear func()

	// CloseTimeout is the time that is left to Close for what nobody could kill; 0: two seconds.
	CloseTimeout time.Duration
}

// Processes is the [Host] that runs commands. Its methods belong to the loop;
// each run has a goroutine of its own, one passes on what the process tells, and
// one does what could take a moment, in order.
type Processes struct {
	opt     ProcessOptions
	reports chan Report
	closed  chan struct{} // nobody reads reports any more
	hand    *inbox[func()]
	work    sync.WaitGroup

	mu      sync.Mutex
	lives   map[RunID]*life
	mail    map[string]*inbox[process.Event] // by process.Spec.Run
	files   map[string]*output.File          // of rules with Output.File
	sockets *sockets
}

// NewProcesses makes the Host of real processes. It has to be closed.
func NewProcesses(opt ProcessOptions) *Processes {
	if opt.Env == nil {
		opt.Env = os.Environ()
	}
	opt.CloseTimeout = cmp.Or(opt.CloseTimeout, 2*time.Second)
	p := &Processes{
		opt: opt, reports: make(chan Report), closed: make(chan struct{}), hand: newInbox[func()](),
		lives: make(map[RunID]*life), mail: make(map[string]*inbox[process.Event]), files: make(map[string]*output.File),
		sockets: newSockets(root(opt.Roots)),
	}
	p.work.Go(p.deliver)
	p.work.Go(p.doInOrder)
	return p
}

// Reports implements [Host].
func (p *Processes) Reports() <-chan Report { return p.reports }

// Launch implements [Host].
func (p *Processes) Launch(l Launch) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &life{p: p, launch: l, rule: l.Rule, ctx: ctx, cancel: cancel}
	p.mu.Lock()
	p.lives[l.ID] = r
	p.mu.Unlock()
	p.work.Go(r.live)
}

// errCancelled ends a run that was given up before it had a process.
var errCancelled = errors.New("stopped before it was started")

// Cancel implements [Host].
func (p *Processes) Cancel(id RunID) {
	if r := p.life(id); r != nil {
		r.cancel(errCancelled)
		p.hand.put(p.opt.Host.Sync) // a start that hangs is given up for whoever waits
	}
}

// Signal implements [Host].
func (p *Processes) Signal(id RunID, sig syscall.Signal) {
	p.with(id, func(t *process.Tree) { t.Signal(sig) })
}

// Stop implements [Host].
func (p *Processes) Stop(id RunID, sig syscall.Signal, grace time.Duration) {
	p.with(id, func(t *process.Tree) { t.Stop(sig, grace) })
}

// Kill implements [Host].
func (p *Processes) Kill(id RunID) { p.with(id, (*process.Tree).Kill) }

// with does something to a started run. Its tree is set before it is reported.
func (p *Processes) with(id RunID, f func(*process.Tree)) {
	if r := p.life(id); r != nil && r.tree != nil {
		p.hand.put(func() { f(r.tree) })
	}
}

func (p *Processes) life(id RunID) *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lives[id]
}

// List implements [Host].
func (p *Processes) List(rule string, token uint64) {
	p.work.Go(func() {
		p.send(Report{Kind: Listed, Rule: rule, Token: token, Files: p.allFiles(rule)})
	})
}

func (p *Processes) allFiles(rule string) []string {
	if p.opt.AllFiles == nil {
		return nil
	}
	return p.opt.AllFiles(rule)
}

// Suspend implements [Host].
func (p *Processes) Suspend() {
	p.hand.put(func() {
		p.opt.Host.Suspend()
		p.send(Report{Kind: Suspended})
	})
}

// Resume implements [Host].
func (p *Processes) Resume() { p.hand.put(p.opt.Host.Resume) }

// Configure implements [Host].
func (p *Processes) Configure(rules []*Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := make(map[string]bool)
	for _, r := range rules {
		wanted[p.outputFile(r)] = true
	}
	for path, f := range p.files {
		if !wanted[path] && !p.printsTo(path) {
			f.Close()
			delete(p.files, path)
		}
	}
	p.sockets.keep(rules)
}

// printsTo tells whether a living run prints to a file; mu is held.
func (p *Processes) printsTo(path string) bool {
	for _, r := range p.lives {
		if p.outputFile(r.rule) == path {
			return true
		}
	}
	return false
}

func (p *Processes) outputFile(r *Rule) string {
	if r.Output.File == "" || filepath.IsAbs(r.Output.File) {
		return r.Output.File
	}
	return filepath.Join(p.root(), r.Output.File)
}

// file is the rule's output file, opened once; nil: it has none.
func (p *Processes) file(r *Rule) (*output.File, error) {
	path := p.outputFile(r)
	if path == "" {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.files[path]; f != nil {
		return f, nil
	}
	f, err := output.OpenFile(path, r.Output.Max)
	if err == nil {
		p.files[path] = f
	}
	return f, err
}

func (p *Processes) root() string { return root(p.opt.Roots) }

func root(roots []string) string {
	if len(roots) == 0 {
		return ""
	}
	return roots[0]
}

// deliver passes what the processes do on to their runs.
func (p *Processes) deliver() {
	for e := range p.opt.Host.Events() {
		p.mu.Lock()
		box := p.mail[e.Tree.Run()]
		p.mu.Unlock()
		if box != nil {
			box.put(e)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, box := range p.mail {
		box.close()
	}
}

// register opens a mailbox for a run that is about to be started.
func (p *Processes) register(name string) *inbox[process.Event] {
	box := newInbox[process.Event]()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mail[name] = box
	return box
}

func (p *Processes) unregister(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mail, name)
}

// doInOrder does what was asked for, one after the other.
func (p *Processes) doInOrder() {
	for {
		f, ok := p.hand.get()
		if !ok {
			return
		}
		f()
	}
}

// send reports to the loop, if that still listens.
func (p *Processes) send(r Report) {
	r.Time = time.Now()
	select {
	case p.reports <- r:
	case <-p.closed:
	}
}

// Close implements [Host].
func (p *Processes) Close() error {
	close(p.closed)
	ctx, cancel := context.WithTimeout(context.Background(), p.opt.CloseTimeout)
	defer cancel()
	p.hand.close()
	err := p.opt.Host.Close(ctx)
	p.cancelAll()
	done := make(chan struct{})
	go func() { p.work.Wait(); close(done) }()
	var limit <-chan time.Time // what could not be ended may keep its goroutine
	if err != nil {
		limit = time.After(time.Second)
	}
	select {
	case <-done:
	case <-limit:
		return err
	}
	p.sockets.close()
	for _, f := range p.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (p *Processes) cancelAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.lives {
		r.cancel(errCancelled)
	}
}

// execute runs a command of the readiness to its end, as a run of its own.
func (p *Processes) execute(ctx context.Context, spec process.Spec) (int, error) {
	box := p.register(spec.Run)
	defer p.unregister(spec.Run)
	tree, err := p.opt.Host.Start(spec)
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, tree.Kill)
	defer stop()
	for {
		e, ok := box.get()
		switch {
		case !ok:
			return 0, errCancelled
		case e.Kind == process.Over && ctx.Err() != nil:
			return 0, ctx.Err()
		case e.Kind == process.Over:
			return e.Status.ExitCode(), nil
		}
	}
}

// names lists processes for a message.
func names(procs []process.Proc) string { return listed(procs, process.Proc.String) }

func listed(procs []process.Proc, text func(process.Proc) string) string {
	const few = 4
	var list []string
	for _, p := range procs[:min(few, len(procs))] {
		list = append(list, text(p))
	}
	if more := len(procs) - few; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// holder tells who listens on a port, and whether that is one of the run's.
func holder(tree *process.Tree, port uint16) (process.Proc, bool, bool) {
	listens := func(a netip.AddrPort) bool { return a.Port() == port }
	if slices.ContainsFunc(tree.Listening(), listens) {
		return process.Proc{PID: tree.PID()}, true, true
	}
	owner, found := process.PortOwner(port)
	return owner, false, found
}
