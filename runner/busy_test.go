package runner

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueRunsOnceMoreAfterTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 1500 * ms}}, task("a"))
		b.until(500 * ms)
		b.save("x", "a")
		b.until(800 * ms)
		b.save("y", "a")
		b.until(10 * time.Second)
		b.wantLog("0s start a start []", "1.5s end a 0", "1.5s start a change [x,y]", "3s end a 0")
		b.end()
	})
}

func TestReplaceStopsATaskAtOnceAndKeepsItsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Busy, a.AtStart = Replace, false
		b := newBench(t, map[string]script{"a": {lasts: time.Second, stop: 200 * ms}}, a)
		b.save("x", "a")
		b.until(100 * ms)
		b.save("y", "a")
		b.until(150 * ms)
		b.wantState("a", Stopping)
		b.save("z", "a")
		b.until(5 * time.Second)
		b.wantLog("0s start a change [x]", "100ms stop a", "300ms end a 143", "300ms start a change [x,y,z]", "1.3s end a 0")
		b.wantState("a", Idle)
		if n := b.count(EventBackoff, ""); n != 0 {
			t.Errorf("got %d back-offs, want none", n)
		}
		b.end()
	})
}

func TestSkipDropsButRemembersThatItIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Busy = Skip
		b := newBench(t, map[string]script{"a": {lasts: time.Second}}, a)
		b.until(100 * ms)
		b.save("x", "a")
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "1s end a 0")
		s := b.do(Request{Verb: DoStatus}).Status.Rules[0]
		if s.Stale != 1 || !s.StaleSince.Equal(b.began.Add(100*ms)) {
			t.Errorf("got %d stale since %v, want 1 since 100ms", s.Stale, s.StaleSince.Sub(b.began))
		}
		b.save("y", "a")
		if s := b.do(Request{Verb: DoStatus}).Status.Rules[0]; s.Stale != 0 {
			t.Errorf("got %d stale after the next start, want 0", s.Stale)
		}
		b.do(Request{Verb: DoRestart, Rules: []string{"a"}})
		b.until(5 * time.Second)
		b.wantLog("2s start a change [y]", "2s stop a", "2s end a 143", "2s start a restart [y]", "3s end a 0")
		b.end()
	})
}

func TestSignalIsSentOnceAndOnlyToWhatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := service("a")
		a.Busy, a.BusySignal = SendSignal, syscall.SIGHUP
		b := newBench(t, map[string]script{"a": {ready: 300 * ms}}, a)
		b.until(100 * ms)
		b.save("x", "a")
		b.until(time.Second)
		b.save("y", "a")
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "300ms signal a hangup", "1s signal a hangup")
		b.wantState("a", Ready)
		b.end()
	})
}

func TestReloadSignalInsteadOfARestartTellsDependants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := service("a")
		a.ReloadSignal = syscall.SIGUSR1
		b := newBench(t, map[string]script{"a": {}, "probe": {lasts: 10 * ms}}, a, task("probe", "a"))
		b.until(time.Second)
		b.host.log = nil
		b.save("x", "a")
		b.until(2 * time.Second)
		b.wantLog("1s signal a user defined signal 1", "1s start probe need []", "1.01s end probe 0")
		b.do(Request{Verb: DoRestart, Rules: []string{"a"}})
		b.until(3 * time.Second)
		b.wantLog("2s stop a", "2s end a 143", "2s start a restart []", "2s start probe need []", "2.01s end probe 0")
		b.end()
	})
}

func TestTwoChangesDuringASlowStopAreOneStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {stop: 1500 * ms}}, service("a"))
		b.until(time.Second)
		b.save("x", "a")
		b.sleep(700 * ms)
		b.save("y", "a")
		b.until(5 * time.Second)
		b.wantLog("0s start a start []", "1s stop a", "2.5s end a 143", "2.5s start a change [x,y]")
		e, ok := b.find(EventSlowStop, "a")
		if !ok || e.Left != 4*time.Second || e.PID != 101 || !e.Time.Equal(b.began.Add(2*time.Second)) {
			t.Errorf("slow stop: got %+v", e)
		}
		b.end()
	})
}

func TestTimeoutFailsATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Timeout = time.Second
		b := newBench(t, map[string]script{"a": {lasts: time.Hour, deaf: true}}, a)
		b.until(7 * time.Second)
		b.wantLog("0s start a start []", "1s stop a", "6s end a 143")
		b.wantState("a", Broken)
		e, _ := b.find(EventOver, "a")
		if e.Outcome != Failed {
			t.Errorf("got outcome %v, want failed", e.Outcome)
		}
		b.end()
	})
}

func TestEachRunsOncePerFileUpToJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Each, a.AtStart = true, false
		s := script{onLaunch: func(n int, s *script) { s.lasts = time.Duration(90+10*n) * ms }}
		b := newBenchWith(t, Options{Jobs: 2}, map[string]script{"a": s, "b": {lasts: 10 * ms}}, a, task("b", "a"))
		b.until(time.Second)
		b.host.log = nil
		w := Wave{Triggers: []Trigger{{Rule: "a"}}}
		for _, p := range []string{"x", "y", "gone", "z"} {
			w.Triggers[0].Changes = append(w.Triggers[0].Changes, Change{Path: p, Gone: p == "gone", Time: time.Now()})
		}
		b.waves <- w
		b.until(2 * time.Second)
		b.wantLog("1s start a change [x]", "1s start a change [y]", "1.1s end a 0", "1.1s start a change [z]", "1.11s end a 0",
			"1.22s end a 0", "1.22s start b need []", "1.23s end b 0")
		b.end()
	})
}

func TestEachAtTheStartTakesAllFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Each = true
		h := map[string]script{"a": {lasts: 100 * ms}}
		b := newBench(t, h, a)
		b.until(time.Second)
		b.wantLog()
		if n := b.count(EventSkipped, "a"); n != 1 {
			t.Errorf("got %d skipped without files, want 1", n)
		}
		b.host.files = []string{"p", "q"}
		b.do(Request{Verb: DoTrigger, Rules: []string{"a"}})
		b.until(2 * time.Second)
		b.wantLog("1s start a trigger [p]", "1s start a trigger [q]", "1.1s end a 0", "1.1s end a 0")
		b.end()
	})
}

func TestEachReplacedRunsWhatIsUnfinishedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Each, a.AtStart, a.Busy = true, false, Replace
		s := script{onLaunch: func(n int, s *script) { s.lasts = time.Duration(n) * 100 * ms }}
		b := newBenchWith(t, Options{Jobs: 2}, map[string]script{"a": s}, a)
		w := Wave{Triggers: []Trigger{{Rule: "a"}}}
		for _, p := range []string{"x", "y", "z"} {
			w.Triggers[0].Changes = append(w.Triggers[0].Changes, Change{Path: p, Time: time.Now()})
		}
		b.waves <- w
		b.until(50 * ms)
		b.until(150 * ms)
		b.save("w", "a")
		b.until(3 * time.Second)
		b.wantLog("0s start a change [x]", "0s start a change [y]", "100ms end a 0", "100ms start a change [z]",
			"150ms stop a", "150ms stop a", "150ms end a 143", "150ms end a 143",
			"150ms start a change [y]", "150ms start a change [z]", "550ms end a 0", "550ms start a change [w]", "650ms end a 0", "1.15s end a 0")
		b.end()
	})
}

func TestMissingCommandFailsAndTheRuleLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script{lasts: 10 * ms, onLaunch: func(n int, s *script) {
			if n == 1 {
				s.missing = errors.New("no such file")
			}
		}}
		b := newBenchWith(t, Options{Jobs: 1}, map[string]script{"a": s}, task("a"))
		b.until(time.Second)
		b.wantState("a", Broken)
		b.save("x", "a")
		b.until(2 * time.Second)
		b.wantState("a", Idle)
		b.wantLog("0s start a start []", "1s start a change [x]", "1.01s end a 0")
		b.end()
	})
}

func TestRunForNoFileIsSkippedAndNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {skip: true}, "b": {lasts: 10 * ms}}, task("a"), task("b", "a"))
		b.until(time.Second)
		b.wantState("a", Idle)
		if n := b.count(EventSkipped, "a"); n != 1 {
			t.Errorf("got %d skipped, want 1", n)
		}
		b.end()
	})
}
