package runner

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
	"github.com/flinch-run/flinch/runner/ready"
)

// life is one run from the launch to its last process. Only the goroutine of
// live touches it, but for ctx, cancel, and tree, which is set before Started is
// reported.
type life struct {
	p      *Processes
	launch Launch
	rule   *Rule
	ctx    context.Context // ends when the run is over, or given up
	cancel context.CancelCauseFunc

	built  *command.Result
	probe  *ready.Probe // nil: none
	stream *output.Stream
	mode   output.Mode
	extra  []*os.File // listening sockets
	handed []string   // where they listen
	box    *inbox[process.Event]
	tree   *process.Tree
}

func (r *life) name() string { return strconv.FormatUint(uint64(r.launch.ID), 10) }

// live is the run's goroutine.
func (r *life) live() {
	over := r.run()
	over.Kind, over.Run = Over, r.launch.ID
	r.cancel(nil)
	r.cleanUp()
	r.p.mu.Lock()
	delete(r.p.lives, r.launch.ID)
	delete(r.p.mail, r.name())
	r.p.mu.Unlock()
	r.p.send(over)
}

// run prepares, starts and follows the process, and returns the last report.
func (r *life) run() Report {
	spec, err := r.prepare()
	switch {
	case err != nil:
		return Report{Err: err}
	case r.built.Empty:
		return Report{Skipped: true}
	case r.ctx.Err() != nil:
		return Report{Err: context.Cause(r.ctx)}
	}
	r.box = r.p.register(r.name())
	if r.rule.Clear && r.launch.Fresh && r.p.opt.Clear != nil {
		r.p.opt.Clear()
	}
	tree, err := r.start(spec)
	r.stream.Started()
	if err != nil {
		return Report{Err: err}
	}
	r.tree = tree
	if r.built.Note != "" {
		r.note(r.built.Note)
	}
	r.p.send(Report{Kind: Started, Run: r.launch.ID, PID: tree.PID()})
	r.watchReadiness()
	return r.follow()
}

// startLimit is how long a run that was given up is waited for: it may be held up by a file that cannot be read.
const startLimit = 3 * time.Second

// start starts the process. Of a run that was given up meanwhile, and does not come back, it reports so.
func (r *life) start(spec process.Spec) (*process.Tree, error) {
	started := make(chan struct{})
	defer close(started)
	r.p.work.Go(func() {
		select {
		case <-started:
			return
		case <-r.ctx.Done():
		}
		select {
		case <-started:
		case <-time.After(startLimit):
			r.p.send(Report{Kind: Stuck, Run: r.launch.ID, Text: "still being started: " + spec.Argv[0] + " cannot be read"})
		}
	})
	return r.p.opt.Host.Start(spec)
}

func (r *life) note(text string) { r.p.send(Report{Kind: Note, Run: r.launch.ID, Text: text}) }

// prepare makes all that the process is started with.
func (r *life) prepare() (process.Spec, error) {
	if err := r.build(); err != nil {
		return process.Spec{}, err
	}
	if r.built.Empty {
		return process.Spec{}, nil
	}
	if err := r.openStream(); err != nil {
		return process.Spec{}, err
	}
	spec := process.Spec{
		Run: r.name(), Argv: r.built.Argv, Dir: r.dir(), Env: r.built.Env,
		Stdin: r.built.Stdin, Stdout: r.stream.Stdout, Stderr: r.stream.Stderr,
		Leftovers: [...]process.Leftovers{KillLeftovers: process.LeaveNone, SessionLeftovers: process.LeaveDaemons, KeepLeftovers: process.LeaveAll}[r.rule.Leftovers],
	}
	spec.Terminal = r.mode == output.PTY
	spec.Interruptible = r.rule.sends(syscall.SIGINT)
	if r.rule.Input == InputTerminal {
		spec.Stdin, spec.Foreground, spec.Terminal = os.Stdin, true, false
	}
	if len(r.extra) > 0 {
		spec.Extra, spec.ListenPID = r.extra, true
	}
	return spec, nil
}

func (r *life) dir() string {
	if r.rule.Dir == "" {
		return r.p.root()
	}
	return r.rule.Dir
}

// build makes arguments, environment and standard input.
func (r *life) build() (err error) {
	env, err := r.environment()
	if err != nil {
		return err
	}
	req := command.Request{
		Rule: r.rule.Name, Run: r.name(), Reason: r.launch.Reason.String(), Root: r.p.root(), Dir: r.dir(),
		AllFiles: func() []string { return r.p.allFiles(r.rule.Name) }, Env: env, TempDir: r.p.opt.TempDir,
		Input: map[Input]command.Input{InputPaths: command.InputPaths, InputJSON: command.InputJSON}[r.rule.Input],
	}
	req.Changes = make([]command.Change, len(r.launch.Changes))
	for i, c := range r.launch.Changes {
		req.Changes[i] = r.p.change(c)
	}
	r.built, err = r.rule.Command.Build(req)
	return err
}

// change is a change as the command's package knows it.
func (p *Processes) change(c Change) command.Change {
	out := command.Change{Path: c.Path, From: c.From, Op: c.Op, Type: c.Type, Gone: c.Gone, Recovered: c.Recovered, Time: c.Time}
	if c.Root > 0 && c.Root < len(p.opt.Roots) {
		out.Root = p.opt.Roots[c.Root]
	}
	if c.Root < len(p.opt.RootNames) {
		out.RootName = p.opt.RootNames[c.Root]
	}
	return out
}

// environment is everything below FLINCH_*.
func (r *life) environment() ([]string, error) {
	below := command.Environ(r.p.opt.Env, r.rule.Env[:r.rule.GlobalEnv])
	var file []string
	for _, path := range r.rule.EnvFile {
		vars, err := command.ReadEnvFile(path, lookup(command.Environ(below, file)))
		if err != nil {
			return nil, err
		}
		file = append(file, vars...)
	}
	sockets, err := r.listen()
	if err != nil {
		return nil, err
	}
	notify, err := r.openProbe()
	if err != nil {
		return nil, err
	}
	return command.Environ(below, file, r.rule.Env[r.rule.GlobalEnv:], sockets, notify), nil
}

func lookup(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, e := range env {
			if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
				return e[len(name)+1:], true
			}
		}
		return "", false
	}
}

func (r *life) openProbe() ([]string, error) {
	if !r.rule.service() || !r.rule.probed() {
		return nil, nil
	}
	var err error
	if r.probe, err = ready.New(r.rule.Ready, r.p.opt.TempDir); err != nil {
		return nil, err
	}
	return r.probe.Env(), nil
}

// streamOptions are the caller's, but for what the rule itself needs.
func (r *life) streamOptions() output.StreamOptions {
	opt := output.StreamOptions{Mode: output.Pipe, Prefix: true}
	if r.p.opt.Stream != nil {
		opt = r.p.opt.Stream(r.rule, r.launch.ID)
	}
	opt.Name = r.rule.Name
	switch {
	case r.rule.Input == InputTerminal:
		opt.Mode = output.Inherit
	case opt.Mode != output.Inherit:
	case r.rule.Ready.Log != nil || r.rule.Output.File != "":
		// Its lines have to be seen, which nobody can who only passes the terminal on.
		opt.Mode = output.Pipe
		if r.p.opt.Printer.Terminal() {
			opt.Mode = output.PTY
		}
	}
	return opt
}

func (r *life) openStream() error {
	opt := r.streamOptions()
	r.mode = opt.Mode
	file, err := r.p.file(r.rule)
	if err != nil {
		return err
	}
	opt.File = file
	if probe, tap := r.probe, opt.Tap; probe != nil && r.rule.Ready.Log != nil {
		opt.Tap = func(l output.Line) {
			probe.Line(l.Text)
			if tap != nil {
				tap(l)
			}
		}
	}
	r.stream, err = r.p.opt.Printer.Open(opt)
	return err
}

// watchReadiness reports when the service is ready, or will not be.
func (r *life) watchReadiness() {
	if r.probe == nil {
		return
	}
	if n := r.probe.Notify(); n != nil {
		r.p.work.Go(func() { r.receive(n) })
	}
	r.p.work.Go(func() {
		err := r.probe.Wait(r.ctx, r.deps())
		switch {
		case err == nil:
			r.p.send(Report{Kind: BecameReady, Run: r.launch.ID})
		case r.ctx.Err() == nil:
			r.p.send(Report{Kind: NotReady, Run: r.launch.ID, Err: err})
		}
	})
}

// receive passes on what the run says on its notify socket, until that is closed.
func (r *life) receive(n *ready.Notify) {
	for {
		m, err := n.Receive(func(pid int) bool {
			for _, p := range r.tree.Members() {
				if p.PID == pid {
					return true
				}
			}
			return false
		})
		if err != nil {
			return
		}
		r.probe.Message(m)
	}
}

func (r *life) deps() ready.Deps {
	handed := r.handedPorts()
	return ready.Deps{
		Listening: func() (own []netip.AddrPort) {
			for _, a := range r.tree.Listening() {
				if !handed[a] {
					own = append(own, a)
				}
			}
			return own
		},
		Holder: func(port uint16) (ready.Holder, bool) {
			p, ours, found := holder(r.tree, port)
			return ready.Holder{PID: p.PID, Name: p.Name, Ours: ours}, found
		},
		Exec: func(ctx context.Context, argv []string) (int, error) {
			return r.p.execute(ctx, process.Spec{Run: "ready of " + r.name(), Argv: argv, Dir: r.dir(), Env: r.built.Env})
		},
	}
}

// follow reports what the process does, to its end.
func (r *life) follow() Report {
	for {
		e, ok := r.box.get()
		if !ok {
			return Report{Err: errCancelled}
		}
		switch e.Kind {
		case process.Exited:
			<-r.stream.Drain()
			r.p.send(Report{Kind: Exited, Run: r.launch.ID, Exit: e.Status.ExitCode(), Signal: e.Status.Signal})
		case process.Over:
			<-r.stream.Close()
			return Report{Exit: e.Status.ExitCode(), Signal: e.Status.Signal}
		case process.Stuck:
			r.p.send(Report{Kind: Stuck, Run: r.launch.ID, Text: "still there after SIGKILL: " + listed(e.Procs, process.Proc.Where)})
		default:
			r.noteEvent(e)
		}
	}
}

// noteEvent says what the user should know of.
func (r *life) noteEvent(e process.Event) {
	switch e.Kind {
	case process.Stopped:
		text := fmt.Sprintf("stopped by %v", e.Signal)
		if e.Signal == syscall.SIGTTIN || e.Signal == syscall.SIGTTOU {
			text += `: it wants the terminal; give it that with input = "terminal"`
		}
		r.note(text)
	case process.Swept:
		r.note("left behind and killed: " + names(e.Procs))
	case process.Left:
		r.note("left running: " + names(e.Procs))
	case process.Killed:
		r.note("did not stop in time, killed: " + names(e.Procs))
	case process.Exited, process.Over, process.Continued, process.Stuck:
	}
}

// cleanUp gives back what prepare opened.
func (r *life) cleanUp() {
	if r.probe != nil {
		r.probe.Close()
	}
	if r.stream != nil {
		r.stream.Started()
		<-r.stream.Close()
	}
	if r.built != nil {
		r.built.Close()
	}
}
