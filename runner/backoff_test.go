package runner

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCrashingServiceIsStartedLaterAndLaterThenHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 10 * ms, exit: 1, ready: time.Hour}}, service("a"))
		b.until(100 * ms)
		b.wantState("a", Backoff)
		b.until(20 * time.Second)
		b.wantLog("0s start a start []", "10ms end a 1", "260ms start a restart []", "270ms end a 1", "770ms start a restart []",
			"780ms end a 1", "1.78s start a restart []", "1.79s end a 1", "3.79s start a restart []", "3.8s end a 1")
		b.wantState("a", Held)
		b.save("x", "a")
		b.until(20*time.Second + 5*ms)
		b.wantLog("20s start a change [x]")
		b.until(20*time.Second + 100*ms)
		b.save("y", "a")
		b.until(20*time.Second + 105*ms)
		b.wantLog("20.01s end a 1", "20.1s start a change [y]")
		b.end()
	})
}

func TestBackoffGrowsToEightSecondsForAServiceThatWasReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: time.Second, exit: 1}}, service("a"))
		b.until(48 * time.Second)
		b.wantLog("0s start a start []", "1s end a 1", "1.25s start a restart []", "2.25s end a 1", "2.75s start a restart []",
			"3.75s end a 1", "4.75s start a restart []", "5.75s end a 1", "7.75s start a restart []", "8.75s end a 1",
			"12.75s start a restart []", "13.75s end a 1", "21.75s start a restart []", "22.75s end a 1", "30.75s start a restart []",
			"31.75s end a 1", "39.75s start a restart []", "40.75s end a 1")
		b.end()
	})
}

func TestRestartPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := func(r Restart) Rule { s := service(r.String()); s.Restart = r; return s }
		for _, c := range []struct {
			policy Restart
			exit   int
			want   State
		}{
			{OnFailure, 0, Idle}, {OnFailure, 1, Backoff}, {Always, 0, Backoff}, {Always, 1, Backoff}, {Never, 0, Idle}, {Never, 1, Broken},
		} {
			b := newBench(t, map[string]script{c.policy.String(): {lasts: time.Second, exit: c.exit}}, rules(c.policy))
			b.until(1100 * ms)
			b.wantState(c.policy.String(), c.want)
			b.end()
		}
	})
}

// Ten saves 350 ms apart of a healthy server: each is one restart, at once.
func TestRequestedRestartsAreNotCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: 20 * ms, stop: 5 * ms}}, service("a"))
		b.until(time.Second)
		b.host.log = nil
		var want []string
		for i := range 10 {
			at := time.Second + time.Duration(i)*350*ms
			b.until(at)
			b.save("x", "a")
			want = append(want, at.String()+" stop a", (at+5*ms).String()+" end a 143", (at+5*ms).String()+" start a change [x]")
		}
		b.until(10 * time.Second)
		b.wantLog(want...)
		b.end()
	})
}

func TestServiceThatNeverGetsReadyIsStoppedAndHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: -1}, "b": {}}, service("a"), service("b", "a"))
		b.until(40 * time.Second)
		b.wantLog("0s start a start []", "30s stop a", "30s end a 143")
		b.wantState("a", Broken)
		b.wantState("b", Blocked)
		if e, _ := b.find(EventOver, "a"); e.Err == nil || e.Outcome != Failed {
			t.Errorf("got %v %v, want a failure that says why", e.Outcome, e.Err)
		}
		b.end()
	})
}

func TestChangeDuringAStartIsAnsweredBeforeItIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: time.Second}}, service("a"))
		b.until(500 * ms)
		b.save("x", "a")
		b.until(3 * time.Second)
		b.wantLog("0s start a start []", "500ms stop a", "500ms end a 143", "500ms start a start []")
		b.end()
	})
}
