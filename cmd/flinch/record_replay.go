package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/debounce"
	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/watch"
)

// replay is `flinch replay`: the debouncer and the rules over a record. It makes
// a folder of its own for the ignore files, and touches nothing else.
type replay struct {
	*options
	json bool

	head    recordHead
	other   *config.Config // of -c; nil: as recorded
	dir     string         // its folder
	roots   []string       // stand-ins in it, with nothing but ignore files in them
	plan    *plan
	queue   *debounce.Queue[seen, watch.Mark]
	differs int
	waves   int
}

func (o *options) replayCommand() *cobra.Command {
	r := &replay{options: o}
	cmd := &cobra.Command{
		Use:   "replay FILE [-c CONFIG]",
		Short: "decide again what a record holds, and run nothing",
		Long: `Run settle and rules over a record of flinch record, and print what would have
run: as it was recorded, or with another config. Without -c the exit status is 1
where the decisions are not those of the record.`,
		Args: cobra.MatchAll(needs("a FILE"), atMost(1)),
		RunE: func(_ *cobra.Command, args []string) error { return r.run(args[0]) },
	}
	cmd.Flags().BoolVar(&r.json, "json", false, "one JSON object a batch")
	return cmd
}

func (r *replay) run(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return exit(exitUsage, err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	if err := next(lines, &r.head); err != nil || r.head.V != 1 || len(r.head.Roots) == 0 || r.head.Config == nil {
		return exit(exitUsage, fmt.Errorf("%s is no record that this version can read", name))
	}
	dir, err := os.MkdirTemp("", "flinch-replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r.dir = dir
	if err := r.prepare(); err != nil {
		return exit(exitUsage, err)
	}
	for n := 2; ; n++ {
		var line recordLine
		err := next(lines, &line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.step(line)
		}
		if err != nil {
			return exit(exitUsage, fmt.Errorf("%s:%d: %w", name, n, err))
		}
	}
	return r.verdict()
}

// next reads one line. What stands after the last newline was cut off when flinch died.
func next(lines *bufio.Reader, v any) error {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return io.EOF
	}
	return json.Unmarshal(line, v)
}

// prepare makes the stand-ins of the roots and the first plan.
func (r *replay) prepare() (err error) {
	for i := range r.head.Roots {
		root := filepath.Join(r.home(i), strings.Repeat("up/", upMax), "root")
		if err := os.MkdirAll(root, 0o700); err != nil {
			return err
		}
		r.roots = append(r.roots, root)
	}
	for _, f := range r.head.Ignores {
		if err := r.put(f); err != nil {
			return err
		}
	}
	if r.config != "" {
		if r.other, err = r.load(nil, false); err != nil {
			return err
		}
	}
	if r.plan, err = r.planOf(r.head.Config); err != nil {
		return err
	}
	r.queue = debounce.NewQueue[seen, watch.Mark](debounce.Options[seen]{Lanes: r.plan.lanes, Fold: fold})
	return nil
}

// home is the folder of one root: it has the stand-in below some folders more, and
// git's config.
func (r *replay) home(root int) string { return filepath.Join(r.dir, fmt.Sprint(root)) }

// getenv has git's files looked for beside the stand-in, and nowhere else.
func (r *replay) getenv(root int) func(string) string {
	return func(name string) string {
		return map[string]string{"XDG_CONFIG_HOME": filepath.Join(r.home(root), "config"), "GIT_CONFIG_NOSYSTEM": "1"}[name]
	}
}

// put writes an ignore file below a stand-in, or in the folders above it.
func (r *replay) put(f recordFile) error {
	if f.Root < 0 || f.Root >= len(r.roots) {
		return fmt.Errorf("there is no root %d", f.Root)
	}
	path := filepath.Join(r.roots[f.Root], f.Path)
	if f.User {
		path = filepath.Join(r.home(f.Root), "config", "git", "ignore")
	}
	if rel, err := filepath.Rel(r.home(f.Root), path); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("the path %q leads out of the root", f.Path)
	}
	if f.Text == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(*f.Text), 0o600)
}

// planOf is the plan of a recorded config, or of the one that -c named, with the
// stand-ins as its roots.
func (r *replay) planOf(c *recordConfig) (*plan, error) {
	cfg := r.other
	var err error
	switch {
	case cfg != nil:
	case c.Command != nil:
		cfg, err = config.AdHoc(config.Invocation{Dir: r.roots[0], Command: c.Command, Service: c.Service, Flags: c.Flags},
			config.Options{Glob: checkGlob, Ignore: checkIgnore, Run: checkRun})
	default:
		cfg, err = config.Parse("flinch.toml", []byte(c.Text), config.Options{Glob: checkGlob, Ignore: checkIgnore, Run: checkRun, Flags: c.Flags})
	}
	if err != nil {
		return nil, err
	}
	cfg.Roots = r.roots[:min(len(r.roots), len(cfg.Roots))]
	p, err := newPlanFor(cfg, r.getenv)
	if err != nil {
		return nil, err
	}
	p.file = -1
	return p, nil
}

// step does what one line says.
func (r *replay) step(line recordLine) error {
	now := r.time(line.At)
	switch {
	case line.Out != nil:
		return r.decided(now, line.Out)
	case line.Ignore != nil:
		return r.ignore(*line.Ignore)
	case r.other != nil:
		r.takeUntil(now)
	}
	in := input{}
	if line.Config != nil && r.other == nil {
		next, err := r.planOf(line.Config)
		if err != nil {
			return err
		}
		in.Lanes = lanesFrom(r.plan, next)
		r.plan = next
	}
	for _, it := range line.In {
		v, err := r.seen(it)
		if err != nil {
			return err
		}
		if v.Root < len(r.plan.roots) {
			in.Items = append(in.Items, r.plan.item(v, kindOf(v)))
		}
	}
	r.queue.Add(in, now)
	return nil
}

func (r *replay) time(at int64) time.Time { return r.head.Began.Add(time.Duration(at)) }

func (r *replay) ignore(f recordFile) error {
	if f.Root >= len(r.plan.roots) {
		return nil
	}
	if err := r.put(f); err != nil {
		return err
	}
	if name := f.Path; f.User || strings.HasPrefix(name, "../") {
		r.plan.ignores[f.Root].Reload(".")
	} else {
		r.plan.ignores[f.Root].Reload(name)
	}
	return nil
}

func (r *replay) seen(it recordItem) (seen, error) {
	path, err := unwirePath(it.Path, it.PathB64)
	from, fromErr := unwirePath(it.From, it.FromB64)
	op, ok := opNames[it.Op]
	typ, known := typeNames[it.Type]
	if err = errors.Join(err, fromErr); err != nil || !ok || !known || it.Root < 0 || path == "" {
		return seen{}, fmt.Errorf("a change that is none: %+v", it)
	}
	return seen{renamed: it.Renamed, Change: watch.Change{
		Root: it.Root, Path: path, From: from, Op: op, Type: typ, Open: it.Open, Closed: it.Closed, Recovered: it.Recovered, Time: r.time(it.At),
	}}, nil
}

var typeNames = map[string]watch.Type{"file": watch.File, "dir": watch.Dir, "symlink": watch.Symlink, "other": watch.Other}

// decided is a wave of the record: with the config of the record it is due at
// that moment again; with another one, waves leave in their own time.
func (r *replay) decided(now time.Time, want []decision) error {
	if r.other != nil {
		r.takeUntil(now)
		return nil
	}
	var got []decision
	if w, due := r.queue.Take(now); due {
		got = r.plan.decisions(w)
	}
	if err := r.printWave(now, got); err != nil {
		return err
	}
	if !reflect.DeepEqual(got, want) {
		r.differs++
		fmt.Fprintf(r.err, "flinch: the record has at this moment: %s\n", decisionText(want))
	}
	return nil
}

// takeUntil takes all waves that are due by now.
func (r *replay) takeUntil(now time.Time) {
	for {
		at, ok := r.queue.Next()
		if !ok || at.After(now) {
			return
		}
		w, due := r.queue.Take(at)
		if due {
			_ = r.printWave(at, r.plan.decisions(w))
		} else if next, ok := r.queue.Next(); ok && !next.After(at) {
			return
		}
	}
}

func (r *replay) printWave(now time.Time, out []decision) error {
	if len(out) == 0 {
		return nil
	}
	r.waves++
	if r.json {
		return r.printJSON(recordLine{At: int64(now.Sub(r.head.Began)), Out: out})
	}
	_, err := fmt.Fprintf(r.out, "%8.3fs  %s\n", now.Sub(r.head.Began).Seconds(), decisionText(out))
	return err
}

// decisionText is a wave in one line.
func decisionText(out []decision) string {
	if len(out) == 0 {
		return "nothing"
	}
	var parts []string
	for _, d := range out {
		text := d.Rule + ":"
		const shown = 5
		for _, p := range d.Paths[:min(len(d.Paths), shown)] {
			text += " " + command.Quote(p)
		}
		text += more(len(d.Paths) - shown)
		if d.Why != "" {
			text += " (" + d.Why + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// verdict is how the replay ends: with another config what is pending leaves.
func (r *replay) verdict() error {
	if r.other != nil {
		r.takeUntil(r.head.Began.Add(1 << 62))
	}
	if !r.quiet {
		fmt.Fprintf(r.err, "flinch: %s would have been handed to rules\n", plural(r.waves, "batch"))
	}
	if r.differs > 0 {
		return exit(exitFailed, fmt.Errorf("%d of %d decisions differ from the record", r.differs, r.waves))
	}
	return nil
}
