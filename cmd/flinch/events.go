package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/watch"
)

// eventsCommand is `flinch events`.
func (o *options) eventsCommand() *cobra.Command {
	e := &eventPrinter{options: o}
	cmd := &cobra.Command{
		Use:   "events [flags] [DIR...]",
		Short: "print changes as they are seen",
		Long: `Print changes below the folders (or of the files) as they are seen, until
Ctrl-C. One line a change; with --json one object a line, flushed at once, the
first of them {"op":"ready",...}.`,
		RunE: func(cmd *cobra.Command, dirs []string) error { return e.run(cmd.Context(), dirs) },
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "one JSON object a line")
	cmd.Flags().BoolVar(&e.raw, "raw", false, "the backend's own events, with their mask names")
	e.filterFlags(cmd.Flags())
	o.watchFlags(cmd.Flags())
	return cmd
}

// eventPrinter writes what a watcher reports.
type eventPrinter struct {
	*options
	json, raw bool
	plan      *plan
	filter    eventFilter
}

func (e *eventPrinter) run(ctx context.Context, dirs []string) error {
	if e.json && e.raw {
		return exit(exitUsage, errors.New("--json and --raw: choose one"))
	}
	if e.filter.once < 0 || e.filter.timeout < 0 {
		return exit(exitUsage, errors.New("--once and --timeout: cannot be negative"))
	}
	log, err := e.logger(e.err)
	if err != nil {
		return err
	}
	if e.filter.ops, err = rule.ParseOps(e.filter.on...); err != nil {
		return exit(exitUsage, err)
	}
	if err := e.prepare(dirs); err != nil {
		return exit(exitUsage, err)
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	ctx, leave := e.out.whileRead(ctx)
	defer leave()
	ctx, cancel := e.filter.limit(ctx)
	defer cancel()
	if e.raw {
		return e.printRaw(ctx)
	}
	w, err := e.watch(ctx, log)
	if err != nil {
		return exit(watchStatus(err), err)
	}
	defer w.Close()
	return e.print(ctx, w)
}

// prepare makes a plan of the flags and the folders named.
func (e *eventPrinter) prepare(dirs []string) error {
	if e.filter.rule != "" {
		return e.prepareRule(dirs)
	}
	flags := e.flags
	if len(dirs) > 0 {
		flags = append(flags, config.Flag{Name: "DIR", Key: "roots", Values: dirs})
	}
	cfg, err := config.AdHoc(config.Invocation{Dir: ".", Command: []string{"events"}, Flags: flags},
		config.Options{Glob: checkGlob, Ignore: checkIgnore})
	if err != nil {
		return err
	}
	e.plan, err = newPlan(cfg)
	return err
}

func (e *eventPrinter) watch(ctx context.Context, log *slog.Logger) (*watch.Watcher, error) {
	opt := e.plan.watchOptions()
	opt.Logger = log
	opt.Warn = warnings(log)
	return watch.New(ctx, opt)
}

// print writes batch after batch until the context ends or the reader is gone.
func (e *eventPrinter) print(ctx context.Context, w *watch.Watcher) error {
	if err := e.ready(w.Stats()); err != nil {
		return err
	}
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return endOfWatch(ctx, err)
		}
		if err := e.batch(batch); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// endOfWatch is the error that the end of a watch means to the user.
func endOfWatch(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		var ended *signalled
		if errors.As(cause, &ended) {
			return ended
		}
		if errors.Is(cause, errTimeIsOver) {
			return exit(exitTimeout, nil)
		}
		return nil
	}
	return exit(exitWatch, err)
}

func (e *eventPrinter) ready(stats watch.Stats) error {
	if !e.json {
		if !e.quiet {
			fmt.Fprintf(e.err, "flinch: ready, %s (%s)\n", plural(stats.Dirs, "folder"), stats.Backend)
		}
		return nil
	}
	line, err := json.Marshal(struct {
		Op      string `json:"op"`
		Dirs    int    `json:"dirs"`
		Backend string `json:"backend"`
	}{"ready", stats.Dirs, stats.Backend})
	if err != nil {
		return err
	}
	return e.write(append(line, '\n'))
}

// batch prints changes after the return of their root, and before its end.
func (e *eventPrinter) batch(b watch.Batch) error {
	if e.plan.changesOutside(b) {
		e.plan.reloadOutside()
	}
	there := map[int]bool{}
	for _, r := range b.Roots {
		there[r.Root] = !r.Gone
	}
	if err := e.rootEvents(b.Roots, func(root int) bool { return there[root] }); err != nil {
		return err
	}
	for _, c := range b.Changes {
		if !e.wanted(c) {
			continue
		}
		if err := e.change(c); err != nil {
			return err
		}
		if e.filter.enough() {
			return errEnough
		}
	}
	return e.rootEvents(b.Roots, func(root int) bool { return !there[root] })
}

// rootEvents prints what happened to the roots that are chosen.
func (e *eventPrinter) rootEvents(events []watch.RootEvent, chosen func(root int) bool) error {
	for _, r := range events {
		if !e.plan.isRoot(r.Root) || !chosen(r.Root) {
			continue
		}
		if err := e.root(r); err != nil {
			return err
		}
	}
	return nil
}

// wanted leaves out what is ignored, and with --files what no glob wants.
func (e *eventPrinter) wanted(c watch.Change) bool {
	if !e.plan.isRoot(c.Root) || !e.filter.kind(c.Op) {
		return false
	}
	if e.filter.rule != "" {
		return e.wantedByRule(c)
	}
	ignore, dir := e.plan.ignores[c.Root], c.Type == watch.Dir
	if ignore.Affects(c.Path) {
		ignore.Reload(c.Path)
	}
	seen := func(path string) bool {
		return !ignore.Match(path, dir) && (dir || e.plan.rules[0].Match(path))
	}
	if dir && e.plan.cfg.Rules[0].IsSet("files") {
		return false
	}
	return seen(c.Path) || c.From != "" && seen(c.From)
}

func (e *eventPrinter) root(r watch.RootEvent) error {
	op := "root-back"
	if r.Gone {
		op = "root-gone"
	}
	name := e.plan.cfg.Roots[r.Root]
	if !e.json {
		return e.write(fmt.Appendf(nil, "%-9s %s\n", op, name))
	}
	line, err := json.Marshal(struct {
		Time string `json:"time"`
		Op   string `json:"op"`
		Root string `json:"root,omitempty"`
	}{time.Now().Format(time.RFC3339Nano), op, e.rootName(r.Root)})
	if err != nil {
		return err
	}
	return e.write(append(line, '\n'))
}

// rootName names the root where there are several.
func (e *eventPrinter) rootName(i int) string {
	if len(e.plan.roots) == 1 {
		return ""
	}
	return e.plan.cfg.Roots[i]
}

func (e *eventPrinter) change(c watch.Change) error {
	if e.json {
		line := command.Change{
			Path: c.Path, From: c.From, Op: c.Op.String(), Type: c.Type.String(),
			RootName: e.rootName(c.Root), Recovered: c.Recovered, Time: c.Time,
		}
		return e.write(line.Line())
	}
	name := command.Quote(c.Path)
	if c.Type == watch.Dir {
		name += "/"
	}
	if root := e.rootName(c.Root); root != "" {
		name = root + ": " + name
	}
	if c.From != "" {
		name += " (was " + command.Quote(c.From) + ")"
	}
	return e.write(fmt.Appendf(nil, "%-9s %s\n", c.Op, name))
}

// write is one line, flushed at once.
func (e *eventPrinter) write(line []byte) error {
	_, err := e.out.Write(line)
	return err
}
