package runner

import (
	"testing"
	"testing/synctest"
	"time"
)

func overlapping(name string) Rule {
	r := service(name)
	r.Overlap = true
	return r
}

func TestHandoverStartsTheNewBeforeItStopsTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: 300 * ms, stop: 100 * ms}}, overlapping("a"))
		b.until(time.Second)
		b.save("x", "a")
		b.until(1100 * ms)
		b.wantState("a", Starting)
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "1s start a change [x]", "1.3s stop a", "1.4s end a 143")
		b.wantState("a", Ready)
		b.end()
	})
}

func TestFailedHandoverKeepsTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []script{
			{onLaunch: func(n int, s *script) {
				if n == 2 {
					s.lasts, s.exit, s.ready = 50*ms, 1, time.Hour
				}
			}},
			{onLaunch: func(n int, s *script) {
				if n == 2 {
					s.ready = -1
				}
			}},
		} {
			b := newBench(t, map[string]script{"a": s}, overlapping("a"))
			b.until(time.Second)
			b.save("x", "a")
			b.until(60 * time.Second)
			st := b.do(Request{Verb: DoStatus}).Status.Rules[0]
			if st.State != Broken || st.PID != 101 {
				t.Errorf("got %v with pid %d, want failed with the old one's 101", st.State, st.PID)
			}
			b.host.log = nil
			b.save("y", "a")
			b.until(61 * time.Second)
			b.wantLog("1m0s start a change [y]", "1m0s stop a", "1m0s end a 143")
			b.wantState("a", Ready)
			b.end()
		}
	})
}

func TestChangeDuringHandoverReplacesTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {ready: 300 * ms, stop: 50 * ms}}, overlapping("a"))
		b.until(time.Second)
		b.save("x", "a")
		b.until(1100 * ms)
		b.save("y", "a")
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "1s start a change [x]", "1.1s stop a", "1.15s end a 143", "1.15s start a change [x,y]",
			"1.45s stop a", "1.5s end a 143")
		b.end()
	})
}

// The old one dies while the new one is starting: nothing is lost, and nothing
// is a crash.
func TestOldOneDiesDuringHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script{ready: 300 * ms, onLaunch: func(n int, s *script) {
			if n == 1 {
				s.lasts, s.exit = 1100*ms, 1
			}
		}}
		b := newBench(t, map[string]script{"a": s}, overlapping("a"))
		b.until(time.Second)
		b.save("x", "a")
		b.until(1200 * ms)
		b.wantState("a", Starting)
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "1s start a change [x]", "1.1s end a 1")
		b.wantState("a", Ready)
		b.end()
	})
}

func TestNewOneDiesWhileTheOldOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := script{ready: 300 * ms, stop: 500 * ms, onLaunch: func(n int, s *script) {
			if n == 2 {
				s.lasts, s.exit = 400*ms, 1
			}
		}}
		b := newBench(t, map[string]script{"a": s}, overlapping("a"))
		b.until(time.Second)
		b.save("x", "a")
		b.until(3 * time.Second)
		b.wantLog("0s start a start []", "1s start a change [x]", "1.3s stop a", "1.4s end a 1", "1.8s end a 143", "2.05s start a restart []")
		b.wantState("a", Ready)
		b.end()
	})
}
