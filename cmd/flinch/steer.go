package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/runner"
)

// listen begins to take signals and keys. It must have been called before the
// first run starts: a Ctrl-Z would stop flinch alone, and the end of a run would
// bring the terminal back to lines with echo.
func (s *session) listen(ctx context.Context) (signals chan os.Signal, keys chan byte) {
	signals, keys = make(chan os.Signal, 16), make(chan byte)
	signal.Notify(signals, append(enders(), unix.SIGTSTP, unix.SIGCONT, unix.SIGPIPE, unix.SIGWINCH)...)
	s.keyboard = s.openKeys(ctx, keys)
	return signals, keys
}

// steer turns signals and keys into requests to the runner, until the context
// ends. The first signal stops everything cleanly, the second kills.
func (s *session) steer(ctx context.Context, signals chan os.Signal, keys <-chan byte) {
	defer signal.Stop(signals)
	defer s.keyboard.suspend()
	for {
		select {
		case sig := <-signals:
			s.signal(ctx, sig.(unix.Signal))
		case <-s.quits:
			s.ask(ctx, runner.Request{Verb: runner.DoQuit})
		case key := <-keys:
			s.keyboard.resume() // a shell's `fg` does not tell a job that ran in the background
			s.key(ctx, key)
		case err := <-s.failed:
			s.failed <- err
			s.log.Error("the watch is lost", "error", err)
			s.ask(ctx, runner.Request{Verb: runner.DoQuit})
		case <-ctx.Done():
			return
		}
	}
}

// openKeys listens to keys, unless a rule has the terminal.
func (s *session) openKeys(ctx context.Context, keys chan<- byte) *keyboard {
	if s.once || s.plan().ownsTerminal() {
		return nil
	}
	k := openKeyboard(s.in)
	if k != nil {
		go k.read(ctx, keys)
	}
	return k
}

func (s *session) signal(ctx context.Context, sig unix.Signal) {
	switch sig {
	case unix.SIGPIPE: // the writer is told by its error
	case unix.SIGWINCH:
		s.printer.Resized()
	case unix.SIGTSTP:
		s.stopSelf(ctx)
	case unix.SIGCONT: // from outside, or the shell's `fg`
		s.keyboard.resume()
	default:
		if s.endedBy.CompareAndSwap(0, int32(sig)) {
			s.ask(ctx, runner.Request{Verb: runner.DoQuit})
			return
		}
		s.ask(ctx, runner.Request{Verb: runner.DoKill})
	}
}

// twice is the time within which two Ctrl-C in a row end flinch although a rule has the terminal.
const twice = time.Second

// interrupts ends flinch when the rule that has the terminal was ended by Ctrl-C twice in
// a row: the signal goes to the foreground job alone. Only the runner's loop calls it.
func (s *session) interrupts() func(runner.Event) {
	var last time.Time
	return func(e runner.Event) {
		r := s.plan().cfg.Rule(e.Rule)
		if e.Kind != runner.EventExited || e.Signal != unix.SIGINT || r == nil || r.Input != config.InputTerminal {
			return
		}
		if !last.IsZero() && time.Since(last) < twice {
			s.endedBy.CompareAndSwap(0, int32(unix.SIGINT))
			s.quit()
		}
		last = time.Now()
	}
}

// stopSelf is Ctrl-Z: all runs are stopped, the terminal is given back, then
// flinch stops itself. What follows happens after `fg`.
func (s *session) stopSelf(ctx context.Context) {
	s.ask(ctx, runner.Request{Verb: runner.DoSuspend})
	s.keyboard.suspend()
	stopHere()
	s.keyboard.resume()
	s.ask(ctx, runner.Request{Verb: runner.DoContinue})
}

// stopHere stops flinch, and returns when it goes on. Sent to the process, the signal could be taken by another thread, and
// this one would go on for a while, with the terminal that was just given back.
func stopHere() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
}

const keyHelp = "keys: r run all again, p pause or resume, s status, q quit, Ctrl-C stop"

func (s *session) key(ctx context.Context, key byte) {
	switch key {
	case 'q':
		s.ask(ctx, runner.Request{Verb: runner.DoQuit})
	case 'r':
		s.ask(ctx, runner.Request{Verb: runner.DoRestart, Rules: s.plan().cfg.Names()})
	case 'p':
		s.togglePause(ctx)
	case 's':
		s.sayStatus(ctx)
	case 'h', '?':
		s.log.Info(keyHelp)
	}
}

func (s *session) togglePause(ctx context.Context) {
	reply, err := s.runner.Do(ctx, runner.Request{Verb: runner.DoStatus})
	if err != nil {
		return
	}
	verb := runner.DoPause
	if reply.Status.Paused {
		verb = runner.DoResume
	}
	s.ask(ctx, runner.Request{Verb: verb})
}

func (s *session) sayStatus(ctx context.Context) {
	reply, err := s.runner.Do(ctx, runner.Request{Verb: runner.DoStatus})
	if err != nil {
		return
	}
	for _, r := range reply.Status.Rules {
		s.log.Info("status", "rule", r.Name, "state", r.State.String(), "runs", r.Runs)
	}
}

// ask sends a request whose answer nobody waits for; at the end there is
// nobody to ask any more, and that is fine.
func (s *session) ask(ctx context.Context, req runner.Request) {
	if _, err := s.runner.Do(ctx, req); err != nil && !errors.Is(err, runner.ErrClosed) && ctx.Err() == nil {
		s.log.Error("request", "error", err)
	}
}

// ownsTerminal tells whether a rule reads the terminal.
func (p *plan) ownsTerminal() bool {
	for _, job := range p.jobs {
		if job.Input == runner.InputTerminal {
			return true
		}
	}
	return false
}
