package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/runner/command"
)

// logs is `flinch logs`.
type logs struct {
	*options
	client      *control.Client
	rule        string
	run         uint64
	follow      bool
	lastFailure bool
	json        bool
	why         bool
}

func (o *options) logsCommand() *cobra.Command {
	l := &logs{options: o}
	cmd := &cobra.Command{
		Use:   "logs [RULE] [--why [RULE|RUN]]",
		Short: "print what runs wrote, and why there were runs",
		Long: `Print the output of the last run of a rule (of every rule, if none is named), as
the flinch that runs here remembers it. With --why print instead what led to runs:
change, batch, rule, need; and which changes led to none, and why.`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := l.read(args); err != nil {
				return exit(exitUsage, err)
			}
			return o.talk(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				l.client = c
				return l.print(ctx)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "go on with what comes")
	f.BoolVar(&l.lastFailure, "last-failure", false, "the last run that failed")
	f.Uint64Var(&l.run, "run", 0, "the run with this `NUMBER`")
	f.BoolVar(&l.json, "json", false, "one JSON object a line: events with --follow, else runs with their output")
	f.BoolVar(&l.why, "why", false, "print what led to runs, and why other changes led to none")
	return cmd
}

// read takes the argument: a rule, or with --why also the number of a run.
func (l *logs) read(args []string) error {
	if len(args) == 1 {
		l.rule = args[0]
		if n, err := strconv.ParseUint(l.rule, 10, 64); err == nil && l.why {
			l.rule, l.run = "", n
		}
	}
	if l.run != 0 && l.lastFailure {
		return errors.New("--run and --last-failure: choose one")
	}
	if l.why && l.follow {
		return errors.New("--why and --follow: choose one")
	}
	return nil
}

func (l *logs) print(ctx context.Context) error {
	if l.rule != "" {
		if _, err := l.client.Status(ctx, l.rule); err != nil {
			return err // there is no such rule
		}
	}
	switch {
	case l.why:
		return l.printWhy(ctx)
	case l.follow:
		return l.printFollow(ctx)
	}
	runs, err := l.chosen(ctx)
	if err != nil {
		return err
	}
	for i := range runs {
		if err := l.printRun(ctx, &runs[i], len(runs) > 1); err != nil {
			return err
		}
	}
	return nil
}

// chosen are the runs that the flags ask for.
func (l *logs) chosen(ctx context.Context) ([]control.Run, error) {
	runs, err := l.client.Runs(ctx)
	if err != nil {
		return nil, err
	}
	runs = slices.DeleteFunc(runs, func(r control.Run) bool {
		return l.rule != "" && r.Rule != l.rule || l.run != 0 && r.Run != l.run || l.lastFailure && r.State != "failed"
	})
	switch {
	case l.run != 0 && len(runs) == 0:
		return nil, control.NoRun(l.run)
	case l.lastFailure && len(runs) == 0:
		return nil, exit(exitFailed, errors.New("no run that failed is remembered"))
	case l.lastFailure:
		return runs[len(runs)-1:], nil
	case l.why:
		return runs, nil
	}
	return lastOfEach(runs), nil
}

// lastOfEach are the last runs of each rule, in the order of their start.
func lastOfEach(runs []control.Run) (list []control.Run) {
	seen := map[string]bool{}
	for _, r := range slices.Backward(runs) {
		if !seen[r.Rule] {
			seen[r.Rule] = true
			list = append(list, r)
		}
	}
	slices.Reverse(list)
	return list
}

func (l *logs) printRun(ctx context.Context, r *control.Run, headed bool) error {
	out, err := l.client.Output(ctx, r.Run)
	if err != nil {
		return err
	}
	if l.json {
		return l.printJSON(struct {
			*control.Run
			Output *control.Output `json:"output"`
		}{r, out})
	}
	if headed {
		fmt.Fprintf(l.out, "--- %s, run %d: %s\n", r.Rule, r.Run, describe(r))
	}
	if out.Unknown {
		fmt.Fprintf(l.err, "flinch: run %d of %s wrote straight to flinch's own output, which is not remembered\n", r.Run, r.Rule)
	}
	if out.Missed > 0 {
		fmt.Fprintf(l.err, "flinch: %d bytes before this are not remembered\n", out.Missed)
	}
	for _, line := range out.Lines {
		if _, err := fmt.Fprintln(l.out, line.Text); err != nil {
			return err
		}
	}
	return nil
}

// describe is how a run stands, in a few words.
func describe(r *control.Run) string {
	text := r.State
	switch {
	case r.State == "failed" && r.Error != "":
		text += ", " + r.Error
	case r.State == "failed" && r.Signal != "":
		text += ", " + r.Signal
	case r.State == "failed":
		text += fmt.Sprintf(", exit %d", r.Exit)
	case r.State == "skipped":
		text += ", " + r.Why
	}
	if !r.Ended.IsZero() && r.State != "skipped" {
		text += " after " + roughly(r.Ended.Sub(r.Started))
	}
	return text
}

// printFollow prints what is remembered of the last runs, then what comes; with
// --json only what comes.
func (l *logs) printFollow(ctx context.Context) error {
	ctx, leave := l.out.whileRead(ctx)
	defer leave()
	printed := map[uint64]time.Time{} // of each run, the last line that is remembered
	return l.client.Follow(ctx, control.Live, func(e control.Event) error {
		switch {
		case e.Kind == "listening" && !l.json:
			return l.printPast(ctx, printed)
		case l.rule != "" && e.Rule != l.rule && e.Kind != "missed", l.run != 0 && e.Run != l.run:
			return nil
		case l.json:
			return l.printJSON(e)
		case e.Kind == "output" && !e.Time.After(printed[e.Run]):
			return nil
		}
		return l.printLine(followed(e))
	})
}

// printPast prints the last runs as if they had been followed.
func (l *logs) printPast(ctx context.Context, printed map[uint64]time.Time) error {
	runs, err := l.chosen(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		out, err := l.client.Output(ctx, r.Run)
		if err != nil {
			return err
		}
		for _, line := range out.Lines {
			printed[r.Run] = line.Time
			if err := l.printLine(r.Rule + " | " + line.Text); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *logs) printLine(line string) error {
	if line == "" {
		return nil
	}
	_, err := fmt.Fprintln(l.out, line)
	return err
}

// followed is an event as a line for a person; empty where it says nothing new.
func followed(e control.Event) string {
	switch e.Kind {
	case "output":
		return e.Rule + " | " + e.Text
	case "missed":
		return fmt.Sprintf("--- %d events missed", e.Missed)
	case "started":
		return fmt.Sprintf("--- %s, run %d: started, %s", e.Rule, e.Run, e.Reason)
	case "over":
		return fmt.Sprintf("--- %s, run %d: %s after %s", e.Rule, e.Run, e.Outcome, roughly(time.Duration(e.DurationMS*float64(time.Millisecond))))
	case "ready", "blocked", "held", "backoff", "suppressed", "stale", "skipped", "paused", "resumed", "stopped", "loop":
		text := "--- " + e.Rule + ": " + e.Kind
		if e.Why != "" {
			text += ", " + e.Why
		}
		return text
	}
	return ""
}

// printWhy prints the chains that led to runs, and what led to none, in the order
// of time.
func (l *logs) printWhy(ctx context.Context) error {
	all, err := l.client.Runs(ctx)
	if err != nil {
		return err
	}
	runs, err := l.chosen(ctx)
	if err != nil {
		return err
	}
	if l.run == 0 && !l.lastFailure {
		batches, err := l.client.Batches(ctx)
		if err != nil {
			return err
		}
		return l.printAll(runs, batches, all)
	}
	return l.printChains(runs, all)
}

func (l *logs) printChains(runs, all []control.Run) error {
	for i := range runs {
		if l.json {
			if err := l.printJSON(runs[i]); err != nil {
				return err
			}
			continue
		}
		for depth, line := range chain(&runs[i], all) {
			fmt.Fprintf(l.out, "%s%s\n", strings.Repeat("  ", min(depth, 1)), line)
		}
	}
	return nil
}

// printAll puts runs and the batches that led to none together.
func (l *logs) printAll(runs []control.Run, batches []control.Batch, all []control.Run) error {
	silent := slices.DeleteFunc(batches, func(b control.Batch) bool { return len(b.Runs) > 0 || l.rule != "" && b.Batch == 0 })
	for len(runs) > 0 || len(silent) > 0 {
		var err error
		if len(silent) == 0 || len(runs) > 0 && !runs[0].Started.After(silent[0].Time) {
			err = l.printChains(runs[:1], all)
			runs = runs[1:]
		} else {
			err = l.printSilence(&silent[0])
			silent = silent[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printSilence says why a batch led to no run.
func (l *logs) printSilence(b *control.Batch) error {
	if l.json {
		return l.printJSON(b)
	}
	fmt.Fprintf(l.out, "%s nothing ran: %s\n", clock(b.Time), b.Why)
	const shown = 10
	for _, c := range b.Changes[:min(len(b.Changes), shown)] {
		line := "  " + change(c)
		if c.Why != "" && c.Why != b.Why {
			line += " - " + c.Why
		}
		fmt.Fprintln(l.out, line)
	}
	if n := len(b.Changes) - shown + b.More; n > 0 {
		fmt.Fprintf(l.out, "  and %d more\n", n)
	}
	return nil
}

// chain is what led to a run, the run itself first.
func chain(r *control.Run, all []control.Run) []string {
	head := fmt.Sprintf("%s %s, run %d: %s", clock(r.Started), r.Rule, r.Run, describe(r))
	lines := []string{head}
	seen := map[uint64]bool{r.Run: true}
	for at := r; at != nil; {
		lines = append(lines, because(at)...)
		next := (*control.Run)(nil)
		for _, c := range at.Causes {
			cause := find(all, c.Run)
			if cause == nil {
				lines = append(lines, fmt.Sprintf("because %s, run %d, succeeded (not remembered)", c.Rule, c.Run))
				continue
			}
			lines = append(lines, fmt.Sprintf("because %s, run %d, succeeded at %s", c.Rule, c.Run, clock(cause.Ended)))
			if !seen[c.Run] {
				seen[c.Run], next = true, cause
			}
		}
		at = next
	}
	return lines
}

func find(all []control.Run, id uint64) *control.Run {
	for i := range all {
		if all[i].Run == id {
			return &all[i]
		}
	}
	return nil
}

// because is what of a run's reason is not another run.
func because(r *control.Run) (lines []string) {
	if len(r.Changes) == 0 {
		if len(r.Causes) == 0 {
			lines = append(lines, "because of "+reasonText(r.Reason))
		}
		return lines
	}
	const shown = 5
	for _, c := range r.Changes[:min(len(r.Changes), shown)] {
		lines = append(lines, fmt.Sprintf("because %s, seen %s", change(c), clock(c.Time)))
	}
	if n := len(r.Changes) - shown + r.More; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more changes", n))
	}
	if !r.Settled.IsZero() {
		lines = append(lines, fmt.Sprintf("in batch %d, settled %s, %s after the last change; started %s after that",
			r.Batch, clock(r.Settled), roughly(r.Settled.Sub(r.Last)), roughly(r.Started.Sub(r.Settled))))
	}
	return lines
}

func reasonText(reason string) string {
	switch reason {
	case "start":
		return "the start of flinch"
	case "trigger", "restart":
		return "the command " + reason
	}
	return reason
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

func change(c control.Change) string {
	name := command.Quote(c.Path)
	if c.Root != "" {
		name = c.Root + ": " + name
	}
	if c.From != "" {
		return name + " renamed from " + command.Quote(c.From)
	}
	return name + map[string]string{"create": " created", "remove": " removed", "attrib": " changed its mode or owner"}[c.Op] +
		map[string]string{"write": " changed"}[c.Op]
}
