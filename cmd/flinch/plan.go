package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/debounce"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/ready"
	"github.com/flinch-run/flinch/runner/socket"
	"github.com/flinch-run/flinch/watch"
)

// plan is a config made ready to run: what is compiled once so that the path
// of an event only looks things up. It never changes; a new config is a new plan.
type plan struct {
	cfg     *config.Config
	roots   []string       // absolute, as the config has them; a root that is a file too
	ignores []*rule.Ignore // one a root
	rules   []*rule.Rule   // one a rule of the config, in its order
	sets    []*rule.Set    // one a root: which rules want a path
	lanes   []debounce.Lane
	jobs    []runner.Rule
	file    int      // index of the root that is the config file itself; -1: none
	outside []string // ignore files and git configs outside of the roots, which decide too; watched as roots behind all others
	moves   bool     // to a rule a rename is not the same as one path gone and another made
}

// newPlan compiles a config. Its errors are the config's, with their place.
func newPlan(cfg *config.Config) (*plan, error) {
	return newPlanFor(cfg, func(int) func(string) string { return os.Getenv })
}

// newPlanFor is newPlan with the environment in which git's ignore files of each
// root are looked for.
func newPlanFor(cfg *config.Config, getenv func(root int) func(string) string) (*plan, error) {
	p := &plan{cfg: cfg, file: -1}
	if cfg.Backend == config.BackendFanotify {
		return nil, config.Sorted([]*config.Error{cfg.Errorf(cfg.Pos("backend"), "fanotify: not yet in this version")})
	}
	if err := p.resolveRoots(); err != nil {
		return nil, err
	}
	if err := p.compileRules(); err != nil {
		return nil, err
	}
	for i, root := range p.roots {
		ignore, err := p.newIgnore(root, getenv(i))
		if err != nil {
			return nil, err
		}
		p.ignores = append(p.ignores, ignore)
		p.sets = append(p.sets, rule.NewSet(rule.SetOptions{Rules: p.rules, Ignore: ignore, Keep: kept}))
	}
	p.outside = p.lookOutside()
	if cfg.Path != "" {
		p.file = len(p.roots)
	}
	return p, nil
}

// lookOutside are the files outside of the roots that say what is ignored in them.
func (p *plan) lookOutside() (files []string) {
	for _, ignore := range p.ignores {
		files = append(files, ignore.Outside()...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// isRoot tells the config's roots from what else is watched: its file, and files
// that say what is ignored.
func (p *plan) isRoot(i int) bool { return i < len(p.roots) }

// resolveRoots makes the roots absolute and refuses those that do not exist.
func (p *plan) resolveRoots() error {
	var wrong []*config.Error
	for i, root := range p.cfg.Roots {
		path := p.cfg.Abs(root)
		p.roots = append(p.roots, path)
		if _, err := os.Stat(path); err != nil && !(p.cfg.WaitRoots && errors.Is(err, fs.ErrNotExist)) {
			wrong = append(wrong, p.rootError(i, root, err))
		}
	}
	return config.Sorted(wrong)
}

func (p *plan) rootError(i int, root string, err error) *config.Error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	hint := "make it, or wait for it with wait_roots = true (--wait-roots)"
	if !errors.Is(err, fs.ErrNotExist) {
		hint = "look at: ls -ld " + p.cfg.Abs(root)
	}
	return p.cfg.Errorf(p.cfg.Pos("roots", i), "root %s: %w", root, &hinted{err, hint})
}

func (p *plan) compileRules() error {
	index := map[string]int{}
	for i, r := range p.cfg.Rules {
		index[r.Name] = i
	}
	for _, r := range p.cfg.Rules {
		compiled, err := rule.New(rule.Options{Files: p.patterns(r.Files, r.Pos, "files"), Ignore: p.patterns(r.Ignore, r.Pos, "ignore"), On: ops(r.On)})
		if err != nil {
			return exit(exitUsage, err)
		}
		job, err := p.job(r)
		if err != nil {
			return exit(exitUsage, err)
		}
		lane := debounce.Lane{Settle: settle(r.Settle), MaxWait: r.MaxWait}
		for _, need := range r.Needs {
			lane.After = append(lane.After, index[need])
		}
		if on := compiled.On() & appearing; on != 0 && on != appearing {
			p.moves = true
		}
		p.rules, p.jobs, p.lanes = append(p.rules, compiled), append(p.jobs, job), append(p.lanes, lane)
	}
	return nil
}

// patterns are texts with the places where they stand.
func (p *plan) patterns(texts []string, pos func(string, ...int) config.Pos, key string) []rule.Pattern {
	patterns := rule.Patterns(texts...)
	for i := range patterns {
		at := pos(key, i)
		patterns[i].File, patterns[i].Line, patterns[i].Col = p.cfg.Path, at.Line, at.Col
		if at.Flag != "" {
			patterns[i].File = at.Flag
		}
	}
	return patterns
}

func (p *plan) newIgnore(root string, getenv func(string) string) (*rule.Ignore, error) {
	opt := rule.IgnoreOptions{
		Gitignore: p.cfg.Gitignore,
		Getenv:    getenv,
		Defaults:  p.cfg.DefaultIgnores,
		Patterns:  p.patterns(p.cfg.Ignore, p.cfg.Pos, "ignore"),
	}
	for i, r := range p.rules {
		opt.Named = append(opt.Named, r.Literals()...)
		if file := p.cfg.Rules[i].Output.File; file != "" {
			opt.Own = append(opt.Own, within(root, p.cfg.Abs(file))...)
		}
	}
	for _, file := range ownOutput() {
		opt.Own = append(opt.Own, within(root, file)...)
	}
	ignore, err := rule.NewIgnore(root, opt)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return ignore, nil
}

// ownOutput are the files that our standard output and error go to: with
// `flinch >log` what flinch says must not be a change to react to.
func ownOutput() (files []string) {
	for _, fd := range []string{"1", "2"} {
		if target, err := os.Readlink("/proc/self/fd/" + fd); err == nil && filepath.IsAbs(target) {
			files = append(files, target)
		}
	}
	return files
}

// within is the log file and its rotated copy as paths below root, if they lie there.
func within(root, file string) []string {
	rel, err := filepath.Rel(root, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil
	}
	return []string{rel, rel + ".1"}
}

// job is what the runner has to know of a rule.
func (p *plan) job(r *config.Rule) (runner.Rule, error) {
	cmd, err := compileCommand(r.Run, r.Shell)
	if err != nil {
		return runner.Rule{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	job := runner.Rule{
		Name: r.Name, Kind: runner.Kind(r.Kind), Command: cmd, Dir: p.cfg.Abs(r.Dir),
		Env: config.Environ(slices.Concat(p.cfg.Env, r.Env)), GlobalEnv: len(p.cfg.Env),
		Needs: r.Needs, Watches: len(r.Files) > 0, Globs: reacts(r), AtStart: r.AtStart, Each: r.Each,
		Content: runner.Content(r.Content), Busy: busies[r.Busy.Policy], BusySignal: r.Busy.Signal,
		StopSignal: r.StopSignal, StopTimeout: r.StopTimeout, Timeout: r.Timeout,
		Leftovers: runner.Leftovers(r.Leftovers), Input: runner.Input(r.Input), Clear: r.Clear,
		ReloadSignal: r.ReloadSignal, Restart: runner.Restart(r.Restart), Overlap: r.Overlap,
	}
	for _, file := range r.EnvFile {
		job.EnvFile = append(job.EnvFile, p.cfg.Abs(file))
	}
	if r.Output.File != "" {
		job.Output = runner.Output{File: p.cfg.Abs(r.Output.File), Max: r.Output.Max}
	}
	for _, l := range r.Listen {
		if l.Network == "unix" && !strings.HasPrefix(l.Address, "@") {
			l.Address = p.cfg.Abs(l.Address)
		}
		name := l.Name
		if name == "" {
			name = r.Name
		}
		address, err := socket.Parse(l.String(), name)
		if err != nil {
			return job, err
		}
		job.Listen = append(job.Listen, address)
	}
	job.Ready, err = readiness(r)
	return job, err
}

// busies are the runner's policies in the order of the config's.
var busies = [...]runner.Busy{
	config.Queue: runner.Queue, config.RestartRun: runner.Replace, config.Skip: runner.Skip, config.SendSignal: runner.SendSignal,
}

// readiness says when a service is ready; nil says as soon as it runs.
func readiness(r *config.Rule) (spec ready.Spec, err error) {
	if r.Ready == nil {
		return spec, nil
	}
	spec = ready.Spec{
		Port: int(r.Ready.Port), AnyPort: r.Ready.AnyPort, TCP: r.Ready.TCP,
		Notify: r.Ready.Notify, Timeout: r.Ready.Timeout,
	}
	if r.Ready.HTTP != nil {
		spec.HTTP = r.Ready.HTTP.String()
	}
	if spec.Exec = r.Ready.Exec.Argv; r.Ready.Exec.Line != "" {
		spec.Exec = append(strings.Fields(r.Shell), "-c", r.Ready.Exec.Line)
	}
	if r.Ready.Log != "" {
		spec.Log, err = regexp.Compile(r.Ready.Log)
	}
	return spec, err
}

// reacts is all that decides what a rule reacts to, as text: where that differs
// it is another rule.
func reacts(r *config.Rule) []string {
	return slices.Concat(r.Files, []string{"ignore"}, r.Ignore, []string{r.On.String(), r.Settle.String(), r.MaxWait.String()})
}

func settle(s config.Settle) debounce.Settle {
	switch {
	case s.Auto:
		return debounce.Auto
	case s.Leading:
		return debounce.Leading
	}
	return debounce.Fixed(s.Duration)
}

// ops are the config's kinds of change as the rules know them.
func ops(on config.Ops) rule.Ops {
	var set rule.Ops
	for _, name := range on.Names() {
		if op, ok := rule.ParseOp(name); ok {
			set |= op
		}
	}
	return set
}

// watchOptions says what is to be watched.
func (p *plan) watchOptions() watch.Options {
	roots := slices.Clone(p.roots)
	if p.file >= 0 {
		roots = append(roots, filepath.Join(p.cfg.Dir, filepath.Base(p.cfg.Path)))
	}
	return watch.Options{
		Roots: roots, Optional: p.outside, Prune: p.prune, Skip: p.skip, Follow: p.cfg.Follow, WaitRoots: p.cfg.WaitRoots,
		Backend: p.cfg.Backend.String(), Poll: max(p.cfg.Poll, time.Millisecond),
	}
}

// prune tells which folders are neither opened nor watched.
func (p *plan) prune(root int, dir string) bool {
	return !p.isRoot(root) || p.sets[root].Prune(dir)
}

// appearing are the kinds of change in which a path comes or goes.
const appearing = rule.Create | rule.Remove | rule.Rename

// skip tells which files nobody wants to hear of. A file that is renamed to or
// from one of those would seem to be made or removed.
func (p *plan) skip(root int, path string) bool {
	return p.isRoot(root) && !p.moves && p.sets[root].Skip(path)
}

// kept are paths that flinch itself looks at although nobody else should: the
// locks that git and Mercurial hold while they change the working tree, and
// git's own ignore file.
var kept = []string{".git/index.lock", ".hg/wlock", ".git/info/exclude"}

// isLock tells whether path is such a lock.
func isLock(path string) bool { return path == kept[0] || path == kept[1] }
