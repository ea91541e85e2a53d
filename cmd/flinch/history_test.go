package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/output"
)

// However much happens, what is remembered stays within its bounds, and the newest of it is there.
func TestHistoryIsBounded(t *testing.T) {
	h := newHistory(20)
	end := h.begin()
	p, _ := bigPlan(t, 1)
	many := make([]runner.Change, 3000)
	for i := range many {
		many[i] = runner.Change{Path: fmt.Sprint("f", i), Op: "write", Time: time.Now()}
	}
	const rounds = 600
	for i := range uint64(rounds) {
		h.settled(runner.Wave{Triggers: []runner.Trigger{{Rule: "rule1", Changes: many}}}, p)
		e := runner.Event{Kind: runner.EventStarted, Time: time.Now(), Rule: "rule1", Run: runner.RunID(i + 1), Batch: i + 1, Reason: runner.ReasonChange, Changes: many}
		h.event(e)
		h.line(e.Run, output.Line{Text: bytes.Repeat([]byte{'x'}, 60<<10), Time: time.Now()})
		e.Kind = runner.EventOver
		h.event(e)
		if i%50 == 0 { // the tap of a command waits for nobody, but this loop is faster than any
			_ = h.ask(t.Context(), func(*memory) {})
		}
	}
	for range 10 {
		h.line(rounds, output.Line{Text: bytes.Repeat([]byte{'y'}, 60<<10), Time: time.Now()})
	}
	h.line(rounds, output.Line{Text: []byte("last"), Time: time.Now()})
	if err := h.ask(t.Context(), func(m *memory) { checkBounds(t, m, rounds) }); err != nil {
		t.Fatal(err)
	}
	end()
	if err := h.ask(t.Context(), func(*memory) {}); err == nil {
		t.Error("a history that has ended answers")
	}
}

func checkBounds(t *testing.T, m *memory, rounds int) {
	t.Helper()
	if len(m.runs) != 20 || len(m.byID) != 20 {
		t.Errorf("%d runs, %d of them by id, want 20", len(m.runs), len(m.byID))
	}
	last := m.runs[len(m.runs)-1]
	if int(last.started.Run) != rounds || len(last.lines) == 0 || last.lines[len(last.lines)-1].Text != "last" {
		t.Errorf("the last run is %d with %d lines", last.started.Run, len(last.lines))
	}
	if last.bytes > outputMax || last.missed == 0 {
		t.Errorf("%d bytes of the last run, %d missed", last.bytes, last.missed)
	}
	if w := last.wire(10); len(w.Changes) != 10 || w.More != 2990 {
		t.Errorf("%d changes and %d more, want 10 and 2990", len(w.Changes), w.More)
	}
	changes := 0
	for _, b := range m.batches {
		changes += b.size()
	}
	if changes != m.changes || changes > changesMax || len(m.batches) > batchesMax || len(m.events) > eventsMax {
		t.Errorf("%d changes (counted %d), %d batches, %d events", changes, m.changes, len(m.batches), len(m.events))
	}
	if b := m.batches[len(m.batches)-1]; int(b.number) != rounds || len(b.runs) != 1 {
		t.Errorf("the last batch is %d with runs %v", b.number, b.runs)
	}
}

// Of output that goes by faster than it is taken the end is kept, and every byte that is not is counted.
func TestOutputThatIsTooFast(t *testing.T) {
	h := newHistory(20)
	h.event(runner.Event{Kind: runner.EventStarted, Time: time.Now(), Rule: "a", Run: 1})
	written := 0
	for i := range 200_000 { // nobody takes it yet
		text := fmt.Sprintf("line %d", i)
		written += len(text) + 1
		h.line(1, output.Line{Text: []byte(text), Time: time.Now()})
	}
	if len(h.queue.text) > textMax {
		t.Errorf("%d bytes wait", len(h.queue.text))
	}
	defer h.begin()()
	if err := h.ask(t.Context(), func(m *memory) {
		r := m.byID[1]
		kept := 0
		for _, l := range r.lines {
			kept += len(l.Text) + 1
		}
		if r.lines[len(r.lines)-1].Text != "line 199999" || kept+int(r.missed) != written {
			t.Errorf("the last line is %q; %d bytes kept and %d missed, want %d", r.lines[len(r.lines)-1].Text, kept, r.missed, written)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// Whoever follows gets every event or its count, in order.
func TestFollowerIsToldWhatItMissed(t *testing.T) {
	m := newMemory(10)
	f, past := m.follow(0)
	if len(past) != 1 || past[0].Kind != "listening" {
		t.Fatalf("past: got %+v", past)
	}
	const events = 5 * followMax
	got, missed, last := 0, uint64(0), uint64(0)
	read := func() {
		e := <-f.events
		if e.Kind == "missed" {
			missed += e.Missed
		} else {
			got++
		}
		if e.Seq < last {
			t.Errorf("event %d after %d", e.Seq, last)
		}
		last = e.Seq
	}
	for i := range events {
		m.publish(control.Event{Kind: "note"})
		if i%3 == 0 {
			read()
		}
	}
	for len(f.events) > 0 {
		read()
	}
	m.publish(control.Event{Kind: "note"})
	for len(f.events) > 0 {
		read()
	}
	if total := got + int(missed); total != events+1 || missed == 0 {
		t.Errorf("%d events and %d missed, want %d in all", got, missed, events+1)
	}
	if _, past := m.follow(1); past[0].Kind != "missed" || past[0].Missed == 0 || len(past) != eventsMax+2 {
		t.Errorf("from the beginning: %d events, the first %+v", len(past), past[0])
	}
	m.unfollow(f)
	if _, open := <-f.events; open {
		t.Error("the stream goes on")
	}
}

func TestChain(t *testing.T) {
	at := time.Date(2026, 1, 2, 14, 3, 0, 0, time.Local)
	build := control.Run{
		Run: 4, Rule: "build", State: "succeeded", Reason: "change", Batch: 9, First: at, Last: at, Settled: at.Add(5 * time.Millisecond),
		Started: at.Add(7 * time.Millisecond), Ended: at.Add(time.Second), Changes: []control.Change{{Path: "a b.go", Op: "write", Time: at}},
	}
	test := control.Run{
		Run: 5, Rule: "test", State: "failed", Exit: 2, Reason: "need", Causes: []control.Cause{{Rule: "build", Run: 4}},
		Started: at.Add(time.Second), Ended: at.Add(3 * time.Second),
	}
	want := `14:03:01.000 test, run 5: failed, exit 2 after 2s
because build, run 4, succeeded at 14:03:01.000
because 'a b.go' changed, seen 14:03:00.000
in batch 9, settled 14:03:00.005, 5ms after the last change; started 2ms after that`
	if got := strings.Join(chain(&test, []control.Run{build, test}), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
