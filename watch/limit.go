package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// WarningKind says what a [Warning] is about.
type WarningKind uint8

// The kinds of warnings.
const (
	LimitReached WarningKind = iota + 1 // the kernel gives no more watches: what is over is polled
	LimitHealed                         // all is watched again
	Denied                              // a directory may not be read: changes in it are not seen
	NoInotify                           // inotify cannot be used at all: everything is polled
	PollingMount                        // a filesystem that does not tell of changes is polled
)

// Warning is something that the user should know: the watch stands, but not as it should.
type Warning struct {
	Kind   WarningKind
	Path   string // Denied, PollingMount: which directory
	Dirs   int    // how many directories there are
	Polled int    // how many of them are polled
	Limit  inotify.Limit
	Err    error // why
}

// String is one line.
func (v Warning) String() string {
	switch v.Kind {
	case LimitReached:
		return fmt.Sprintf("%d of %d folders are polled: %s = %d is reached", v.Polled, v.Dirs, v.Limit.Name, v.Limit.Value)
	case LimitHealed:
		return fmt.Sprintf("all %d folders are watched again", v.Dirs)
	case Denied:
		return fmt.Sprintf("changes in %s are not seen: %v", v.Path, v.Err)
	case NoInotify:
		return fmt.Sprintf("all folders are polled: %v", v.Err)
	case PollingMount:
		return fmt.Sprintf("%s is polled: its filesystem does not tell of changes made elsewhere", v.Path)
	}
	return "unknown warning"
}

// Hint says what the user can do; "" if nothing.
func (v Warning) Hint() string {
	var with interface{ Hint() string }
	if errors.As(v.Err, &with) {
		return with.Hint()
	}
	return ""
}

// health is what there is to worry about.
type health struct {
	noInotify error
	limit     error // the last refusal of a watch
	told      bool
	denied    map[string]bool
	overflows uint64
	rescans   uint64
}

// faulty notes what went wrong with directories: they are polled until it goes right.
func (w *Watcher) faulty(faults []fault) {
	for _, f := range faults {
		f.node.flags |= polled
		var full *inotify.Error
		if w.health.limit == nil || errors.As(f.err, &full) {
			w.health.limit = f.err
		}
	}
	if len(faults) > 0 {
		w.wakePoll()
	}
}

// warnLimits tells of refused watches once, until they are given.
func (w *Watcher) warnLimits() {
	h := &w.health
	if h.noInotify != nil && !h.told {
		h.told = true
		w.warn(Warning{Kind: NoInotify, Err: h.noInotify, Limit: limitOf(h.noInotify)})
	}
	if h.limit == nil || h.told || w.mute || w.silent {
		return
	}
	h.told = true
	s := w.count()
	w.warn(Warning{Kind: LimitReached, Dirs: s.Dirs, Polled: s.Polled, Limit: limitOf(h.limit), Err: h.limit})
}

func limitOf(err error) inotify.Limit {
	var e *inotify.Error
	if errors.As(err, &e) {
		if limit, ok := e.Limit(); ok {
			return limit
		}
	}
	return inotify.Limit{}
}

// warnDenied tells once of each directory that cannot be read.
func (w *Watcher) warnDenied(n *node) {
	top, _ := n.top()
	path := join(w.bases[top.root], n.path())
	if w.health.denied == nil {
		w.health.denied = make(map[string]bool)
	}
	if !w.health.denied[path] {
		w.health.denied[path] = true
		w.warn(Warning{Kind: Denied, Path: path, Err: unix.EACCES})
	}
}

func (w *Watcher) warn(v Warning) {
	if w.opts.Warn != nil {
		w.opts.Warn(v)
		return
	}
	w.log().Warn(v.String(), "hint", v.Hint())
}

func (w *Watcher) log() *slog.Logger {
	if w.opts.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return w.opts.Logger
}

// Stats are figures of a Watcher.
type Stats struct {
	Backend   string // inotify, poll, or "inotify+poll"
	Dirs      int    // directories that are watched or polled
	Files     int    // names in them that are remembered
	Watches   int    // watches that the kernel holds for them
	Polled    int    // directories that are polled, with or without a watch
	Denied    int    // directories that cannot be read
	Overflows uint64 // of the kernel's queue
	Rescans   uint64 // comparisons of everything with the disk
	LastPoll  time.Duration
	Mounts    []Mount
}

// Mount is a filesystem in the tree.
type Mount struct {
	Device  uint64
	Magic   int64  // of statfs(2)
	Backend string // inotify or poll
}

// Stats counts. It goes through the whole tree.
func (w *Watcher) Stats() (s Stats) {
	w.call(func() { s = w.count() })
	return s
}

func (w *Watcher) count() Stats {
	s := Stats{Backend: "inotify", Overflows: w.health.overflows, Rescans: w.health.rescans, LastPoll: w.poll.took}
	for _, r := range w.roots {
		if r.top != nil {
			_ = r.top.walk(func(n *node) bool { s.add(n); return true })
		}
	}
	s.Watches += len(w.anchors) + len(w.hard.at)
	switch {
	case w.silent:
		s.Backend = "poll"
	case s.Polled > 0:
		s.Backend = "inotify+poll"
	}
	for _, d := range w.devices.all() {
		m := Mount{Device: d.dev, Magic: d.magic, Backend: "inotify"}
		if d.poll {
			m.Backend = "poll"
		}
		s.Mounts = append(s.Mounts, m)
	}
	return s
}

func (s *Stats) add(n *node) {
	if n.flags&only == 0 { // the folder of a root that is a file is a means
		s.Dirs++
	}
	s.Files += len(n.files.list)
	if n.id > 0 {
		s.Watches++
	}
	if n.flags&polled != 0 {
		s.Polled++
	}
	if n.flags&unreadable != 0 {
		s.Denied++
	}
}
