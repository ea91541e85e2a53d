package runner

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailedBuildLeavesTheServerAndBlocksIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := map[int]bool{2: true}
		build := script{lasts: 100 * ms, onLaunch: func(n int, s *script) { s.exit = map[bool]int{true: 1}[fails[n]] }}
		b := newBench(t, map[string]script{"build": build, "app": {ready: 20 * ms, stop: 10 * ms}}, task("build"), service("app", "build"))
		b.until(time.Second)
		pid := b.do(Request{Verb: DoStatus, Rules: []string{"app"}}).Status.Rules[0].PID
		b.host.log = nil
		b.save("a.go", "build", "app")
		b.until(2 * time.Second)
		b.wantLog("1s start build change [a.go]", "1.1s end build 1")
		b.wantState("app", Blocked)
		b.wantState("build", Broken)
		if got := b.do(Request{Verb: DoStatus, Rules: []string{"app"}}).Status.Rules[0].PID; got != pid {
			t.Errorf("got pid %d, want the old %d", got, pid)
		}
		b.save("b.go", "build", "app")
		b.until(3 * time.Second)
		b.wantLog("2s start build change [b.go]", "2.1s end build 0", "2.1s stop app", "2.11s end app 143",
			"2.11s start app change [a.go,b.go]")
		b.wantState("app", Ready)
		b.end()
	})
}

func TestSaveDuringBuildNeverStartsFromTheStaleBuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, busy := range []Busy{Queue, Replace} {
			build := task("build")
			build.Busy = busy
			b := newBench(t, map[string]script{"build": {lasts: 100 * ms, stop: 5 * ms}, "test": {lasts: 50 * ms}, "app": {ready: 20 * ms}},
				build, task("test", "build"), service("app", "test"))
			b.until(time.Second)
			b.host.log = nil
			b.save("a.go", "build", "test", "app")
			b.sleep(50 * ms)
			b.save("b.go", "build", "test", "app")
			b.until(2 * time.Second)
			if busy == Queue {
				b.wantLog("1s start build change [a.go]", "1.1s end build 0", "1.1s start build change [b.go]", "1.2s end build 0",
					"1.2s start test change [a.go,b.go]", "1.25s end test 0", "1.25s stop app", "1.25s end app 143", "1.25s start app change [a.go,b.go]")
			} else {
				b.wantLog("1s start build change [a.go]", "1.05s stop build", "1.055s end build 143", "1.055s start build change [a.go,b.go]",
					"1.155s end build 0", "1.155s start test change [a.go,b.go]", "1.205s end test 0", "1.205s stop app",
					"1.205s end app 143", "1.205s start app change [a.go,b.go]")
			}
			b.end()
		}
	})
}

// What the needed run wrote is part of the start that it leads to, even where it
// is seen a while after its end.
func TestStartWaitsForWhatTheNeededRunWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"build": {lasts: 100 * ms}, "app": {ready: 20 * ms}}, task("build"), service("app", "build"))
		b.until(time.Second)
		b.host.log = nil
		b.delay = 10 * ms
		b.save("a.go", "build")
		b.until(1105 * ms)
		b.change(Change{Path: "bin/app", Op: "write", Time: b.began.Add(1090 * ms)}, "app")
		b.until(2 * time.Second)
		b.wantLog("1s start build change [a.go]", "1.1s end build 0", "1.11s stop app", "1.11s end app 143", "1.11s start app change [bin/app]")
		e, _ := b.find(EventStarted, "app")
		if want := []Cause{{"build", 3}}; !slices.Equal(e.Causes, want) {
			t.Errorf("causes: got %v, want %v", e.Causes, want)
		}
		b.end()
	})
}

func TestNeededServiceGatesAndRestartsItsDependants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"db": {ready: 300 * ms}, "app": {ready: 20 * ms}}, service("app", "db"), service("db"))
		b.until(time.Second)
		b.wantLog("0s start db start []", "300ms start app start []")
		b.do(Request{Verb: DoRestart, Rules: []string{"db"}})
		b.until(2 * time.Second)
		b.wantLog("1s stop db", "1s end db 143", "1s start db restart []", "1.3s stop app", "1.3s end app 143", "1.3s start app need []")
		b.end()
	})
}

func TestDiamondRunsItsEndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 10 * ms}, "b": {lasts: 20 * ms}, "c": {lasts: 90 * ms}, "d": {lasts: 10 * ms}},
			task("a"), task("b", "a"), task("c", "a"), task("d", "b", "c"))
		b.until(time.Second)
		b.host.log = nil
		b.save("x", "a")
		b.until(2 * time.Second)
		b.wantLog("1s start a change [x]", "1.01s end a 0", "1.01s start b need []", "1.01s start c need []", "1.03s end b 0",
			"1.1s end c 0", "1.1s start d need []", "1.11s end d 0")
		b.end()
	})
}

func TestRuleNotForTheStartIsNotStartedByItsNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deploy := task("deploy", "build")
		deploy.AtStart = false
		b := newBench(t, map[string]script{"build": {lasts: 100 * ms}, "deploy": {lasts: 10 * ms}}, task("build"), deploy)
		b.until(time.Second)
		b.wantLog("0s start build start []", "100ms end build 0")
		b.save("a.go", "build")
		b.until(2 * time.Second)
		b.wantLog("1s start build change [a.go]", "1.1s end build 0", "1.1s start deploy need []", "1.11s end deploy 0")
		b.end()
	})
}

func TestFailureAtTheStartBlocksDownTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		build := script{lasts: 100 * ms, onLaunch: func(n int, s *script) { s.exit = map[int]int{1: 2}[n] }}
		b := newBench(t, map[string]script{"build": build, "test": {lasts: 10 * ms}, "app": {}}, task("build"), task("test", "build"), service("app", "test"))
		b.until(time.Second)
		b.wantLog("0s start build start []", "100ms end build 2")
		b.wantState("test", Blocked)
		b.wantState("app", Blocked)
		b.save("app.conf", "app")
		b.until(2 * time.Second)
		b.wantLog()
		b.do(Request{Verb: DoTrigger, Rules: []string{"build"}})
		b.until(3 * time.Second)
		b.wantLog("2s start build trigger []", "2.1s end build 0", "2.1s start test start []", "2.11s end test 0", "2.11s start app start []")
		b.end()
	})
}

func TestJobsLimitsTasksAndStartingServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchWith(t, Options{Jobs: 2}, map[string]script{
			"a": {lasts: 100 * ms}, "b": {lasts: 150 * ms}, "c": {lasts: 10 * ms}, "s": {ready: 70 * ms},
		}, task("a"), task("b"), service("s"), task("c"))
		b.until(time.Second)
		b.wantLog("0s start a start []", "0s start b start []", "100ms end a 0", "100ms start s start []", "150ms end b 0",
			"150ms start c start []", "160ms end c 0")
		b.end()
	})
}
