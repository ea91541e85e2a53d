package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/rule"
)

// explainCommand is `flinch explain`.
func (o *options) explainCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain PATH...",
		Short: "say which rules react to a path, or what keeps them from it",
		Long: `Say for each rule whether a change of the path would run it, and which line of
which file decides. The path need not exist. Exit status 1 where no rule reacts.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return o.explain(args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a path")
	return cmd
}

// answer is what explain says of one path.
type answer struct {
	Path   string       `json:"path"`
	Root   string       `json:"root,omitempty"`
	Reacts bool         `json:"reacts"`
	Why    string       `json:"why,omitempty"` // where no root holds it, or a folder above it is not watched
	Rules  []ruleAnswer `json:"rules,omitempty"`
	*fate               // what a flinch that runs here knows of it
}

type ruleAnswer struct {
	Rule     string `json:"rule"`
	Reacts   bool   `json:"reacts"`
	Decision string `json:"decision"`
	Why      string `json:"why"`
	Where    string `json:"where,omitempty"`
	Pattern  string `json:"pattern,omitempty"`
}

func (o *options) explain(paths []string, asJSON bool) error {
	cfg, err := o.load(nil, false)
	if err != nil {
		return err
	}
	p, err := newPlan(cfg)
	if err != nil {
		return exit(exitUsage, err)
	}
	answers := p.explainAll(paths)
	o.addFates(answers, paths)
	return o.printAnswers(answers, asJSON)
}

// explainAll shares the paths among all CPUs: people pipe whole trees into it.
func (p *plan) explainAll(paths []string) []answer {
	answers := make([]answer, len(paths))
	var workers sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for w := range n {
		workers.Go(func() {
			for i := w; i < len(paths); i += n {
				answers[i] = p.explain(paths[i])
			}
		})
	}
	workers.Wait()
	return answers
}

// printAnswers prints all of them; the exit status tells whether rules react to
// every path.
func (o *options) printAnswers(answers []answer, asJSON bool) error {
	colored, err := o.colored(o.out)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(o.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	silent := false
	for i := range answers {
		silent = silent || !answers[i].Reacts
		if asJSON {
			err = enc.Encode(answers[i])
		} else {
			err = answers[i].print(out, colored)
		}
		if err != nil {
			return exit(exitPipeGone, nil)
		}
	}
	if err := out.Flush(); err != nil {
		return exit(exitPipeGone, nil)
	}
	if silent {
		return exit(exitFailed, nil)
	}
	return nil
}

// explain says what every rule makes of a path, relative to the current folder.
func (p *plan) explain(path string) answer {
	a := answer{Path: path}
	root, rel := p.locate(path)
	if root < 0 {
		a.Why = "it is not below any root: " + strings.Join(p.cfg.Roots, ", ")
		return a
	}
	a.Path, a.Root = rel, p.cfg.Roots[root]
	info, err := os.Lstat(p.abs(root, rel))
	e := p.sets[root].Explain(p.named(root, rel), err == nil && info.IsDir())
	if e.Pruned.Decision != rule.Unmatched {
		a.Why = "not watched: " + e.Pruned.Text
	}
	for i, v := range e.Rules {
		r := ruleAnswer{Rule: p.cfg.Rules[i].Name, Decision: v.Decision.String(), Why: v.Text, Where: v.Where(), Pattern: v.Pattern}
		r.Reacts = v.Decision == rule.Matched
		if on := p.rules[i].On(); r.Reacts && on != rule.DefaultOps {
			r.Why += "; only on " + on.String()
		}
		a.Reacts = a.Reacts || r.Reacts
		a.Rules = append(a.Rules, r)
	}
	return a
}

// locate finds the root that holds a path, the deepest where several do, and
// the path relative to it; root -1 where none does.
func (p *plan) locate(path string) (root int, rel string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return -1, ""
	}
	root = -1
	for i, r := range p.roots {
		in, err := filepath.Rel(r, abs)
		if err != nil || in == ".." || strings.HasPrefix(in, "../") {
			continue
		}
		if root < 0 || len(r) > len(p.roots[root]) {
			root, rel = i, in
		}
	}
	return root, rel
}

// print is the answer for a person.
func (a *answer) print(w io.Writer, colored bool) error {
	fmt.Fprintln(w, a.Path)
	if a.Why != "" {
		fmt.Fprintf(w, "  %s\n", a.Why)
	}
	width := 0
	for _, r := range a.Rules {
		width = max(width, len(r.Rule))
	}
	for _, r := range a.Rules {
		verb := "silent"
		if r.Reacts {
			verb = "runs  "
		}
		if colored {
			verb = map[bool]string{true: "\x1b[32m", false: "\x1b[2m"}[r.Reacts] + verb + "\x1b[0m"
		}
		fmt.Fprintf(w, "  %-*s  %s  %s\n", width, r.Rule, verb, r.Why)
	}
	return a.fate.print(w)
}
