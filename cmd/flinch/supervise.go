package main

import (
	"fmt"
	"os"
	"time"

	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
)

// How long the end of everything may take: as PID 1 less than the ten seconds
// that Docker gives.
const (
	stopBudget     = 10 * time.Second
	stopBudgetPID1 = 8 * time.Second
	printBudget    = time.Second
)

// supervise sets up what runs the commands: processes, their output, and the
// runner that decides.
func (s *session) supervise(p *plan) (err error) {
	s.temp, err = command.MakeTempDir()
	if err != nil {
		return exit(exitWatch, fmt.Errorf("make a private folder: %w", err))
	}
	host, err := process.NewHost(process.Options{Guardian: true, Logger: s.log})
	if err != nil {
		return exit(exitWatch, err)
	}
	processes := runner.NewProcesses(runner.ProcessOptions{
		Host: host, Printer: s.printer, Roots: p.roots, RootNames: p.rootNames(), TempDir: s.temp,
		AllFiles: s.allFiles, Stream: s.stream, Clear: s.clear,
	})
	opt := runner.Options{
		Rules: p.jobs, Host: processes, Jobs: p.cfg.Jobs, Once: s.once, StopBudget: stopBudget,
		Mark: s.mark, Events: s.events(),
	}
	if os.Getpid() == 1 {
		opt.StopBudget = stopBudgetPID1
	}
	s.runner = runner.New(opt)
	return nil
}

// stream says how a run's output is printed: one command alone has our own
// standard output, several rules are told apart by their names.
func (s *session) stream(r *runner.Rule, id runner.RunID) output.StreamOptions {
	opt := output.StreamOptions{Mode: output.Pipe, Prefix: len(s.plan().jobs) > 1, Tap: s.tap(id)}
	switch {
	case s.inherits(r.Name):
		return output.StreamOptions{Mode: output.Inherit}
	case s.printer.Terminal():
		opt.Mode = output.PTY
	}
	return opt
}

// rootNames are the roots as the config has them, where there are several.
func (p *plan) rootNames() []string {
	if len(p.roots) == 1 {
		return nil
	}
	return p.cfg.Roots
}

// commandOf is what a rule runs, in one line.
func (s *session) commandOf(name string) string {
	if r := s.plan().cfg.Rule(name); r != nil {
		return oneLine(r.Run.String())
	}
	return ""
}

// clear empties the terminal and its scrollback, where there is one.
func (s *session) clear() {
	if s.printer.Terminal() {
		_, _ = s.printer.Log().Write([]byte("\x1b[H\x1b[2J\x1b[3J"))
	}
}

// close gives back what the session holds, when no run is left.
func (s *session) close() {
	if err := s.recorder.close(); err != nil {
		s.log.Error(err.Error())
	}
	_ = s.printer.Close(printBudget) // whoever does not read now will not hold up the end
	_ = os.RemoveAll(s.temp)
}
