package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	silent := false
	for _, path := range paths {
		a := p.explain(path)
		silent = silent || !a.Reacts
		if err := o.printAnswer(a, asJSON); err != nil {
			return err
		}
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

func (o *options) printAnswer(a answer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(o.out).Encode(a)
	}
	fmt.Fprintln(o.out, a.Path)
	if a.Why != "" {
		fmt.Fprintf(o.out, "  %s\n", a.Why)
	}
	width := 0
	for _, r := range a.Rules {
		width = max(width, len(r.Rule))
	}
	for _, r := range a.Rules {
		verb := "silent"
		if r.Reacts {
			verb = "runs"
		}
		if _, err := fmt.Fprintf(o.out, "  %-*s  %-6s  %s\n", width, r.Rule, verb, r.Why); err != nil {
			return err
		}
	}
	return nil
}
