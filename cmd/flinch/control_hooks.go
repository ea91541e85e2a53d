package main

import (
	"context"
	"sync"
	"time"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/output"
)

// What the stages of the path tell the history, and what clients tell the path.

// begin starts the history; the function it returns ends it.
func (h *history) begin() (end func()) {
	var remembering sync.WaitGroup
	remembering.Go(h.run)
	return func() {
		h.close()
		remembering.Wait()
	}
}

// telling is changes that a client tells of, on their way into the path.
type telling struct {
	sighting
	taken chan<- struct{} // closed when they are ahead of every later barrier
}

func (t telling) pass(ctx context.Context, batches chan<- sighting) {
	select {
	case batches <- t.sighting:
		close(t.taken)
	case <-ctx.Done():
	}
}

// strays are the changes of a batch that no rule wants.
func (p *plan) strays(items []item) (list []stray) {
	for i := range items {
		it := &items[i]
		if s := it.Value; len(it.Lanes) == 0 && !isLock(s.Path) && len(list) < straysMax {
			list = append(list, stray{plan: p, root: s.Root, path: s.Path, kind: op(s.Op), op: s.Op.String(), typ: s.Type.String(), time: s.Time})
		}
	}
	return list
}

// skip tells the watcher which files nobody wants to hear of, and the history
// that one of them was looked at.
func (s *session) skip(src *source, root int, path string) bool {
	p := src.plans.Load()
	if !p.skip(root, path) || !s.unseen(p, root, path, false) {
		return false
	}
	if s.current.Load() == src { // else it is the first look at everything
		s.history.glimpse(stray{plan: p, root: root, path: path, time: time.Now(), unverified: true})
	}
	return true
}

// prune tells the watcher which folders nobody wants to hear of.
func (s *session) prune(src *source, root int, dir string) bool {
	p := src.plans.Load()
	return p.prune(root, dir) && (!p.isRoot(root) || s.unseen(p, root, dir, true))
}

// glimpse tells of a file that nobody wants and that may have changed. Of many at
// once, as when a tree is crawled, only the first count.
func (h *history) glimpse(st stray) {
	h.mu.Lock()
	if h.closed || len(h.queue.news) >= straysMax {
		h.mu.Unlock()
		return
	}
	h.queue.news = append(h.queue.news, news{stray: &st})
	h.mu.Unlock()
	h.poke()
}

// events is what the runner's events are told to: the user, then the history.
func (s *session) events() func(runner.Event) {
	say, interrupts := (&sayer{log: s.log, command: s.commandOf}).say, s.interrupts()
	return func(e runner.Event) {
		interrupts(e)
		say(e)
		s.history.event(e)
	}
}

// tap remembers the lines of a run.
func (s *session) tap(run runner.RunID) func(output.Line) {
	return func(l output.Line) { s.history.line(run, l) }
}

// inherits tells whether the rule's runs have flinch's own output, which nobody
// then sees: where a single command is run without a config file.
func (s *session) inherits(rule string) bool {
	p := s.plan()
	r := p.cfg.Rule(rule)
	return r == nil || p.cfg.Path == "" || r.Input == config.InputTerminal
}
