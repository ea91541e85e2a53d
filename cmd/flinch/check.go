package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/config"
)

// checkCommand is `flinch check`.
func (o *options) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "validate the config; print rules, roots, counts",
		Long: `Read the config and say what it means: each rule with what it matches right
now, each root with the folders that would be watched and those that are spared
because no rule can match in them. Exit status 2 where the config is not valid.`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.check(cmd.Context()) },
	}
}

func (o *options) check(ctx context.Context) error {
	cfg, err := o.load(nil, false)
	if err != nil {
		return err
	}
	p, err := newPlan(cfg)
	if err != nil {
		return exit(exitUsage, err)
	}
	c := p.count()
	fmt.Fprintf(o.out, "%s: ok, %s\n", cfg.Path, plural(len(cfg.Rules), "rule"))
	p.printRoots(o.out, c)
	for i, r := range cfg.Rules {
		printRule(o.out, r, c.rules[i])
	}
	p.printGraph(o.out)
	if err := p.printWatch(ctx, o.out); err != nil {
		return exit(watchStatus(err), err)
	}
	for _, w := range append(p.doubts(c), p.suspicions(c)...) {
		fmt.Fprintf(o.err, "flinch: warning: %s\n", w)
	}
	return nil
}

// counts is what a walk over the roots finds.
type counts struct {
	roots []rootCount
	rules []ruleCount
}

type rootCount struct{ watched, files, spared int }

type ruleCount struct {
	files int
	first []string // the first few
}

// firstShown is how many of a rule's files check names.
const firstShown = 3

func (p *plan) count() counts {
	c := counts{rules: make([]ruleCount, len(p.rules))}
	for i := range p.roots {
		c.roots = append(c.roots, p.countRoot(i, c.rules))
	}
	return c
}

// countRoot walks one root: what is watched, and how much is spared.
func (p *plan) countRoot(root int, rules []ruleCount) (n rootCount) {
	var buf []int
	enter := func(dir string) bool {
		if dir != "." && p.prune(root, dir) {
			n.spared += countFolders(p.abs(root, dir))
			return false
		}
		n.watched++
		return true
	}
	p.tree(root, enter, func(file string) {
		n.files++
		buf = p.sets[root].Match(buf[:0], p.named(root, file), false)
		for _, i := range buf {
			rules[i].files++
			if len(rules[i].first) < firstShown {
				rules[i].first = append(rules[i].first, p.named(root, file))
			}
		}
	})
	return n
}

// countFolders counts a folder and all below it.
func countFolders(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

func (p *plan) printRoots(w io.Writer, c counts) {
	for i, root := range p.cfg.Roots {
		n := c.roots[i]
		fmt.Fprintf(w, "\nroot %s: %s watched, %d spared, %s\n", root, plural(n.watched, "folder"), n.spared, plural(n.files, "file"))
	}
}

func (c counts) watched() (n int) {
	for _, r := range c.roots {
		n += r.watched
	}
	return n
}

// watchLimit is fs.inotify.max_user_watches; 0 where it cannot be read.
func watchLimit() int {
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}

func printRule(w io.Writer, r *config.Rule, n ruleCount) {
	fmt.Fprintf(w, "\n%s %s\n", r.Kind, r.Name)
	fmt.Fprintf(w, "  run    %s\n", oneLine(r.Run.String()))
	if len(r.Needs) > 0 {
		fmt.Fprintf(w, "  needs  %s\n", strings.Join(r.Needs, ", "))
	}
	if len(r.Files) == 0 {
		return
	}
	fmt.Fprintf(w, "  files  %s\n", strings.Join(r.Files, " "))
	fmt.Fprintf(w, "  now    %s", plural(n.files, "file"))
	if len(n.first) > 0 {
		fmt.Fprintf(w, ": %s", strings.Join(n.first, " "))
	}
	if n.files > len(n.first) {
		fmt.Fprint(w, " ...")
	}
	fmt.Fprintln(w)
}

// doubts are things that are allowed and are likely not meant.
func (p *plan) doubts(c counts) []string {
	var list []string
	for i, r := range p.cfg.Rules {
		if len(r.Files) > 0 && c.rules[i].files == 0 {
			list = append(list, fmt.Sprintf("%s matches no file right now", r.Name))
		}
	}
	if limit := watchLimit(); limit > 0 && c.watched() > limit {
		list = append(list, fmt.Sprintf("%d folders are more than the %d watches a user may have; the rest will be polled", c.watched(), limit))
	}
	return list
}
