package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/debounce"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/watch"
)

// session is one running flinch: its watch, its rules, its voice.
type session struct {
	*options
	log    *slog.Logger
	runner *runner.Runner

	endedBy  atomic.Int32 // the signal that asked for the end; 0: none
	pipeGone atomic.Bool  // the reader of the output has gone
	keyboard *keyboard    // made by listen, then only steer touches it
	printer  *output.Printer
	temp     string // private folder for files that commands are given

	// current is the source that is watched now. Only match sets it; the
	// watcher's workers (prune) and the runner's loop (mark) read it.
	current  atomic.Pointer[source]
	sources  chan *source  // to see: watchers to listen to
	failed   chan error    // from see: the watch was lost for good
	quits    chan struct{} // to steer: stop everything
	told     chan telling  // to see: what clients say has changed
	history  *history
	last     *lastSeen       // from open to settle
	server   *control.Server // nil: nobody can ask
	recorder *recorder       // nil: nothing is recorded
}

// source is a watcher with the plan that its answers are for. A new plan for
// the same roots takes the place of the old one; other roots need another source.
type source struct {
	watcher *watch.Watcher
	plans   atomic.Pointer[plan] // set by match only
	retire  uint64               // of a source that has been replaced: the mark after which it is closed
}

func (s *session) plan() *plan { return s.current.Load().plans.Load() }

// open sets everything up: when it returns the watch stands.
func (o *options) open(ctx context.Context, cfg *config.Config) (*session, error) {
	began := time.Now()
	p, err := newPlan(cfg)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	s := &session{options: o, sources: make(chan *source, 1), failed: make(chan error, 1), quits: make(chan struct{}, 1)}
	s.told, s.history, s.last = make(chan telling), newHistory(cfg.History), newLastSeen()
	if err := s.speak(cfg); err != nil {
		return nil, err
	}
	if err := s.openRecord(p); err != nil {
		return nil, err
	}
	src, err := s.watch(ctx, p)
	if err != nil {
		return nil, err
	}
	s.current.Store(src)
	if src.watcher != nil {
		s.last.prime(p)
		s.sources <- src
		s.openSocket(p) // before anybody reads "ready" and asks
		stats := src.watcher.Stats()
		s.log.Info("ready", "rules", len(p.jobs), "folders", stats.Dirs, "backend", stats.Backend, "took", roughly(time.Since(began)))
	}
	if err := s.supervise(p); err != nil {
		s.closeSocket()
		return nil, err
	}
	return s, nil
}

// speak sets up what prints: the commands' lines and flinch's own words.
func (s *session) speak(cfg *config.Config) (err error) {
	colored, err := s.colored(s.out)
	if err != nil {
		return err
	}
	s.printer = output.New(output.Options{Stdout: s.out.File, Stderr: s.err, Color: colored, Gone: s.gone})
	s.printer.SetNames(cfg.Names())
	s.log, err = s.logger(s.printer.Log())
	return err
}

// gone is called when nobody reads flinch's output any more: everything is stopped.
func (s *session) gone(error) {
	s.pipeGone.Store(true)
	s.quit()
}

// quit has everything stopped. It never blocks.
func (s *session) quit() {
	select {
	case s.quits <- struct{}{}:
	default:
	}
}

// watch begins to watch what a plan names. With --once nothing is.
func (s *session) watch(ctx context.Context, p *plan) (*source, error) {
	src := &source{}
	src.plans.Store(p)
	if s.once {
		return src, nil
	}
	opt := p.watchOptions()
	opt.Prune = func(root int, dir string) bool { return s.prune(src, root, dir) }
	opt.Skip = func(root int, path string) bool { return s.skip(src, root, path) }
	opt.Logger, opt.Warn = s.log, warnings(s.log)
	w, err := watch.New(ctx, opt)
	if err != nil {
		return nil, exit(watchStatus(err), err)
	}
	src.watcher = w
	return src, nil
}

// watchStatus is the exit status of a watch that could not be set up.
func watchStatus(err error) int {
	if errors.Is(err, fs.ErrNotExist) {
		return exitUsage
	}
	return exitWatch
}

// mark asks the watcher for a barrier. The runner's loop calls it.
func (s *session) mark(id uint64) {
	if w := s.current.Load().watcher; w != nil {
		w.Mark(id)
	}
}

// sighted makes of a batch what the debouncer is told, after it has taken up
// what the batch says of flinch's own files: the config, the ignore files.
func (s *session) sighted(ctx context.Context, b sighting) input {
	in := input{Marks: b.retired()}
	p := b.plans.Load()
	if next := s.reload(ctx, p, b); next != nil {
		in.Lanes = next
	}
	s.reloadIgnores(ctx, b.source, p, b.Batch)
	s.tellRoots(p, b.Roots)
	p = b.plans.Load()
	in.Items = p.items(b.Changes)
	s.recorder.passing(in)
	s.history.strays(p.strays(in.Items))
	return in
}

// retired are the marks of a batch. The last mark of a source that was replaced
// is not passed on: it closes that source.
func (b sighting) retired() []watch.Mark {
	if b.retire == 0 {
		return b.Marks
	}
	marks := slices.Clone(b.Marks)
	return slices.DeleteFunc(marks, func(m watch.Mark) bool {
		if m.ID == b.retire {
			go b.watcher.Close()
		}
		return m.ID == b.retire
	})
}

// reloadIgnores reads ignore files anew that have changed, and lets the
// watcher look at what is wanted now.
func (s *session) reloadIgnores(ctx context.Context, src *source, p *plan, b watch.Batch) {
	refresh := p.changesOutside(b)
	if refresh {
		p.reloadOutside()
		s.recorder.outside(p)
	}
	for _, c := range b.Changes {
		if !p.isRoot(c.Root) {
			continue
		}
		for _, name := range []string{c.Path, c.From} {
			if name != "" && p.ignores[c.Root].Affects(name) {
				s.reloadIgnore(p, c.Root, name)
				refresh = true
			}
		}
	}
	if !refresh {
		return
	}
	s.log.Debug("ignore files changed, reading them again")
	if outside := p.lookOutside(); s.current.Load() == src && !slices.Equal(outside, p.outside) {
		next := *p
		next.outside = outside
		if err := s.rewatch(ctx, src, &next); err == nil {
			return
		}
	}
	src.watcher.Refresh()
}

// changesOutside tells whether a file outside of the roots has changed, come or
// gone that says what is ignored in them.
func (p *plan) changesOutside(b watch.Batch) bool {
	outside := func(root int) bool { return !p.isRoot(root) && root != p.file }
	return slices.ContainsFunc(b.Changes, func(c watch.Change) bool { return outside(c.Root) }) ||
		slices.ContainsFunc(b.Roots, func(e watch.RootEvent) bool { return outside(e.Root) })
}

// reloadOutside reads all ignore files anew: those outside count everywhere.
func (p *plan) reloadOutside() {
	for _, ignore := range p.ignores {
		ignore.Reload(".")
	}
}

func (s *session) tellRoots(p *plan, events []watch.RootEvent) {
	for _, e := range events {
		if e.Root == p.file { // many editors put another in its place
			s.log.Debug("the config file was taken away or came back: what it said last stays in force", "gone", e.Gone)
			continue
		}
		if !p.isRoot(e.Root) {
			continue
		}
		if e.Gone {
			s.log.Warn("root is gone, waiting for its return", "root", p.roots[e.Root])
			continue
		}
		s.log.Info("root is back", "root", p.roots[e.Root])
	}
}

// reload takes a changed config up: a valid one takes the place of the one in
// force, of an invalid one the errors are shown. It returns the new lanes.
func (s *session) reload(ctx context.Context, p *plan, b sighting) *debounce.Lanes {
	if !touches(p, b.Changes) {
		return nil
	}
	cfg, err := s.loadFile(p.cfg.Path)
	if err == nil && cfg.Diff(p.cfg).IsZero() {
		return nil
	}
	var next *plan
	if err == nil {
		next, err = newPlan(cfg)
	}
	if err != nil {
		s.log.Error("the config has changed and is not valid: the old one stays in force")
		reportErrors(s.printer.Log(), err)
		return nil
	}
	return s.replace(ctx, b.source, p, next)
}

// touches tells whether the config file is among the changes.
func touches(p *plan, changes []watch.Change) bool {
	for _, c := range changes {
		if c.Root == p.file && !c.Open {
			return true
		}
	}
	return false
}

// replace puts a new plan in force.
func (s *session) replace(ctx context.Context, src *source, old, next *plan) *debounce.Lanes {
	diff := old.cfg.Diff(next.cfg)
	if diff.Watch {
		if err := s.rewatch(ctx, src, next); err != nil {
			s.log.Error("the config has changed and cannot be watched for: the old one stays in force", "error", err)
			return nil
		}
		s.moveSocket(ctx, next)
	}
	src.plans.Store(next)
	if !diff.Watch {
		src.watcher.Refresh()
	}
	if _, err := s.runner.Do(ctx, runner.Request{Verb: runner.DoSetRules, Set: next.jobs}); err != nil {
		return nil
	}
	s.log.Info("config reloaded", "added", len(diff.Added), "changed", len(diff.Changed), "removed", len(diff.Removed))
	return lanesFrom(old, next)
}

// rewatch puts another watcher in the place of src's, for a plan that watches
// something else.
func (s *session) rewatch(ctx context.Context, src *source, next *plan) error {
	fresh, err := s.watch(ctx, next)
	if err != nil {
		return err
	}
	s.current.Store(fresh)
	s.sources <- fresh
	src.retire = ^uint64(0)
	src.watcher.Mark(src.retire)
	src.plans.Store(next)
	return nil
}

// lanesFrom says which old lane each new one continues: that of the same rule.
func lanesFrom(old, next *plan) *debounce.Lanes {
	lanes := &debounce.Lanes{Lanes: next.lanes}
	for _, r := range next.cfg.Rules {
		from := -1
		for i, o := range old.cfg.Rules {
			if o.Name == r.Name {
				from = i
			}
		}
		lanes.From = append(lanes.From, from)
	}
	return lanes
}

// lost ends the session where a watch ends and nobody asked for it.
func (s *session) lost(ctx context.Context, src *source, err error) {
	if ctx.Err() != nil || src.retire != 0 {
		return
	}
	select {
	case s.failed <- err:
	default:
	}
}

// allFiles lists what a rule's globs match right now, relative to the first
// root: what {files} stands for when nothing has changed. A rule that reacts to
// its needs only has no globs: to it they are all files that are not ignored.
func (s *session) allFiles(name string) []string {
	p := s.plan()
	i := slices.IndexFunc(p.cfg.Rules, func(r *config.Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	var files []string
	if len(p.cfg.Rules[i].Files) > 0 {
		p.wanted(i, func(root int, path string) { files = append(files, p.fromFirst(root, path)) })
		return files
	}
	for root := range p.roots {
		enter := func(dir string) bool { return dir == "." || !p.ignores[root].Match(dir, true) }
		p.tree(root, enter, func(path string) {
			if !p.ignores[root].Match(path, false) {
				files = append(files, p.fromFirst(root, path))
			}
		})
	}
	return files
}

// wanted visits the files that a rule reacts to.
func (p *plan) wanted(rule int, visit func(root int, path string)) {
	var buf []int
	p.walk(func(root int, path string) {
		buf = p.sets[root].Match(buf[:0], p.named(root, path), false)
		if slices.Contains(buf, rule) {
			visit(root, path)
		}
	})
}

// fromFirst is a path of any root relative to the first one.
func (p *plan) fromFirst(root int, path string) string {
	if root == 0 {
		return path
	}
	rel, err := filepath.Rel(p.roots[0], p.abs(root, path))
	if err != nil {
		return p.abs(root, path)
	}
	return rel
}

// verdict is the exit status that a session ends with.
func (s *session) verdict(result runner.Result) error {
	select {
	case err := <-s.failed:
		return exit(exitWatch, err)
	default:
	}
	if result.Err != nil {
		s.log.Error(result.Err.Error())
	}
	switch sig := s.endedBy.Load(); {
	case s.pipeGone.Load():
		return exit(exitPipeGone, nil)
	case sig != 0:
		return &signalled{unix.Signal(sig)}
	case s.once && result.Failed() != nil:
		return exit(exitFailed, nil)
	case result.Err != nil:
		return exit(exitFailed, nil)
	}
	return nil
}
