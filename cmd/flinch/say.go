package main

import (
	"fmt"
	"log/slog"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/watch"
)

// sayer tells the user what happens to rules and runs: what changed, what
// runs and why, how it ended and how long it took. Only the runner's loop calls it.
type sayer struct {
	log     *slog.Logger
	command func(rule string) string // what a rule runs, for the line of its start
}

// say is one event in words. What only debugging needs is said with -v.
func (s *sayer) say(e runner.Event) {
	log := s.log
	if e.Rule != "" {
		log = log.With("rule", e.Rule)
	}
	if e.File != "" {
		log = log.With("file", e.File)
	}
	switch e.Kind {
	case runner.EventLaunching:
		log.Info("run", "why", why(e), "command", s.command(e.Rule))
	case runner.EventStarted:
		log.Debug("started", "run", e.Run, "pid", e.PID)
	case runner.EventOver:
		s.over(log, e)
	case runner.EventAdded, runner.EventReplaced, runner.EventRemoved:
		log.Debug(e.Kind.String())
	case runner.EventExited, runner.EventTriggered, runner.EventWaiting, runner.EventUnblocked:
		log.Debug(e.Kind.String(), "run", e.Run, "why", e.Why, "changed", paths(e.Changes))
	default:
		s.unusual(log, e)
	}
}

// over is how a run ended.
func (s *sayer) over(log *slog.Logger, e runner.Event) {
	took := slog.String("took", roughly(e.Duration))
	switch {
	case e.Outcome == runner.Failed && e.Err != nil:
		log.Error("failed", "error", e.Err, took)
		sayHint(log, e.Err)
	case e.Outcome == runner.Failed && e.Signal != 0:
		log.Error("failed", "signal", unix.SignalName(e.Signal), took)
	case e.Outcome == runner.Failed:
		log.Error("failed", "exit", e.Exit, took)
	case e.Outcome == runner.Succeeded:
		log.Info("ok", took)
	default:
		log.Debug(e.Outcome.String(), took)
	}
}

// unusual are the events that a healthy run does not have.
func (s *sayer) unusual(log *slog.Logger, e runner.Event) {
	switch e.Kind {
	case runner.EventReady:
		log.Info("ready", "took", roughly(e.Duration))
	case runner.EventSuppressed:
		log.Debug("nothing to do", "why", e.Why, "changed", paths(e.Changes))
	case runner.EventStale:
		log.Warn("stale: changed while it runs, and busy is skip", "changed", paths(e.Changes))
	case runner.EventSkipped:
		log.Info("not run: "+skipped(e), "changed", paths(e.Changes))
	case runner.EventSignalled:
		log.Info("signalled", "signal", unix.SignalName(e.Signal), "why", why(e))
	case runner.EventStopping:
		log.Debug("stopping", "why", e.Why)
	case runner.EventSlowStop:
		log.Warn(fmt.Sprintf("waiting for %s (pid %d), %s left, Ctrl-C to kill", e.Rule, e.PID, roughly(e.Left)))
	case runner.EventStuck:
		log.Error("cannot be killed", "processes", e.Text)
	case runner.EventBackoff:
		log.Warn("ended by itself, starting again", "in", roughly(e.Left))
	case runner.EventHeld:
		log.Error("held until a change", "why", e.Why)
	case runner.EventLoop:
		log.Warn("feeds itself: held until a change at another time", "rules", strings.Join(e.Rules, ", "), "changed", paths(e.Changes))
		log.Warn("if these files are only its output, add to the config: " + e.Ignore)
	case runner.EventBlocked:
		log.Warn("blocked", "by", e.Why)
	case runner.EventNote:
		log.Warn(e.Text)
	case runner.EventQuitting:
		log.Debug("stopping everything")
	default:
		log.Info(e.Kind.String())
	}
}

// skipped is why there is nothing to run a command for.
func skipped(e runner.Event) string {
	switch {
	case len(e.Changes) == 0:
		return "no file matches"
	case e.Why != "":
		return e.Why
	}
	return "no changed file is left to hand over"
}

func sayHint(log *slog.Logger, err error) {
	if h := hintOf(err); h != "" {
		log.Warn("hint: " + h)
	}
}

// why is the reason of a run in words: "changed src/a.go (+3)".
func why(e runner.Event) string {
	switch {
	case len(e.Changes) > 0:
		return changed(e.Changes[0]) + more(len(e.Changes)-1)
	case len(e.Causes) > 0:
		return e.Causes[0].Rule + " succeeded"
	case e.Why != "":
		return e.Why
	}
	return e.Reason.String()
}

func changed(c runner.Change) string {
	name := command.Quote(c.Path)
	switch c.Op {
	case "remove":
		return name + " removed"
	case "create":
		return name + " created"
	case "rename":
		from := c.From
		if path.Dir(from) == path.Dir(c.Path) {
			from = path.Base(from)
		}
		return name + " renamed from " + command.Quote(from)
	}
	return name + " changed"
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf(" (+%d)", n)
}

// paths are the first few changed paths.
func paths(changes []runner.Change) string {
	const shown = 5
	var names []string
	for _, c := range changes[:min(len(changes), shown)] {
		names = append(names, command.Quote(c.Path))
	}
	return strings.Join(names, " ") + more(len(changes)-shown)
}

// roughly rounds a duration to what a person reads.
func roughly(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// warnings tells what the watcher cannot do, and what to do about it.
func warnings(log *slog.Logger) func(watch.Warning) {
	return func(w watch.Warning) {
		if w.Kind == watch.LimitHealed {
			log.Info(w.String())
			return
		}
		log.Warn(w.String())
		if hint := w.Hint(); hint != "" {
			log.Warn("hint: " + hint)
		}
	}
}
