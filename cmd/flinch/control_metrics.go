package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// figures are what flinch counts, as Prometheus text. Only the history's goroutine
// touches it.
type figures struct {
	set       *metrics.Set
	changes   *metrics.Counter
	batches   *metrics.Counter
	startTime *histogram
	runTimes  map[string]*histogram // by rule
}

func newFigures() *figures {
	set := metrics.NewSet()
	return &figures{
		set: set, changes: set.NewCounter("flinch_changes_total"), batches: set.NewCounter("flinch_batches_total"),
		startTime: newHistogram(startBounds), runTimes: map[string]*histogram{},
	}
}

// Upper bounds of the buckets, in seconds.
var (
	startBounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60}
	runBounds   = []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600}
)

func (f *figures) batch(w *settled) {
	f.batches.Inc()
	f.changes.Add(len((&pastBatch{triggers: w.triggers}).changes()))
}

func (f *figures) event(e *runner.Event) {
	switch {
	case e.Kind == runner.EventStarted && e.Reason == runner.ReasonChange && !e.Last.IsZero():
		f.startTime.observe(e.Time.Sub(e.Last))
	case e.Kind == runner.EventOver:
		f.set.GetOrCreateCounter(fmt.Sprintf("flinch_runs_total{rule=%q,result=%q}", e.Rule, e.Outcome)).Inc()
		h := f.runTimes[e.Rule]
		if h == nil {
			h = newHistogram(runBounds)
			f.runTimes[e.Rule] = h
		}
		h.observe(e.Duration)
	case e.Kind == runner.EventSuppressed, e.Kind == runner.EventStale, e.Kind == runner.EventLoop:
		f.set.GetOrCreateCounter(fmt.Sprintf("flinch_%s_total{rule=%q}", e.Kind, e.Rule)).Inc()
	}
}

// write writes all of it.
func (f *figures) write(w io.Writer) {
	f.set.WritePrometheus(w)
	fmt.Fprintln(w, "# TYPE flinch_save_to_start_seconds histogram")
	f.startTime.write(w, "flinch_save_to_start_seconds", "")
	fmt.Fprintln(w, "# TYPE flinch_run_seconds histogram")
	for _, rule := range slices.Sorted(maps.Keys(f.runTimes)) {
		f.runTimes[rule].write(w, "flinch_run_seconds", fmt.Sprintf("rule=%q", rule))
	}
}

// histogram counts with fixed bounds, the form that dashboards know; the
// library's own has bounds of its choice.
type histogram struct {
	bounds []float64
	counts []uint64 // of what is at most the bound, and not the one before; one more: above
	sum    float64
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

func (h *histogram) observe(d time.Duration) {
	s := max(d, 0).Seconds()
	i, _ := slices.BinarySearch(h.bounds, s)
	h.counts[i]++
	h.sum += s
}

// write writes the buckets in the order of their bounds, each with all below it.
func (h *histogram) write(w io.Writer, name, label string) {
	comma, all := "", ""
	if label != "" {
		comma, all = label+",", "{"+label+"}"
	}
	total := uint64(0)
	for i, n := range h.counts {
		le := "+Inf"
		if i < len(h.bounds) {
			le = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		total += n
		fmt.Fprintf(w, "%s_bucket{%sle=%q} %d\n", name, comma, le, total)
	}
	fmt.Fprintf(w, "%s_sum%s %g\n%s_count%s %d\n", name, all, h.sum, name, all, total)
}

// writeGauges is the state of the watch and of the rules right now.
func writeGauges(w io.Writer, stats watch.Stats, status runner.Status) {
	gauge := func(kind, name string, v any) { fmt.Fprintf(w, "# TYPE %s %s\n%s %v\n", name, kind, name, v) }
	gauge("gauge", "flinch_folders", stats.Dirs)
	gauge("gauge", "flinch_watches", stats.Watches)
	gauge("gauge", "flinch_polled_folders", stats.Polled)
	gauge("counter", "flinch_overflows_total", stats.Overflows)
	gauge("counter", "flinch_rescans_total", stats.Rescans)
	gauge("gauge", "flinch_last_poll_seconds", stats.LastPoll.Seconds())
	fmt.Fprintln(w, "# TYPE flinch_rule_state gauge")
	for _, r := range status.Rules {
		fmt.Fprintf(w, "flinch_rule_state{rule=%q,state=%q} 1\n", r.Name, r.State)
	}
}
