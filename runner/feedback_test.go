package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// echo makes each end of a run of a rule a wave of a change that the run made,
// as a watcher sees it: within the run's time, delivered a little later.
func (b *bench) echo(rule, path string, to ...string) {
	b.after(rule, func(end time.Time) {
		c := Change{Path: path, Op: "write", Type: "file", Time: end.Add(-time.Millisecond)}
		var w Wave
		for _, r := range to {
			w.Triggers = append(w.Triggers, Trigger{Rule: r, Changes: []Change{c}, First: c.Time, Last: c.Time})
		}
		b.send(w)
	})
}

// wrote is a wave of a change that a run has just made.
func (b *bench) wrote(path, rule string) {
	c := Change{Path: path, Op: "write", Type: "file", Time: time.Now()}
	b.send(Wave{Triggers: []Trigger{{Rule: rule, Changes: []Change{c}, First: c.Time, Last: c.Time}}})
}

// starts are the moments of the starts of a rule.
func (b *bench) starts(rule string) (list []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == EventStarted && e.Rule == rule {
			list = append(list, e.Time.Sub(b.began))
		}
	}
	return list
}

// A task that writes what it watches: three runs at once, five after waits, then
// it is held, with one warning that says what to do.
func TestRuleThatFeedsItselfIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 100 * ms}}, task("a"))
		b.echo("a", "out.txt", "a")
		b.until(time.Minute)
		want := []time.Duration{0, 100 * ms, 200 * ms, 300 * ms, 900 * ms, 2 * time.Second, 4100 * ms, 8200 * ms, 16300 * ms}
		if got := b.starts("a"); !slices.Equal(got, want) {
			t.Errorf("starts: got %v, want %v", got, want)
		}
		b.wantState("a", Held)
		if n := b.count(EventLoop, "a"); n != 1 {
			t.Errorf("got %d warnings, want 1", n)
		}
		e, _ := b.find(EventLoop, "a")
		if e.Ignore != `ignore = ["/out.txt"]` || !slices.Equal(e.Rules, []string{"a"}) || !slices.Equal(paths(e.Changes), []string{"out.txt"}) {
			t.Errorf("got warning %+v", e)
		}
		b.save("user.txt", "a")
		b.until(time.Minute + 50*ms)
		if got := len(b.starts("a")); got != len(want)+1 {
			t.Errorf("got %d starts after a change at another time, want %d", got, len(want)+1)
		}
		b.end()
	})
}

func TestChangeInADoubtClearsTheSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 100 * ms}}, task("a"))
		b.echo("a", "out.txt", "a")
		b.until(3 * time.Second) // in the wait of 2 s
		n := len(b.starts("a"))
		b.save("user.txt", "a")
		b.sleep(350 * ms)
		if got := b.starts("a")[n:]; !slices.Equal(got, []time.Duration{3 * time.Second, 3100 * ms, 3200 * ms, 3300 * ms}) {
			t.Errorf("got %v, want the first at once and three more", got)
		}
		e, _ := b.find(EventStarted, "a")
		if e.Reason != ReasonChange {
			t.Errorf("got reason %v", e.Reason)
		}
		b.end()
	})
}

// Saves during a long run are the user's as far as anyone can tell: none waits
// unless there are many in a row, and none is lost.
func TestSavesDuringARunAreRunAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: time.Second}}, task("a"))
		for i := range 3 {
			b.until(time.Duration(i)*time.Second + 500*ms)
			b.save("x", "a")
		}
		b.until(10 * time.Second)
		if got := b.starts("a"); !slices.Equal(got, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}) {
			t.Errorf("got starts %v", got)
		}
		b.end()
	})
}

// Whoever saves again and again while a long task runs, which is replaced each
// time, is not taken for a loop.
func TestSavesDuringLongRunsAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Busy = Replace
		b := newBench(t, map[string]script{"a": {lasts: time.Minute, stop: 10 * ms}}, a)
		at := time.Duration(0)
		want := []time.Duration{0}
		for i := range 60 {
			at += time.Duration(5+(i*7)%23) * time.Second
			b.until(at)
			b.save("x.go", "a")
			want = append(want, at+10*ms)
		}
		b.sleep(time.Second)
		if got := b.starts("a"); !slices.Equal(got, want) {
			t.Errorf("got starts %v, want %v", got, want)
		}
		b.end()
	})
}

// A loop over a slow task is found, though its runs do not all last the same.
func TestSlowLoopIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {onLaunch: func(n int, s *script) { s.lasts = 10*time.Second + time.Duration(n%4)*500*ms }}}, task("a"))
		b.echo("a", "report.xml", "a")
		b.until(5 * time.Minute)
		if n := b.count(EventLoop, "a"); n != 1 || len(b.starts("a")) != 9 {
			t.Errorf("got %d warnings, want 1; starts %v", n, b.starts("a"))
		}
		b.end()
	})
}

func TestTaskThatFeedsAndReplacesItselfIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Busy = Replace
		b := newBench(t, map[string]script{"a": {lasts: time.Hour, stop: 10 * ms}}, a)
		b.onStart("a", func(at time.Time) {
			time.Sleep(50 * ms)
			b.wrote("out", "a")
		})
		b.do(Request{Verb: DoRestart, Rules: []string{"a"}})
		b.until(time.Minute)
		if n := b.count(EventLoop, "a"); n != 1 {
			t.Errorf("got %d warnings, want 1; starts %v", n, b.starts("a"))
		}
		b.end()
	})
}

func TestPingPongOfTwoRulesIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 100 * ms}, "b": {lasts: 150 * ms}}, task("a"), task("b"))
		b.echo("a", "from-a", "b")
		b.echo("b", "from-b", "a")
		b.until(2 * time.Minute)
		if n := b.count(EventLoop, ""); n != 1 {
			t.Errorf("got %d warnings, want 1", n)
		}
		n := len(b.starts("a")) + len(b.starts("b"))
		if n > 24 {
			t.Errorf("got %d starts, want an end of it; a %v b %v", n, b.starts("a"), b.starts("b"))
		}
		b.mu.Lock()
		for _, e := range b.events {
			if e.Kind == EventLoop && len(e.Rules) != 2 {
				t.Errorf("got rules %v, want both", e.Rules)
			}
		}
		b.mu.Unlock()
		b.end()
	})
}

// A needed rule's output that its dependant turns back into its input.
func TestCircleOverANeedIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"build": {lasts: 100 * ms}, "test": {lasts: 150 * ms}}, task("build"), task("test", "build"))
		b.echo("test", "report.xml", "build")
		b.until(2 * time.Minute)
		if n := b.count(EventLoop, "build"); n != 1 {
			t.Errorf("got %d warnings, want 1; build %v", n, b.starts("build"))
		}
		b.end()
	})
}

// Saves at odd moments while dependants run are no circle.
func TestSavesWhileDependantsRunAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"build": {lasts: 100 * ms}, "test": {lasts: 20 * time.Second}}, task("build"), Rule{Name: "test", Needs: []string{"build"}, AtStart: true, Busy: Replace})
		at := time.Duration(0)
		var want []time.Duration
		for i := range 12 {
			at += time.Duration(3+(i*7)%11) * time.Second
			want = append(want, at)
			b.until(at)
			b.save("x.go", "build")
		}
		if got := b.starts("build")[1:]; !slices.Equal(got, want) {
			t.Errorf("build started at %v, want %v", got, want)
		}
		b.end()
	})
}

// A service that writes what it watches, before or after it is ready, is held in
// the end; it goes on running, and a save still restarts it.
func TestServiceThatFeedsItselfIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after, enough := range map[time.Duration]int{50 * ms: strikesOfService, time.Second: strikesOfYoung} {
			for _, s := range []Rule{service("a"), {Name: "a", Kind: Service, Busy: Replace, AtStart: true}} {
				b := newBench(t, map[string]script{"a": {ready: 100 * ms}}, s)
				b.onStart("a", func(time.Time) {
					time.Sleep(after)
					b.wrote("app.db", "a")
				})
				b.do(Request{Verb: DoRestart, Rules: []string{"a"}})
				b.until(25 * time.Minute)
				if n := b.count(EventLoop, "a"); n != 1 {
					t.Errorf("got %d warnings, want 1; starts %v", n, b.starts("a"))
				}
				b.wantState("a", Held)
				if pid := b.do(Request{Verb: DoStatus}).Status.Rules[0].PID; pid == 0 {
					t.Error("the service does not run while it is held")
				}
				n := len(b.starts("a"))
				if n > enough+10 {
					t.Errorf("got %d starts", n)
				}
				b.save("main.go", "a")
				b.sleep(40 * ms)
				if got := len(b.starts("a")); got != n+1 {
					t.Errorf("got %d starts after a save, want %d", got, n+1)
				}
				b.end()
			}
		}
	})
}

// Whoever saves as soon as a server is up is not made to wait.
func TestSavesRightAfterTheStartOfAServiceAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: 20 * ms}}, service("a"))
		var want []time.Duration
		for i := range 50 {
			at := time.Duration(i+1) * 25 * ms
			want = append(want, at)
			b.until(at)
			b.save("x", "a")
		}
		b.sleep(time.Second)
		if got := b.starts("a")[1:]; !slices.Equal(got, want) {
			t.Errorf("got starts %v, want %v", got, want)
		}
		b.end()
	})
}

func TestSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			content Content
			during  bool
			runs    int
		}{
			{ContentAuto, true, 1}, {ContentAuto, false, 2}, {ContentAlways, true, 1}, {ContentAlways, false, 1},
			{ContentNever, true, 2}, {ContentNever, false, 2},
		} {
			a := task("a")
			a.Content = c.content
			b := newBench(t, map[string]script{"a": {lasts: time.Second}}, a)
			b.until(500 * ms)
			if !c.during {
				b.until(1500 * ms)
			}
			b.change(Change{Path: "x", Op: "write", Same: true, Time: time.Now()}, "a")
			b.until(5 * time.Second)
			if got := len(b.starts("a")); got != c.runs {
				t.Errorf("%v, during its run %v: got %d runs, want %d", c.content, c.during, got, c.runs)
			}
			if n := b.count(EventSuppressed, "a"); n != 2-c.runs {
				t.Errorf("%v: got %d suppressed, want %d", c.content, n, 2-c.runs)
			}
			b.end()
		}
	})
}

func TestIgnoreLine(t *testing.T) {
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{"out.txt"}, `ignore = ["/out.txt"]`},
		{[]string{"b", "a[1].txt"}, `ignore = ["/a\\[1].txt", "/b"]`},
		{[]string{"gen/a", "gen/b", "gen/c", "gen/d"}, `ignore = ["/gen/"]`},
		{[]string{"a", "b", "c", "d"}, `ignore = ["/a", "/b", "/c", "/d"]`},
	} {
		if got := ignoreLine(c.paths); got != c.want {
			t.Errorf("%v: got %s, want %s", c.paths, got, c.want)
		}
	}
}

// A user's save is never lost, whatever the rule itself writes: the rule writes
// during its runs, the user saves at random, and each save is followed by a start.
func TestNoSaveOfAUserIsLostBesideOwnWrites(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) { saveBesideOwnWrites(t, seed) })
	}
}

func saveBesideOwnWrites(t *testing.T, seed uint64) {
	rnd := newRand(seed)
	lasts := time.Duration(20+rnd.IntN(3000)) * ms
	b := newBench(t, map[string]script{"a": {lasts: lasts}}, task("a"))
	for i := range 30 {
		b.sleep(time.Duration(rnd.IntN(4000)) * ms)
		if rnd.IntN(2) == 0 {
			b.save(fmt.Sprintf("user%d", i), "a")
		} else if b.state("a") == Running {
			b.save("own", "a") // as the rule itself would
		}
	}
	last := time.Now()
	b.save("last", "a")
	b.sleep(10*lasts + 40*time.Second)
	held := b.state("a") == Held
	b.host.mu.Lock()
	log := strings.Join(b.host.log, "\n")
	b.host.mu.Unlock()
	for i := range 30 {
		name := fmt.Sprintf("user%d", i)
		if b.saved(name) && !strings.Contains(log, name) {
			t.Errorf("seed %d: %s was never run", seed, name)
		}
	}
	if starts := b.starts("a"); !held && b.began.Add(starts[len(starts)-1]).Before(last) {
		t.Errorf("seed %d: the last save, at %v, is not followed by a start", seed, last.Sub(b.began))
	}
	b.end()
}

// saved tells whether a trigger with the path was there.
func (b *bench) saved(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.events, func(e Event) bool { return e.Kind == EventTriggered && slices.Contains(paths(e.Changes), path) })
}
