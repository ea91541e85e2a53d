package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryPairHasAnAnswer(t *testing.T) {
	for p, row := range answers() {
		if phaseNames[p] == "" {
			t.Errorf("phase %d has no name", p)
		}
		for in, a := range row {
			if a == nil {
				t.Errorf("%v has no answer to %v", phase(p), input(in))
			}
		}
	}
}

func TestChangesDuringAPauseRunAtResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: 100 * ms}, "s": {}}, task("a"), service("s"))
		b.until(50 * ms)
		b.do(Request{Verb: DoPause})
		b.until(time.Second)
		b.wantState("a", Paused)
		b.wantState("s", Ready)
		b.save("x", "a", "s")
		b.save("y", "a")
		b.until(2 * time.Second)
		b.wantLog("0s start a start []", "0s start s start []", "100ms end a 0")
		b.do(Request{Verb: DoTrigger, Rules: []string{"s"}})
		b.until(3 * time.Second)
		b.wantLog("2s stop s", "2s end s 143", "2s start s trigger [x]")
		b.do(Request{Verb: DoResume})
		b.until(4 * time.Second)
		b.wantLog("3s start a change [x,y]", "3.1s end a 0")
		b.end()
	})
}

func TestStoppedRuleIsDeafUntilTriggerOrRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"s": {stop: 10 * ms}}, service("s"))
		b.until(time.Second)
		b.do(Request{Verb: DoStop, Rules: []string{"s"}})
		b.until(2 * time.Second)
		b.save("x", "s")
		b.until(3 * time.Second)
		b.wantState("s", Idle)
		b.wantLog("0s start s start []", "1s stop s", "1.01s end s 143")
		if e, _ := b.find(EventSuppressed, "s"); e.Why != "the rule is stopped" {
			t.Errorf("got %q", e.Why)
		}
		for i, verb := range []Verb{DoTrigger, DoRestart} {
			b.do(Request{Verb: verb, Rules: []string{"s"}})
			b.sleep(time.Second)
			b.wantState("s", Ready)
			b.do(Request{Verb: DoStop, Rules: []string{"s"}})
			b.sleep(time.Second)
			if n := len(b.starts("s")); n != i+2 {
				t.Errorf("got %d starts, want %d", n, i+2)
			}
		}
		b.end()
	})
}

func TestStopDuringBackoffAndDuringAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"s": {lasts: 10 * ms, exit: 1, ready: time.Hour}}, service("s"))
		b.until(100 * ms)
		b.do(Request{Verb: DoStop, Rules: []string{"s"}})
		b.until(time.Second)
		b.do(Request{Verb: DoTrigger, Rules: []string{"s"}})
		b.do(Request{Verb: DoStop, Rules: []string{"s"}})
		b.until(5 * time.Second)
		b.wantLog("0s start s start []", "10ms end s 1", "1s start s trigger []", "1s stop s", "1s end s 143")
		b.wantState("s", Idle)
		b.end()
	})
}

func TestTriggerHandsPathsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.AtStart = false
		b := newBench(t, map[string]script{"a": {lasts: 10 * ms}}, a)
		b.do(Request{Verb: DoTrigger, Rules: []string{"a"}, Changes: []Change{{Path: "p", Op: "write"}}})
		b.sleep(time.Second)
		b.wantLog("0s start a trigger [p]", "10ms end a 0")
		_, err := b.runner.Do(t.Context(), Request{Verb: DoTrigger, Rules: []string{"aa"}})
		var unknown *UnknownRuleError
		if !errors.As(err, &unknown) || unknown.Hint() != "the rules are a" {
			t.Errorf("got %v, want an unknown rule", err)
		}
		b.end()
	})
}

func TestQuitStopsInReverseOrderIndependentOnesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"db": {stop: 100 * ms}, "cache": {stop: 200 * ms}, "app": {stop: 300 * ms}, "proxy": {stop: 50 * ms}},
			service("db"), service("cache"), service("app", "db", "cache"), service("proxy", "app"))
		b.until(time.Second)
		b.host.log = nil
		res := b.end()
		b.wantLog("1s stop proxy", "1.05s end proxy 143", "1.05s stop app", "1.35s end app 143", "1.35s stop cache", "1.35s stop db",
			"1.45s end db 143", "1.55s end cache 143")
		if f := res.Failed(); f != nil {
			t.Errorf("got %+v failed", f)
		}
	})
}

func TestQuitKeepsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(name string, needs ...string) Rule {
			s := service(name, needs...)
			s.StopTimeout = time.Minute
			return s
		}
		b := newBenchWith(t, Options{Jobs: 4, StopBudget: 8 * time.Second}, map[string]script{"a": {deaf: true}, "b": {deaf: true}}, slow("a"), slow("b", "a"))
		b.until(time.Second)
		b.end()
		if got := time.Since(b.began); got != 9*time.Second {
			t.Errorf("ended at %v, want 9s", got)
		}
	})
}

func TestSecondQuitKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {deaf: true}, "b": {deaf: true}}, service("a"), service("b", "a"))
		b.until(time.Second)
		b.do(Request{Verb: DoQuit})
		b.until(1100 * ms)
		b.end()
		if got := time.Since(b.began); got != 1100*ms {
			t.Errorf("ended at %v, want 1.1s", got)
		}
	})
}

// A process that nothing can kill keeps its rule from starting again, but not
// flinch from ending.
func TestStuckRunDoesNotHoldUpTheEnd(t *testing.T) {
	m := newMachine(Options{Jobs: 2, Host: silent{}, StopBudget: time.Second})
	m.now = time.Now()
	m.setRules([]Rule{service("a")})
	m.advance()
	m.report(Report{Kind: Started, Run: 1, PID: 100})
	m.restart([]*job{m.jobs["a"]})
	m.advance()
	m.report(Report{Kind: Stuck, Run: 1, Text: "sleep (pid 100)"})
	m.advance()
	if got := m.state(m.jobs["a"]); got != Stopping || m.lastRun != 1 {
		t.Errorf("got %v after %d starts, want stopping after 1", got, m.lastRun)
	}
	m.quit()
	m.advance()
	if !m.done() {
		t.Error("the stuck run holds up the end")
	}
}

func TestSignalGoesToWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {}, "b": {}, "c": {lasts: ms}}, service("a"), service("b"), task("c"))
		b.until(time.Second)
		b.host.log = nil
		b.do(Request{Verb: DoSignal, Rules: []string{"a", "c"}, Signal: syscall.SIGUSR2})
		b.do(Request{Verb: DoSignal, Signal: syscall.SIGUSR2}) // nobody has the terminal
		b.wantLog("1s signal a user defined signal 2")
		b.end()
	})
}

// Without a watcher's barriers nothing waits for one.
func TestWithoutMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newPretend(map[string]script{"a": {lasts: 100 * ms}, "b": {lasts: 100 * ms}})
		r := New(Options{Rules: []Rule{task("a"), task("b", "a")}, Host: host})
		done := make(chan Result, 1)
		go func() { done <- r.Run(t.Context(), nil) }()
		rep, err := r.Do(t.Context(), Request{Verb: DoWait})
		if err != nil || time.Since(host.began) != 200*ms || len(rep.Status.Rules) != 2 {
			t.Errorf("got %v, %v after %v, want both rules after 200ms", rep, err, time.Since(host.began))
		}
		r.Do(t.Context(), Request{Verb: DoQuit})
		<-done
	})
}

func TestClosedWavesAndEndedContextStopEverything(t *testing.T) {
	for _, closes := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			host := newPretend(map[string]script{"a": {stop: 10 * ms}})
			waves := make(chan Wave)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(time.Second, func() {
				if closes {
					close(waves)
				} else {
					cancel()
				}
			})
			r := New(Options{Rules: []Rule{service("a")}, Host: host})
			r.Run(ctx, waves)
			if got := time.Since(host.began); got != 1010*ms {
				t.Errorf("ended at %v, want 1.01s", got)
			}
			if _, err := r.Do(t.Context(), Request{Verb: DoStatus}); !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want ErrClosed", err)
			}
		})
	}
}

func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name    string
			scripts map[string]script
			log     []string
			failed  string
		}{
			{"good", map[string]script{"build": {lasts: 100 * ms}, "app": {ready: 20 * ms, stop: 10 * ms}, "e2e": {lasts: 50 * ms}}, []string{
				"0s start build start []", "100ms end build 0", "100ms start app start []", "120ms start e2e start []", "170ms end e2e 0",
				"170ms stop app", "180ms end app 143"}, ""},
			{"failed build", map[string]script{"build": {lasts: 100 * ms, exit: 3}, "app": {}, "e2e": {}}, []string{
				"0s start build start []", "100ms end build 3"}, "build"},
			{"service crashes", map[string]script{"build": {lasts: 100 * ms}, "app": {lasts: 10 * ms, exit: 1, ready: time.Hour}, "e2e": {}}, []string{
				"0s start build start []", "100ms end build 0", "100ms start app start []", "110ms end app 1"}, "app"},
		} {
			e2e := task("e2e", "app")
			e2e.AtStart = false
			host := newPretend(c.scripts)
			res := New(Options{Rules: []Rule{task("build"), service("app", "build"), e2e}, Host: host, Once: true, Jobs: 2}).Run(t.Context(), nil)
			b := &bench{t: t, host: host}
			b.wantLog(c.log...)
			switch f := res.Failed(); {
			case f == nil && c.failed != "", f != nil && f.Name != c.failed:
				t.Errorf("%s: got %+v failed, want %q", c.name, f, c.failed)
			case f != nil && f.Last.Exit == 0:
				t.Errorf("%s: got exit 0 of a failure", c.name)
			}
		}
	})
}

func TestSetRulesTouchesOnlyWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {stop: 10 * ms}, "b": {stop: 10 * ms}, "c": {stop: 20 * ms}, "d": {}, "e": {lasts: 10 * ms}},
			service("a"), service("b"), service("c"), task("e"))
		b.until(time.Second)
		b.host.log = nil
		changed := service("b")
		changed.Env = []string{"X=1"}
		b.do(Request{Verb: DoSetRules, Set: []Rule{service("a"), changed, service("d"), task("e")}})
		b.until(2 * time.Second)
		b.wantLog("1s stop c", "1s stop b", "1s start d start []", "1.01s end b 143", "1.01s start b start []", "1.02s end c 143")
		if got := len(b.do(Request{Verb: DoStatus}).Status.Rules); got != 4 {
			t.Errorf("got %d rules, want 4", got)
		}
		b.do(Request{Verb: DoSetRules, Set: []Rule{service("a"), changed, service("d"), task("e"), service("c")}})
		b.do(Request{Verb: DoSetRules, Set: []Rule{service("a"), changed, service("d"), task("e")}})
		b.do(Request{Verb: DoSetRules, Set: []Rule{service("a"), changed, service("d"), task("e"), service("c")}})
		b.until(3 * time.Second)
		b.wantState("c", Ready)
		if got := b.count(EventOver, "c"); got != 2 {
			t.Errorf("got %d ends of c, want 2", got)
		}
		b.end()
	})
}

func TestWaitIsForWhatCameBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		test := script{lasts: 200 * ms, onLaunch: func(n int, s *script) { s.exit = map[int]int{2: 1}[n] }}
		b := newBench(t, map[string]script{"build": {lasts: 100 * ms}, "test": test, "app": {ready: 50 * ms}},
			task("build"), task("test", "build"), service("app", "build"))
		b.until(time.Second)
		wait := func(rules ...string) <-chan Reply {
			replies := make(chan Reply, 1)
			go func() {
				rep, _ := b.runner.Do(t.Context(), Request{Verb: DoWait, Rules: rules})
				rep.Err = nil
				b.mu.Lock()
				defer b.mu.Unlock()
				b.replied = append(b.replied, time.Since(b.began))
				replies <- rep
			}()
			synctest.Wait()
			return replies
		}
		verdicts := func(rep Reply) (list []string) {
			for _, r := range rep.Status.Rules {
				list = append(list, r.Name+" "+r.Verdict.String())
			}
			return list
		}
		want := func(replies <-chan Reply, at time.Duration, list ...string) {
			t.Helper()
			rep := <-replies
			b.mu.Lock()
			defer b.mu.Unlock()
			if got := b.replied[len(b.replied)-1]; got != at {
				t.Errorf("replied at %v, want %v", got, at)
			}
			if got := verdicts(rep); len(got) != len(list) {
				t.Errorf("got %v, want %v", got, list)
			} else {
				for i := range got {
					if got[i] != list[i] {
						t.Errorf("got %v, want %v", got, list)
					}
				}
			}
		}
		want(wait(), time.Second, "build green", "test green", "app green")
		b.save("x", "build", "test")
		want(wait("app"), 1150*ms, "build green", "app green")
		want(wait("test"), 1300*ms, "build green", "test failed")

		// A change after the call does not hold it up, but for what it delays.
		b.until(2 * time.Second)
		b.save("y", "test")
		w := wait("test")
		b.until(2100 * ms)
		b.save("z", "test")
		want(w, 2200*ms, "build green", "test green")
		want(wait(), 2400*ms, "build green", "test green", "app green")
		b.end()
	})
}

// What a run writes may be another rule's business, though neither needs the
// other: who waits for both waits for that, too.
func TestWaitFollowsWhatRunsWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"gen": {lasts: 100 * ms}, "build": {lasts: 200 * ms}}, task("gen"), task("build"))
		b.until(time.Second)
		b.delay = 10 * ms
		b.echo("gen", "gen.go", "build")
		b.save("x", "gen")
		rep := b.do(Request{Verb: DoWait})
		if got := time.Since(b.began); got != 1310*ms {
			t.Errorf("replied at %v, want 1.31s", got)
		}
		if got := rep.Status.Rules[1].Last.Changed; len(got) != 1 || got[0].Path != "gen.go" {
			t.Errorf("got the verdict on %v, want that on gen.go", got)
		}
		b.end()
	})
}

func TestWaitEndsWithTheRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{"a": {lasts: time.Hour}}, task("a"))
		errs := make(chan error, 1)
		go func() {
			_, err := b.runner.Do(t.Context(), Request{Verb: DoWait})
			errs <- err
		}()
		b.sleep(time.Second)
		b.end()
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestSuspendStopsAllClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := task("a")
		a.Timeout = 2 * time.Second
		b := newBench(t, map[string]script{"a": {lasts: time.Hour}, "s": {lasts: 900 * ms, exit: 1}}, a, service("s"))
		b.until(time.Second)
		b.do(Request{Verb: DoSuspend})
		if got := time.Since(b.began); got != 1100*ms {
			t.Errorf("suspended at %v, want 1.1s", got)
		}
		b.save("x", "s")
		b.until(time.Minute)
		b.wantLog("0s start a start []", "0s start s start []", "900ms end s 1", "1s suspend")
		b.do(Request{Verb: DoContinue})
		b.until(time.Minute + 2*time.Second)
		b.wantLog("1m0s resume", "1m0s start s change [x]", "1m0.9s end s 1", "1m1s stop a", "1m1s end a 143", "1m1.15s start s restart []")
		b.end()
	})
}

// The words that users meet are the contract's.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		got  []fmt.Stringer
		want string
	}{
		{[]fmt.Stringer{Idle, Waiting, Starting, Running, Ready, Stopping, Backoff, Held, Blocked, Broken, Paused},
			"[idle waiting starting running ready stopping backoff held blocked failed paused]"},
		{[]fmt.Stringer{ReasonStart, ReasonChange, ReasonNeed, ReasonTrigger, ReasonRestart}, "[start change need trigger restart]"},
		{[]fmt.Stringer{Task, Service}, "[task service]"},
		{[]fmt.Stringer{Queue, Replace, Skip, SendSignal}, "[queue restart skip signal]"},
		{[]fmt.Stringer{OnFailure, Always, Never}, "[on-failure always never]"},
		{[]fmt.Stringer{ContentAuto, ContentAlways, ContentNever}, "[auto always never]"},
		{[]fmt.Stringer{KillLeftovers, SessionLeftovers, KeepLeftovers}, "[kill session keep]"},
		{[]fmt.Stringer{InputNone, InputTerminal, InputPaths, InputJSON}, "[none terminal paths json]"},
		{[]fmt.Stringer{Succeeded, Failed, Superseded, Halted, Skipped}, "[succeeded failed superseded stopped skipped]"},
		{[]fmt.Stringer{Green, VerdictFailed, VerdictBlocked, VerdictHeld, VerdictBackoff}, "[green failed blocked held backoff]"},
	} {
		if got := fmt.Sprint(c.got); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	for k, name := range eventNames {
		if name == "" {
			t.Errorf("event %d has no name", k)
		}
	}
	if b, err := json.Marshal(Backoff); err != nil || string(b) != `"backoff"` {
		t.Errorf("got %s %v", b, err)
	}
}
