package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Saves, restarts, stops and kills at random over real processes that leave
// others behind: nothing of a run is there when the next begins, and at the end
// each rule has run for the last save, and nothing is left.
func TestProcessesAtRandom(t *testing.T) {
	acts := 300
	if testing.Short() {
		acts = 60
	}
	rnd := newRand(7)
	record := `echo "$FLINCH_RULE start" >> log; `
	build := sh("build", record+`cp src built; sleep 0.0$(($$ % 5))`)
	quick := sh("quick", record+`sleep 0.03 & (setsid sleep 0.05 &) ; sleep 0.01`)
	quick.Busy = Replace
	app := sh("app", record+`cat built > running; setsid -f sleep 1000; exec sleep 1000`)
	app.Kind, app.Busy, app.Needs = Service, Replace, []string{"build"}
	deaf := sh("deaf", record+`trap '' TERM; sleep 1000 & wait`)
	deaf.Kind, deaf.Busy, deaf.StopTimeout = Service, Replace, 20*ms
	r := newRig(t, Options{Jobs: 2}, nil)
	save := func(i int, rules ...string) {
		if err := os.WriteFile(filepath.Join(r.root, "src"), []byte(strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		r.change(Change{Path: "src", Op: "write", Type: "file", Time: time.Now()}, rules...)
	}
	all := []string{"build", "quick", "app", "deaf"}
	if err := os.WriteFile(filepath.Join(r.root, "src"), []byte("0"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.do(Request{Verb: DoSetRules, Set: []Rule{build, quick, app, deaf}})
	for i := range acts {
		name := all[rnd.IntN(len(all))]
		switch n := rnd.IntN(20); {
		case n < 12:
			save(i, all[rnd.IntN(2):2+rnd.IntN(3)]...)
		case n < 14:
			r.do(Request{Verb: DoRestart, Rules: []string{name}})
		case n < 16:
			r.do(Request{Verb: DoTrigger, Rules: []string{name}})
		default:
			r.crash(name)
		}
		time.Sleep(time.Duration(rnd.IntN(15)) * ms)
	}
	save(acts, all...)
	rep := r.do(Request{Verb: DoWait})
	for _, s := range rep.Status.Rules {
		if s.Verdict != Green && s.Name != "quick" {
			t.Errorf("%s is %v in the end: %+v", s.Name, s.Verdict, s.Last)
		}
	}
	if got, err := os.ReadFile(filepath.Join(r.root, "running")); err != nil || string(got) != strconv.Itoa(acts) {
		r.eventually("app to run the last build", func() bool {
			got, _ := os.ReadFile(filepath.Join(r.root, "running"))
			return string(got) == strconv.Itoa(acts)
		})
	}
	r.quit()
	r.checkRuns()
	for _, p := range children(t) {
		t.Errorf("left behind: %s", p)
	}
}

// crash kills the leader of what a rule runs.
func (r *rig) crash(rule string) {
	s := r.do(Request{Verb: DoStatus, Rules: []string{rule}}).Status.Rules[0]
	if l := r.runner.opt.Host.(*Processes).life(s.Run); l != nil && s.PID != 0 {
		l.tree.SignalLeader(syscall.SIGKILL)
	}
}

// eventually waits for what nobody announces.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	tick, limit := time.NewTicker(ms), time.After(patience)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			r.t.Fatalf("waited for %s", what)
		}
	}
}

// checkRuns: each run of a rule began after the one before it was over.
func (r *rig) checkRuns() {
	r.mu.Lock()
	defer r.mu.Unlock()
	live := make(map[string]RunID)
	started, over := 0, 0
	for _, e := range r.events {
		switch e.Kind {
		case EventStarted:
			started++
			if live[e.Rule] != 0 {
				r.t.Errorf("run %d of %s started beside run %d", e.Run, e.Rule, live[e.Rule])
			}
			live[e.Rule] = e.Run
		case EventOver:
			if live[e.Rule] == e.Run {
				over++
				live[e.Rule] = 0
			}
		}
	}
	if started != over {
		r.t.Errorf("%d runs were started, %d are over", started, over)
	}
	r.t.Logf("%d runs", started)
}

// children are the processes that have this one for a parent.
func children(t *testing.T) (list []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // gone
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			list = append(list, strings.Fields(string(b))[1])
		}
	}
	return list
}

// The time from a change that the loop reads to the report that the process is
// there, of a task at rest and of a service that has to be stopped first.
func BenchmarkChangeToStart(b *testing.B) {
	for _, kind := range []Kind{Task, Service} {
		b.Run(kind.String(), func(b *testing.B) {
			s := sh("s", "true")
			s.Kind = kind
			if kind == Service {
				s = sh("s", "sleep 1000")
				s.Kind, s.Busy = Service, Replace
			}
			rest := 2 * ms // what the run before caused is over
			if kind == Service {
				rest = serviceStart
			}
			r := newRig(b, Options{}, nil, s)
			r.await(EventStarted, "s", 1)
			if kind == Task {
				r.await(EventOver, "s", 1)
			}
			n, took := 1, []time.Duration(nil)
			for b.Loop() {
				time.Sleep(rest)
				n++
				c := Change{Path: fmt.Sprint(n), Op: "write", Time: time.Now()}
				r.change(c, "s")
				took = append(took, r.await(EventStarted, "s", n).Time.Sub(c.Time))
				if kind == Task {
					r.await(EventOver, "s", n)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*9/10].Microseconds()), "p90-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}
