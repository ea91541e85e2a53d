package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// backend answers what control's clients ask of a session. It has no state of its
// own but a copy of the watcher's figures.
type backend struct {
	*session
	figures *statsCache
}

// openSocket takes the root's socket. Without one flinch runs all the same.
func (s *session) openSocket(p *plan) {
	server, err := control.Listen(s.socketOptions(p))
	if err == nil {
		s.server = server
		return
	}
	s.noSocket(err)
}

func (s *session) socketOptions(p *plan) control.ServerOptions {
	return control.ServerOptions{Root: p.roots[0], Covers: p.covers(), Logger: s.log}
}

// moveSocket has the socket found from other roots.
func (s *session) moveSocket(ctx context.Context, p *plan) {
	if s.server == nil {
		return
	}
	if err := s.server.Move(ctx, s.socketOptions(p)); err != nil && ctx.Err() == nil {
		s.noSocket(err)
	}
}

// noSocket says why there is none for a root.
func (s *session) noSocket(err error) {
	var taken *control.TakenError
	if errors.As(err, &taken) {
		s.log.Warn("another flinch runs on this root: no control socket for this one", "pid", taken.PID, "root", taken.Root)
		return
	}
	s.log.Warn("no control socket", "error", err)
	sayHint(s.log, err)
}

func (s *session) closeSocket() {
	if s.server != nil {
		_ = s.server.Close() // its files are removed or, if not, taken over by the next
	}
}

// control is the stage that speaks to other programs. It ends with the context.
func (s *session) control(ctx context.Context) {
	if s.server == nil {
		return
	}
	defer s.closeSocket()
	s.server.Serve(ctx, &backend{s, newStatsCache(func() watch.Stats { return s.current.Load().watcher.Stats() })})
}

// covers are the folders from which this flinch is found: its roots, and that of its
// config, or without one where it was started.
func (p *plan) covers() []string {
	return append(slices.Clone(p.roots), p.cfg.Abs("."))
}

// Status implements [control.Backend].
func (b *backend) Status(ctx context.Context, rules []string) (*control.Status, error) {
	figures := b.figures.ask() // meanwhile
	reply, err := b.runner.Do(ctx, runner.Request{Verb: runner.DoStatus, Rules: rules})
	if err != nil {
		return nil, wireError(err)
	}
	return b.wireStatus(reply.Status, figures()), nil
}

func (b *backend) wireStatus(st runner.Status, stats watch.Stats) *control.Status {
	p := b.plan()
	out := &control.Status{
		Root: p.roots[0], PID: os.Getpid(), Backend: stats.Backend, Dirs: stats.Dirs, Ready: true, Config: p.configFile(),
		Version: version(), Watches: stats.Watches, Polled: stats.Polled, Paused: st.Paused, Ending: st.Ending,
		Batches: st.Waves, Rules: []control.RuleStatus{},
	}
	if !utf8.ValidString(out.Root) {
		out.RootB64 = []byte(out.Root)
	}
	if len(p.roots) > 1 {
		out.Roots = p.roots
	}
	for _, r := range st.Rules {
		out.Rules = append(out.Rules, wireRule(p, r))
	}
	return out
}

// configFile is the absolute path of the config; empty: there is none.
func (p *plan) configFile() string {
	if p.cfg.Path == "" {
		return ""
	}
	abs, err := filepath.Abs(p.cfg.Path)
	if err != nil {
		return p.cfg.Path
	}
	return abs
}

// lastChanged is how many paths of a rule's last run its status names.
const lastChanged = 20

func wireRule(p *plan, r runner.RuleStatus) control.RuleStatus {
	w := control.RuleStatus{
		Name: r.Name, Kind: r.Kind.String(), State: r.State.String(), Runs: r.Runs, PID: r.PID, Run: uint64(r.Run),
		Since: r.Since, Until: r.Until, Verdict: r.Verdict.String(), Why: r.Waiting, Pending: r.Pending, Stale: r.Stale,
	}
	if r.Run != 0 {
		w.Reason = r.Reason.String()
	}
	switch {
	case r.Verdict == runner.Green && r.Stale > 0:
		w.Verdict, w.Why = "stale", "changed while it ran, and busy is skip"
	case r.BlockedBy != "":
		w.Why = "blocked by " + r.BlockedBy
	case r.Looping:
		w.Why = "it feeds itself"
	case r.Stopped:
		w.Why = "stopped"
	}
	if l := r.Last; l != nil {
		w.Last = &control.Last{
			Run: uint64(l.Run), Reason: l.Reason.String(), Started: l.Started, DurationMS: millis(l.Duration), Exit: l.Exit,
			Signal: signalName(l.Signal), Outcome: l.Outcome.String(), Error: errorText(l.Err), Changed: []string{},
		}
		for _, c := range l.Changed[:min(len(l.Changed), lastChanged)] {
			text, _ := wirePath(p.fromFirst(c.Root, c.Path))
			w.Last.Changed = append(w.Last.Changed, text)
		}
		w.Last.More = len(l.Changed) - len(w.Last.Changed)
	}
	return w
}

// wireError gives an error the status of HTTP that fits it.
func wireError(err error) error {
	var unknown *runner.UnknownRuleError
	switch {
	case errors.As(err, &unknown):
		return &control.Error{Status: http.StatusNotFound, Msg: unknown.Error(), Help: unknown.Hint()}
	case errors.Is(err, runner.ErrClosed):
		return &control.Error{Status: http.StatusServiceUnavailable, Msg: err.Error()}
	}
	return err
}

var requests = map[control.Verb]runner.Verb{
	control.Trigger: runner.DoTrigger, control.Restart: runner.DoRestart, control.Stop: runner.DoStop,
	control.Pause: runner.DoPause, control.Resume: runner.DoResume,
}

// Do implements [control.Backend].
func (b *backend) Do(ctx context.Context, c control.Command) error {
	req := runner.Request{Verb: requests[c.Verb], Rules: c.Rules}
	p := b.plan()
	for _, path := range c.Paths {
		root, rel, err := p.place(control.Change{Path: path})
		if err != nil {
			return err
		}
		op, typ := p.look(root, rel)
		req.Changes = append(req.Changes, runner.Change{Root: root, Path: rel, Op: op.String(), Type: typ.String(), Gone: op == watch.Remove, Time: time.Now()})
	}
	_, err := b.runner.Do(ctx, req)
	return wireError(err)
}

// tailLines is how much of a failed run's output a wait shows.
const tailLines = 20

// Wait implements [control.Backend].
func (b *backend) Wait(ctx context.Context, rules []string) (*control.Verdict, error) {
	reply, err := b.runner.Do(ctx, runner.Request{Verb: runner.DoWait, Rules: rules})
	if err != nil {
		return nil, wireError(err)
	}
	v := &control.Verdict{Green: true, Rules: []control.RuleStatus{}}
	p := b.plan()
	for _, r := range reply.Status.Rules {
		w := wireRule(p, r)
		if w.Verdict != runner.Green.String() {
			v.Green = false
			w.Tail = b.tail(ctx, r)
		}
		v.Rules = append(v.Rules, w)
	}
	return v, nil
}

// tail is the end of the output of a rule's last run.
func (b *backend) tail(ctx context.Context, r runner.RuleStatus) (tail []string) {
	if r.Last == nil {
		return nil
	}
	_ = b.history.ask(ctx, func(m *memory) {
		if run := m.byID[r.Last.Run]; run != nil {
			for _, l := range run.output().Lines[max(0, len(run.lines)-tailLines):] {
				tail = append(tail, l.Text)
			}
		}
	})
	return tail
}

// Notify implements [control.Backend]: what others saw goes the way of what the
// watcher sees. It returns when that is ahead of every later barrier.
func (b *backend) Notify(ctx context.Context, changes []control.Change) (int, error) {
	src := b.current.Load()
	p := src.plans.Load()
	var list []watch.Change
	for _, c := range changes {
		if c.Op == "ready" || c.Op == "root-gone" || c.Op == "root-back" {
			continue
		}
		taken, err := p.told(c)
		if err != nil {
			return 0, err
		}
		list = append(list, taken...)
	}
	taken := make(chan struct{})
	select {
	case b.told <- telling{sighting{src, watch.Batch{Changes: list}}, taken}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case <-taken:
		return len(list), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// told makes of a change that somebody else saw what the watcher would report.
func (p *plan) told(c control.Change) ([]watch.Change, error) {
	root, rel, err := p.place(c)
	if err != nil {
		return nil, err
	}
	op, typ := p.look(root, rel)
	if named, ok := opNames[c.Op]; ok && (named == watch.Remove) == (op == watch.Remove) {
		op = named
	} else if !ok && c.Op != "" {
		return nil, &control.Error{Status: http.StatusBadRequest, Msg: fmt.Sprintf("op: %q is none of create, write, remove, rename, attrib", c.Op)}
	}
	if typ == watch.Dir && c.Op == "" && rel != "." {
		return p.below(root, rel), nil
	}
	change := watch.Change{Root: root, Path: rel, Op: op, Type: typ, Closed: true, Recovered: c.Recovered, Time: time.Now()}
	if op == watch.Rename {
		_, from, err := p.place(control.Change{Path: c.From, PathB64: c.FromB64, Root: c.Root})
		if err != nil {
			return nil, err
		}
		change.From = from
	}
	return []watch.Change{change}, nil
}

var opNames = map[string]watch.Op{
	"create": watch.Create, "write": watch.Write, "remove": watch.Remove, "rename": watch.Rename, "attrib": watch.Attrib,
}

// place finds the root and the path in it that a client means.
func (p *plan) place(c control.Change) (root int, rel string, err error) {
	path, err := unwirePath(c.Path, c.PathB64)
	if err != nil || path == "" || strings.ContainsRune(path, 0) {
		return 0, "", &control.Error{Status: http.StatusBadRequest, Msg: fmt.Sprintf("path: %q is none", c.Path)}
	}
	if !filepath.IsAbs(path) {
		in, err := p.rootCalled(c.Root)
		if err != nil {
			return 0, "", err
		}
		path = filepath.Join(in, path)
	}
	root, rel = p.locate(path)
	if root < 0 {
		return 0, "", &control.Error{
			Status: http.StatusBadRequest, Msg: path + " is not below any root", Help: "the roots are " + strings.Join(p.roots, ", "),
		}
	}
	return root, rel, nil
}

// rootCalled is the root that has this name in the config, or this path; the
// first where a change names none.
func (p *plan) rootCalled(name string) (string, error) {
	if name == "" {
		return p.roots[0], nil
	}
	for i, r := range p.cfg.Roots {
		if r == name || p.roots[i] == name {
			return p.roots[i], nil
		}
	}
	return "", &control.Error{
		Status: http.StatusBadRequest, Msg: fmt.Sprintf("root: none is called %q", name), Help: "the roots are " + strings.Join(p.cfg.Roots, ", "),
	}
}

// look says what the disk has at a path.
func (p *plan) look(root int, rel string) (watch.Op, watch.Type) {
	info, err := os.Lstat(p.abs(root, rel))
	if err != nil {
		return watch.Remove, watch.File
	}
	return watch.Write, map[string]watch.Type{"file": watch.File, "dir": watch.Dir, "symlink": watch.Symlink, "other": watch.Other}[typeName(info.Mode())]
}

// below are all files in a folder of which only is known that it has changed.
func (p *plan) below(root int, dir string) (list []watch.Change) {
	_ = filepath.WalkDir(p.abs(root, dir), func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(p.roots[root], path)
		switch {
		case err != nil || relErr != nil:
			return nil
		case d.IsDir() && p.prune(root, rel):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		list = append(list, watch.Change{Root: root, Path: rel, Op: watch.Write, Type: watch.File, Closed: true, Time: time.Now()})
		return nil
	})
	return list
}

// Follow implements [control.Backend].
func (b *backend) Follow(ctx context.Context, since uint64, send func(control.Event) error) error {
	var f *follower
	var past []control.Event
	if err := b.history.ask(ctx, func(m *memory) { f, past = m.follow(since) }); err != nil {
		return wireError(err)
	}
	leave := func() { _ = b.history.ask(context.WithoutCancel(ctx), func(m *memory) { m.unfollow(f) }) }
	defer leave()
	for _, e := range past {
		if err := send(e); err != nil {
			return err
		}
	}
	for {
		select {
		case e, ok := <-f.events:
			if !ok {
				return nil
			}
			err := send(e)
			if lost, any := f.tail(e.Seq); err == nil && any {
				err = send(lost)
			}
			if err != nil {
				return err
			}
		case <-ctx.Done():
			leave()
			return last(f.events, send)
		}
	}
}

// last passes on what is left of a stream that ends: flinch's own end is part of it.
func last(events <-chan control.Event, send func(control.Event) error) error {
	for e := range events {
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

// runChanges is how many changes of a run a list of runs has.
const runChanges = 50

// Runs implements [control.Backend].
func (b *backend) Runs(ctx context.Context) ([]control.Run, error) {
	list := []control.Run{}
	err := b.history.ask(ctx, func(m *memory) {
		for _, r := range m.runs {
			list = append(list, r.wire(runChanges))
		}
	})
	return list, wireError(err)
}

// Output implements [control.Backend].
func (b *backend) Output(ctx context.Context, run uint64) (out *control.Output, err error) {
	err = b.history.ask(ctx, func(m *memory) {
		if r := m.byID[runner.RunID(run)]; r != nil {
			out = r.output()
			out.Unknown = len(out.Lines) == 0 && b.inherits(r.started.Rule)
		}
	})
	if err == nil && out == nil {
		err = control.NoRun(run)
	}
	return out, wireError(err)
}

// Metrics implements [control.Backend].
func (b *backend) Metrics(ctx context.Context, w io.Writer) error {
	reply, err := b.runner.Do(ctx, runner.Request{Verb: runner.DoStatus})
	if err != nil {
		return wireError(err)
	}
	var text bytes.Buffer
	if err := b.history.ask(ctx, func(m *memory) { m.figures.write(&text) }); err != nil {
		return wireError(err)
	}
	writeGauges(&text, b.figures.get(), reply.Status)
	_, err = text.WriteTo(w)
	return err
}

// statsCache has the watcher's figures at hand: the watcher counts when it has
// time, which in a storm it has not.
type statsCache struct {
	count func() watch.Stats
	last  atomic.Pointer[watch.Stats]
	busy  chan struct{} // whoever puts into it counts
}

// statsPatience is how long an answer waits for a new count: many times what an
// idle watcher needs, little beside what an answer takes while a busy one has
// both CPUs.
const statsPatience = 500 * time.Microsecond

func newStatsCache(count func() watch.Stats) *statsCache {
	c := &statsCache{count: count, busy: make(chan struct{}, 1)}
	s := count()
	c.last.Store(&s)
	return c
}

// get is the newest count that can be had at once.
func (c *statsCache) get() watch.Stats { return c.ask()() }

// ask has the watcher count; what it returns waits for that, but not long.
func (c *statsCache) ask() func() watch.Stats {
	select {
	case c.busy <- struct{}{}:
	default: // it is still counting for somebody else
		return func() watch.Stats { return *c.last.Load() }
	}
	fresh := make(chan struct{})
	go func() {
		defer func() { <-c.busy }()
		s := c.count()
		c.last.Store(&s)
		close(fresh)
	}()
	wait := time.NewTimer(statsPatience)
	return func() watch.Stats {
		defer wait.Stop()
		select {
		case <-fresh:
		case <-wait.C:
		}
		return *c.last.Load()
	}
}
