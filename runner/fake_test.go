package runner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pretend is a Host without processes, for the clock of synctest. What a run
// does is up to the script of its rule.
type pretend struct {
	reports chan Report
	scripts map[string]script
	files   []string

	onStart, onEnd map[string]func(at time.Time) // called by the run

	mu    sync.Mutex
	runs  map[RunID]*pretended
	log   []string
	began time.Time
	pid   int
	wg    sync.WaitGroup
	hooks sync.WaitGroup
}

// script is what a pretended run does.
type script struct {
	lasts    time.Duration // then it ends with exit; 0: for ever
	exit     int
	ready    time.Duration // after which it is ready; negative: never, and says so at 30 s
	stop     time.Duration // from the stop signal to the end
	deaf     bool          // ignores the stop signal
	missing  error         // cannot be started
	skip     bool          // has no file to run for
	onLaunch func(n int, s *script)
}

type pretended struct {
	launch Launch
	stop   chan time.Duration // to the end from now
	done   chan struct{}
	over   bool
}

func newPretend(scripts map[string]script) *pretend {
	return &pretend{reports: make(chan Report), scripts: scripts, runs: make(map[RunID]*pretended), began: time.Now(), pid: 100}
}

func (p *pretend) logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprintf("%v ", time.Since(p.began))+fmt.Sprintf(format, args...))
}

func (p *pretend) Reports() <-chan Report { return p.reports }
func (p *pretend) Configure([]*Rule)      {}
func (p *pretend) Close() error           { p.wg.Wait(); return nil }

func (p *pretend) Launch(l Launch) {
	p.mu.Lock()
	s := p.scripts[l.Rule.Name]
	r := &pretended{launch: l, stop: make(chan time.Duration, 16), done: make(chan struct{})}
	p.runs[l.ID] = r
	p.pid++
	pid := p.pid
	if s.onLaunch != nil {
		s.onLaunch(p.started(l.Rule.Name), &s)
	}
	p.mu.Unlock()
	what := strings.Join(paths(l.Changes), ",")
	p.logf("start %s %v [%s]", l.Rule.Name, l.Reason, what)
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		p.play(r, s, pid)
	}()
}

// started counts the launches of a rule; mu is held.
func (p *pretend) started(rule string) (n int) {
	for _, r := range p.runs {
		if r.launch.Rule.Name == rule {
			n++
		}
	}
	return n
}

func (p *pretend) play(r *pretended, s script, pid int) {
	id, name := r.launch.ID, r.launch.Rule.Name
	defer close(r.done)
	if s.missing != nil || s.skip {
		p.reports <- Report{Kind: Over, Run: id, Err: s.missing, Skipped: s.skip}
		return
	}
	p.reports <- Report{Kind: Started, Run: id, PID: pid}
	p.hook(p.onStart, name)
	var life, readiness, refusal, killed <-chan time.Time
	if s.lasts > 0 {
		life = time.After(s.lasts)
	}
	if r.launch.Rule.probed() {
		if s.ready >= 0 {
			readiness = time.After(s.ready)
		} else {
			refusal = time.After(r.launch.Rule.Ready.Timeout)
		}
	}
	end := Report{Kind: Over, Run: id, Exit: s.exit}
	for {
		select {
		case <-readiness:
			p.reports <- Report{Kind: BecameReady, Run: id}
		case <-refusal:
			p.reports <- Report{Kind: NotReady, Run: id, Err: fmt.Errorf("not ready after %v", r.launch.Rule.Ready.Timeout)}
		case grace := <-r.stop:
			if s.deaf || grace == 0 {
				s.stop = grace
			}
			killed = time.After(min(s.stop, grace))
			end.Exit, end.Signal = 143, syscall.SIGTERM
		case <-killed:
			p.finish(name, r, end)
			return
		case <-life:
			p.finish(name, r, end)
			return
		}
	}
}

func (p *pretend) finish(name string, r *pretended, end Report) {
	p.logf("end %s %d", name, end.Exit)
	p.mu.Lock()
	r.over = true
	p.mu.Unlock()
	p.hook(p.onEnd, name)
	p.reports <- Report{Kind: Exited, Run: end.Run, Exit: end.Exit, Signal: end.Signal}
	p.reports <- end
}

// hook calls what a test wants to happen at this moment, on its own goroutine.
func (p *pretend) hook(hooks map[string]func(time.Time), name string) {
	p.mu.Lock()
	f := hooks[name]
	p.mu.Unlock()
	if f == nil {
		return
	}
	p.hooks.Add(1)
	go func() {
		defer p.hooks.Done()
		f(time.Now())
	}()
}

func (b *bench) onStart(rule string, f func(time.Time)) { b.hooked(&b.host.onStart, rule, f) }
func (b *bench) after(rule string, f func(time.Time))   { b.hooked(&b.host.onEnd, rule, f) }

func (b *bench) hooked(hooks *map[string]func(time.Time), rule string, f func(time.Time)) {
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	if *hooks == nil {
		*hooks = make(map[string]func(time.Time))
	}
	(*hooks)[rule] = f
}

func (p *pretend) get(id RunID) *pretended {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runs[id]
}

func (p *pretend) Cancel(RunID) {}

func (p *pretend) Signal(id RunID, sig syscall.Signal) {
	p.logf("signal %s %v", p.get(id).launch.Rule.Name, sig)
}

func (p *pretend) Stop(id RunID, _ syscall.Signal, grace time.Duration) {
	r := p.get(id)
	p.logf("stop %s", r.launch.Rule.Name)
	r.stop <- grace
}

func (p *pretend) Kill(id RunID) {
	r := p.get(id)
	p.logf("kill %s", r.launch.Rule.Name)
	r.stop <- 0
}

func (p *pretend) Suspend() {
	p.logf("suspend")
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		time.Sleep(100 * ms)
		p.reports <- Report{Kind: Suspended}
	}()
}

func (p *pretend) Resume() { p.logf("resume") }

func (p *pretend) List(rule string, token uint64) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		p.reports <- Report{Kind: Listed, Rule: rule, Token: token, Files: p.files}
	}()
}

// bench runs a Runner over a pretended host inside a synctest bubble.
type bench struct {
	t       *testing.T
	host    *pretend
	runner  *Runner
	waves   chan Wave
	marks   chan uint64
	done    chan Result
	watched chan struct{} // closed when watch is done
	began   time.Time
	delay   time.Duration // after which a mark comes back

	mu      sync.Mutex
	events  []Event
	replied []time.Duration
}

// newBench starts the rules with their scripts. Marks come back at once.
func newBench(t *testing.T, scripts map[string]script, rules ...Rule) *bench {
	return newBenchWith(t, Options{Jobs: 8}, scripts, rules...)
}

func newBenchWith(t *testing.T, opt Options, scripts map[string]script, rules ...Rule) *bench {
	b := &bench{
		t: t, host: newPretend(scripts), waves: make(chan Wave), marks: make(chan uint64, 1000),
		done: make(chan Result, 1), watched: make(chan struct{}), began: time.Now(),
	}
	opt.Host, opt.Rules, opt.Events = b.host, rules, b.event
	opt.Mark = func(id uint64) { b.marks <- id }
	b.runner = New(opt)
	go b.watch()
	go func() {
		res := b.runner.Run(t.Context(), b.waves)
		close(b.marks)
		b.done <- res
	}()
	synctest.Wait()
	return b
}

func (b *bench) event(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
}

// watch gives marks back after what came before them.
func (b *bench) watch() {
	defer close(b.watched)
	for id := range b.marks {
		at := time.Now()
		time.Sleep(b.delay)
		select {
		case b.waves <- Wave{Marks: []Mark{{ID: id, Time: at}}}:
		case <-b.runner.closed:
		}
	}
}

// save is a wave of one change for the rules.
func (b *bench) save(path string, rules ...string) {
	b.change(Change{Path: path, Op: "write", Type: "file", Time: time.Now()}, rules...)
}

func (b *bench) change(c Change, rules ...string) {
	b.t.Helper()
	w := Wave{}
	for _, r := range rules {
		w.Triggers = append(w.Triggers, Trigger{Rule: r, Changes: []Change{c}, First: c.Time, Last: c.Time})
	}
	b.send(w)
	synctest.Wait()
}

func (b *bench) send(w Wave) {
	select {
	case b.waves <- w:
	case <-b.runner.closed:
	}
}

// sleep lets time pass and everything that is due happen.
func (b *bench) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// until sleeps up to a moment since the beginning.
func (b *bench) until(d time.Duration) { b.sleep(d - time.Since(b.began)) }

func (b *bench) do(req Request) Reply {
	b.t.Helper()
	rep, err := b.runner.Do(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("%v: %v", req, err)
	}
	synctest.Wait()
	return rep
}

func (b *bench) state(rule string) State {
	b.t.Helper()
	return b.do(Request{Verb: DoStatus, Rules: []string{rule}}).Status.Rules[0].State
}

func (b *bench) wantState(rule string, want State) {
	b.t.Helper()
	if got := b.state(rule); got != want {
		b.t.Errorf("at %v: state of %s is %v, want %v", time.Since(b.began), rule, got, want)
	}
}

// wantLog compares what the host was asked for, and forgets it.
func (b *bench) wantLog(want ...string) {
	b.t.Helper()
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	if !slices.Equal(b.host.log, want) {
		b.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(b.host.log, "\n\t"), strings.Join(want, "\n\t"))
	}
	b.host.log = nil
}

// count counts events of a kind about a rule.
func (b *bench) count(kind EventKind, rule string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == kind && (rule == "" || e.Rule == rule) {
			n++
		}
	}
	return n
}

// find is the last event of a kind about a rule.
func (b *bench) find(kind EventKind, rule string) (Event, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range slices.Backward(b.events) {
		if e.Kind == kind && e.Rule == rule {
			return e, true
		}
	}
	return Event{}, false
}

// end lets everything stop.
func (b *bench) end() Result {
	b.t.Helper()
	b.runner.Do(b.t.Context(), Request{Verb: DoQuit})
	res := <-b.done
	<-b.watched
	b.host.hooks.Wait()
	return res
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
