package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/watch"
)

// figures are what flinch counts, as Prometheus text.
type figures struct {
	set       *metrics.Set
	changes   *metrics.Counter
	batches   *metrics.Counter
	startTime *buckets
}

func newFigures() *figures {
	set := metrics.NewSet()
	return &figures{
		set: set, changes: set.NewCounter("flinch_changes_total"), batches: set.NewCounter("flinch_batches_total"),
		startTime: newBuckets(set, "flinch_save_to_start_seconds", "", startBounds),
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
		newBuckets(f.set, "flinch_run_seconds", fmt.Sprintf("rule=%q", e.Rule), runBounds).observe(e.Duration)
	case e.Kind == runner.EventSuppressed, e.Kind == runner.EventStale, e.Kind == runner.EventLoop:
		f.set.GetOrCreateCounter(fmt.Sprintf("flinch_%s_total{rule=%q}", e.Kind, e.Rule)).Inc()
	}
}

// buckets is a histogram with fixed bounds, as Prometheus has it: each bucket
// counts what is at most its bound.
type buckets struct {
	bounds []float64
	counts []*metrics.Counter // one more: +Inf
	sum    *metrics.FloatCounter
	count  *metrics.Counter
}

// newBuckets returns the histogram of that name and label, made if need be.
func newBuckets(set *metrics.Set, name, label string, bounds []float64) *buckets {
	b := &buckets{bounds: bounds}
	comma, all := "", ""
	if label != "" {
		comma, all = label+",", "{"+label+"}"
	}
	for _, bound := range bounds {
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		b.counts = append(b.counts, set.GetOrCreateCounter(name+"_bucket{"+comma+`le="`+le+`"}`))
	}
	b.counts = append(b.counts, set.GetOrCreateCounter(name+"_bucket{"+comma+`le="+Inf"}`))
	b.sum = set.GetOrCreateFloatCounter(name + "_sum" + all)
	b.count = set.GetOrCreateCounter(name + "_count" + all)
	return b
}

func (b *buckets) observe(d time.Duration) {
	s := max(d, 0).Seconds()
	for i, bound := range b.bounds {
		if s <= bound {
			b.counts[i].Inc()
		}
	}
	b.counts[len(b.bounds)].Inc()
	b.sum.Add(s)
	b.count.Inc()
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
