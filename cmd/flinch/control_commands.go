package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/control"
)

// The commands that talk to the flinch that runs here.

func (o *options) controlCommands() []*cobra.Command {
	return []*cobra.Command{
		o.statusCommand(), o.waitCommand(), o.triggerCommand(), o.restartCommand(), o.stopCommand(),
		o.pauseCommand(control.Pause, "keep changes until resume"), o.pauseCommand(control.Resume, "go on after a pause"),
		o.notifyCommand(), o.logsCommand(),
	}
}

// find is the flinch whose root encloses the current folder, or that of -c, most
// closely.
func (o *options) find() (*control.Client, error) {
	dir := "."
	if o.config != "" {
		dir = filepath.Dir(o.config)
	}
	c, err := control.Find(dir)
	if err != nil {
		return nil, exit(exitFailed, err)
	}
	return c, nil
}

// refused gives an answer of flinch the exit status that fits it: 2 where the
// request was wrong, 1 where there is nobody.
func refused(err error) error {
	var told *control.Error
	var known *exitError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &told) && told.Status < 500:
		return exit(exitUsage, err)
	}
	return exit(exitFailed, err)
}

// talk runs f with the flinch that is found, until a signal comes.
func (o *options) talk(ctx context.Context, f func(context.Context, *control.Client) error) error {
	c, err := o.find()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := untilSignal(ctx)
	defer stop()
	err = f(ctx, c)
	var ended *signalled
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return refused(err)
}

func (o *options) statusCommand() *cobra.Command {
	var asJSON, watching bool
	cmd := &cobra.Command{
		Use:   "status [RULE...]",
		Short: "say what the flinch that runs here is doing",
		RunE: func(cmd *cobra.Command, rules []string) error {
			return o.talk(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				if watching {
					return o.watchStatus(ctx, c, rules, asJSON)
				}
				return o.showStatus(ctx, c, rules, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	cmd.Flags().BoolVar(&watching, "watch", false, "print it anew whenever it changes")
	return cmd
}

func (o *options) showStatus(ctx context.Context, c *control.Client, rules []string, asJSON bool) error {
	s, err := c.Status(ctx, rules...)
	if err != nil {
		return err
	}
	if asJSON {
		return o.printJSON(s)
	}
	var b bytes.Buffer
	writeStatus(&b, s)
	return o.print(b.Bytes())
}

// print writes whole lines.
func (o *options) print(text []byte) error {
	_, err := o.out.Write(text)
	return err
}

// statusPause is how long a status that changes all the time is not printed again.
const statusPause = 100 * time.Millisecond

// watchStatus prints the status at once, and after each event, until flinch ends.
func (o *options) watchStatus(ctx context.Context, c *control.Client, rules []string, asJSON bool) error {
	ctx, leave := o.out.whileRead(ctx)
	defer leave()
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Follow(ctx, control.Live, func(e control.Event) error {
			if e.Kind != "output" && e.Kind != "listening" {
				poke(changed)
			}
			return nil
		})
	}()
	for {
		if isTerminal(o.out) && !asJSON {
			fmt.Fprint(o.out, "\x1b[H\x1b[2J")
		}
		err := o.showStatus(ctx, c, rules, asJSON)
		var told *control.Error
		switch {
		case errors.As(err, &told) && told.Status < 500, o.out.err != nil:
			return err
		case err != nil:
			return <-ended // flinch has ended, and with it the stream
		}
		pause := time.After(statusPause)
		select {
		case err := <-ended:
			return err
		case <-changed:
		}
		<-pause
	}
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func writeStatus(w io.Writer, s *control.Status) {
	state := ""
	if s.Ending {
		state = ", ending"
	}
	fmt.Fprintf(w, "%s: pid %d, %s (%s)%s\n", s.Root, s.PID, plural(s.Dirs, "folder"), s.Backend, state)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tSTATE\tRUNS\tPID\tLAST\tTOOK\tWHY")
	for _, r := range s.Rules {
		pid := "-"
		if r.PID != 0 {
			pid = fmt.Sprint(r.PID)
		}
		last, took, why := lastRun(r.Last)
		if r.Why != "" {
			why = r.Why
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.Name, r.State, r.Runs, pid, last, took, why)
	}
	_ = t.Flush()
}

func lastRun(l *control.Last) (last, took, why string) {
	if l == nil {
		return "-", "-", ""
	}
	last = l.Outcome
	switch {
	case l.Outcome == "failed" && l.Signal != "":
		last += " (" + l.Signal + ")"
	case l.Outcome == "failed" && l.Error == "":
		last += fmt.Sprintf(" (%d)", l.Exit)
	}
	why = l.Reason
	if len(l.Changed) > 0 {
		why += " " + l.Changed[0] + more(len(l.Changed)-1+l.More)
	}
	return last, roughly(time.Duration(l.DurationMS * float64(time.Millisecond))), why
}

func (o *options) printJSON(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return o.print(b.Bytes())
}

func (o *options) triggerCommand() *cobra.Command {
	var paths []string
	cmd := &cobra.Command{
		Use:   "trigger RULE... [--path PATH]",
		Short: "run rules as if files had changed",
		Args:  needs("a RULE"),
		RunE: func(cmd *cobra.Command, rules []string) error {
			abs, err := absolute(paths)
			if err != nil {
				return err
			}
			return o.command(cmd.Context(), control.Command{Verb: control.Trigger, Rules: rules, Paths: abs})
		},
	}
	cmd.Flags().StringArrayVar(&paths, "path", nil, "hand `PATH` to them as changed (repeatable)")
	return cmd
}

func absolute(paths []string) (list []string, err error) {
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		list = append(list, abs)
	}
	return list, nil
}

func (o *options) command(ctx context.Context, cmd control.Command) error {
	return o.talk(ctx, func(ctx context.Context, c *control.Client) error { return c.Do(ctx, cmd) })
}

func (o *options) restartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restart RULE...",
		Short: "stop what runs of rules and start it anew",
		Args:  needs("a RULE"),
		RunE: func(cmd *cobra.Command, rules []string) error {
			return o.command(cmd.Context(), control.Command{Verb: control.Restart, Rules: rules})
		},
	}
}

func (o *options) pauseCommand(verb control.Verb, short string) *cobra.Command {
	return &cobra.Command{
		Use:   string(verb) + " [RULE...]",
		Short: short,
		RunE: func(cmd *cobra.Command, rules []string) error {
			return o.command(cmd.Context(), control.Command{Verb: verb, Rules: rules})
		},
	}
}

func (o *options) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop [RULE...]",
		Short: "stop rules until restart or trigger; without a rule: everything, and flinch",
		Long: `Stop rules until restart or trigger. Without a rule everything is stopped and
flinch ends; the command returns when its process is gone.`,
		RunE: func(cmd *cobra.Command, rules []string) error {
			return o.talk(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				if len(rules) > 0 {
					return c.Do(ctx, control.Command{Verb: control.Stop, Rules: rules})
				}
				return stopAll(ctx, c)
			})
		},
	}
}

// stopAll ends a flinch and returns when it is gone.
func stopAll(ctx context.Context, c *control.Client) error {
	p, err := c.Peer(ctx)
	if err != nil {
		return err
	}
	if err := c.Do(ctx, control.Command{Verb: control.Stop}); err != nil {
		return err
	}
	return p.Wait(ctx)
}

func (o *options) waitCommand() *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait [RULE...]",
		Short: "wait for the verdict on what has just been changed",
		Long: `Wait until every change made before this call has been seen, has settled and has
been matched, and every run that it led to is over (services: ready again).
Exit status 0 if all rules are green, 1 if one is not, 124 when the time is over.`,
		RunE: func(cmd *cobra.Command, rules []string) error {
			if timeout < 0 {
				return exit(exitUsage, fmt.Errorf("--timeout: %s is negative", timeout))
			}
			return o.talk(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				return o.wait(ctx, c, rules, timeout, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this `DURATION`")
	return cmd
}

func (o *options) wait(ctx context.Context, c *control.Client, rules []string, timeout time.Duration, asJSON bool) error {
	v, err := c.Wait(ctx, rules, timeout)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exit(exitTimeout, fmt.Errorf("no verdict after %s", timeout))
	case err != nil:
		return err
	case asJSON:
		if err := o.printJSON(v); err != nil {
			return err
		}
	default:
		for _, r := range v.Rules {
			o.printVerdict(r)
		}
	}
	if !v.Green {
		return exit(exitFailed, nil)
	}
	return nil
}

// printVerdict says what is wrong with a rule, with the end of its output.
func (o *options) printVerdict(r control.RuleStatus) {
	if r.Verdict == "green" {
		if !o.quiet && o.verbose {
			fmt.Fprintf(o.err, "%s: green\n", r.Name)
		}
		return
	}
	for _, line := range r.Tail {
		fmt.Fprintln(o.out, line)
	}
	text := r.Verdict
	if last, _, _ := lastRun(r.Last); r.Verdict == "failed" && r.Last != nil {
		text = last
		if r.Last.Error != "" {
			text += ": " + r.Last.Error
		}
	} else if strings.HasPrefix(r.Why, text) { // "blocked by build"
		text = r.Why
	} else if r.Why != "" {
		text += ": " + r.Why
	}
	fmt.Fprintf(o.err, "flinch: %s: %s\n", r.Name, text)
}

func (o *options) notifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "notify PATH...",
		Short: "tell flinch of changes that it cannot see itself",
		Long: `Tell the flinch that runs here that files have changed, as where a host writes
into a container. With - paths are read from standard input, one a line, or the
lines of flinch events --json; each is passed on at once.`,
		Args: needs("a PATH"),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if slices.Contains(paths, "-") && len(paths) > 1 {
				return exit(exitUsage, errors.New("- reads all paths from standard input: name no others"))
			}
			c, err := o.findAny()
			if err != nil {
				return err
			}
			defer c.Close()
			if paths[0] == "-" {
				return refused(notifyLines(cmd.Context(), c, o.in))
			}
			return refused(notifyPaths(cmd.Context(), c, paths))
		},
	}
}

// findAny is find, but where no root encloses the current folder and a single
// flinch runs, it is that one: `... | ssh host flinch notify -` begins at home.
func (o *options) findAny() (*control.Client, error) {
	c, err := o.find()
	var none *control.NoneError
	if !errors.As(err, &none) {
		return c, err
	}
	if places, listErr := control.Places(); listErr == nil && len(places) == 1 {
		return control.NewClient(places[0]), nil
	}
	return nil, err
}

func notifyPaths(ctx context.Context, c *control.Client, paths []string) error {
	abs, err := absolute(paths)
	if err != nil {
		return err
	}
	var changes []control.Change
	for _, p := range abs {
		text, b64 := wirePath(p)
		changes = append(changes, control.Change{Path: text, PathB64: b64})
	}
	_, err = c.Notify(ctx, changes)
	return err
}

// notifyLines passes on what it reads, all that is there at once together.
func notifyLines(ctx context.Context, c *control.Client, in io.Reader) error {
	const together = 10_000
	lines := bufio.NewReaderSize(in, 1<<20)
	var changes []control.Change
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			change, parseErr := toldLine(line)
			if parseErr != nil {
				return exit(exitUsage, parseErr)
			}
			changes = append(changes, change)
		}
		if len(changes) > 0 && (err != nil || lines.Buffered() == 0 || len(changes) >= together) {
			if _, err := c.Notify(ctx, changes); err != nil {
				return err
			}
			changes = nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// toldLine is a line of `events --json`, whose paths are relative to the root, or
// a path relative to the current folder.
func toldLine(line []byte) (c control.Change, err error) {
	if line[0] == '{' {
		if err := json.Unmarshal(line, &c); err != nil {
			return c, fmt.Errorf("line %q: %w", line, err)
		}
		return c, nil
	}
	abs, err := filepath.Abs(strings.TrimSuffix(string(line), "\r"))
	c.Path, c.PathB64 = wirePath(abs)
	return c, err
}
