package main

import (
	"encoding/base64"
	"io/fs"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/runner"
)

// What is remembered in the words of the protocol.

// wireMax is how many changes an event lists.
const wireMax = 100

// kindNames are the words of the protocol where they are not the runner's.
var kindNames = map[runner.EventKind]string{runner.EventWaiting: "queued"}

func wireKind(e *runner.Event) string {
	if e.Kind == runner.EventTriggered && e.Reason == runner.ReasonChange {
		return "match"
	}
	if name, ok := kindNames[e.Kind]; ok {
		return name
	}
	return e.Kind.String()
}

func wireEvent(p *plan, e *runner.Event) control.Event {
	w := control.Event{
		Time: e.Time, Kind: wireKind(e), Rule: e.Rule, Run: uint64(e.Run), Batch: e.Batch, PID: e.PID, File: e.File,
		Causes: wireCauses(e.Causes), Started: e.Started, DurationMS: millis(e.Duration), Why: e.Why, Text: e.Text,
		LeftMS: millis(e.Left), Ignore: e.Ignore, Rules: e.Rules, Signal: signalName(e.Signal), Error: errorText(e.Err),
	}
	if e.Rule != "" {
		w.State = e.State.String()
	}
	if e.Run != 0 || len(e.Changes) > 0 || e.Kind == runner.EventTriggered {
		w.Reason = e.Reason.String()
	}
	switch e.Kind {
	case runner.EventExited, runner.EventOver:
		exit := e.Exit
		w.Exit = &exit
	}
	if e.Kind == runner.EventOver {
		w.Outcome = e.Outcome.String()
	}
	w.Paths, w.More = wireChanges(p, e.Changes, wireMax)
	return w
}

func wireChanges(p *plan, changes []runner.Change, most int) (list []control.Change, more int) {
	for _, c := range changes[:min(len(changes), most)] {
		list = append(list, wireChange(p, c))
	}
	return list, max(0, len(changes)-most)
}

func wireChange(p *plan, c runner.Change) control.Change {
	w := control.Change{Time: c.Time, Op: c.Op, Type: c.Type, Recovered: c.Recovered, Root: rootName(p, c.Root)}
	w.Path, w.PathB64 = wirePath(c.Path)
	w.From, w.FromB64 = wirePath(c.From)
	return w
}

// wirePath is a path as JSON can hold it, and in base64 where it cannot.
func wirePath(path string) (text, b64 string) {
	if utf8.ValidString(path) {
		return path, ""
	}
	return strings.ToValidUTF8(path, "�"), base64.StdEncoding.EncodeToString([]byte(path))
}

// unwirePath undoes wirePath.
func unwirePath(text, b64 string) (string, error) {
	if b64 == "" {
		return text, nil
	}
	raw, err := base64.StdEncoding.DecodeString(b64)
	return string(raw), err
}

// rootName names a root where there are several.
func rootName(p *plan, i int) string {
	if p == nil || len(p.roots) < 2 || i >= len(p.cfg.Roots) {
		return ""
	}
	return p.cfg.Roots[i]
}

func wireCauses(causes []runner.Cause) (list []control.Cause) {
	for _, c := range causes {
		list = append(list, control.Cause{Rule: c.Rule, Run: uint64(c.Run)})
	}
	return list
}

// wire is the run as clients see it.
func (r *pastRun) wire(changes int) control.Run {
	e := &r.started
	w := control.Run{
		Run: uint64(e.Run), Rule: e.Rule, State: "running", Reason: e.Reason.String(), Batch: e.Batch, File: e.File,
		Causes: wireCauses(e.Causes), First: e.First, Last: e.Last, Settled: r.settled, Started: e.Started, Ready: r.ready, PID: e.PID, Why: r.skipped,
	}
	if w.Started.IsZero() {
		w.Started = e.Time
	}
	w.Changes, w.More = wireChanges(r.plan, e.Changes, changes)
	w.More += r.more
	if !r.ready.IsZero() {
		w.State = "ready"
	}
	if o := r.over; o != nil {
		w.State, w.Ended, w.Exit, w.Signal, w.Error = o.Outcome.String(), o.Time, o.Exit, signalName(o.Signal), errorText(o.Err)
		if o.Kind == runner.EventSkipped {
			w.State = runner.Skipped.String()
		}
		if w.Why == "" {
			w.Why = o.Why
		}
	}
	return w
}

func (r *pastRun) output() *control.Output {
	o := &control.Output{Run: uint64(r.started.Run), Rule: r.started.Rule, Missed: r.missed, Lines: []control.Line{}}
	for _, l := range r.lines {
		l.Text = strings.ToValidUTF8(l.Text, "�")
		o.Lines = append(o.Lines, l)
	}
	return o
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func signalName(sig syscall.Signal) string {
	if sig == 0 {
		return ""
	}
	return unix.SignalName(sig)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// changeTime is when the inode changed last, whatever a program made of its
// other times.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return info.ModTime()
}
