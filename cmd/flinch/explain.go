package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/control"
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
		Args: needs("a PATH"),
		RunE: func(_ *cobra.Command, args []string) error { return o.explain(args, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a path")
	return cmd
}

// answer is what explain says of one path.
type answer struct {
	Path   string       `json:"path"`
	B64    string       `json:"path_b64,omitempty"` // of a name that is not UTF-8, beside a lossy path
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
	colored, err := o.colored(o.out)
	if err != nil {
		return err
	}
	render := func(b *bytes.Buffer, a *answer) { a.text(b, colored) }
	if asJSON {
		render = func(b *bytes.Buffer, a *answer) { a.json(b) }
	}
	texts, silent, err := o.explainHere(paths, render)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := o.out.Write(text); err != nil {
			return err
		}
	}
	if silent {
		return exit(exitFailed, nil)
	}
	return nil
}

// explainHere asks the config; where there is none, the flinch that runs here
// without one.
func (o *options) explainHere(paths []string, render func(*bytes.Buffer, *answer)) (texts [][]byte, silent bool, err error) {
	cfg, err := o.load(nil, false)
	if errors.Is(err, fs.ErrNotExist) && o.config == "" {
		if list := o.askExplain(paths, false); list != nil {
			text, silent := renderAll(list, render)
			return [][]byte{text}, silent, nil
		}
	}
	if err != nil {
		return nil, false, err
	}
	p, err := newPlan(cfg)
	if err != nil {
		return nil, false, exit(exitUsage, err)
	}
	texts, silent = p.explainAll(paths, o.fates(paths), render)
	return texts, silent, nil
}

// renderAll writes what a flinch that runs answers.
func renderAll(list []control.Explanation, render func(*bytes.Buffer, *answer)) (text []byte, silent bool) {
	var b bytes.Buffer
	for i := range list {
		e := &list[i]
		a := answer{Path: e.Path, Root: e.Root, Why: e.Why, fate: fateOf(e)}
		for _, r := range e.Rules {
			a.Rules = append(a.Rules, ruleAnswer(r))
			a.Reacts = a.Reacts || r.Reacts
		}
		silent = silent || !a.Reacts
		render(&b, &a)
	}
	return b.Bytes(), silent
}

// explainAll shares the paths among all CPUs, since people pipe whole trees into
// it, and returns what there is to print, and whether no rule reacts to one.
func (p *plan) explainAll(paths []string, fates []*fate, render func(*bytes.Buffer, *answer)) ([][]byte, bool) {
	const together = 64
	texts := make([][]byte, (len(paths)+together-1)/together)
	var workers sync.WaitGroup
	var next atomic.Int64
	var silent atomic.Bool
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var b bytes.Buffer
			for n := int(next.Add(1)) - 1; n < len(texts); n = int(next.Add(1)) - 1 {
				b.Reset()
				for i := n * together; i < min((n+1)*together, len(paths)); i++ {
					a := p.explain(paths[i])
					if fates != nil {
						a.fate = fates[i]
					}
					if !a.Reacts {
						silent.Store(true)
					}
					render(&b, &a)
				}
				texts[n] = bytes.Clone(b.Bytes())
			}
		})
	}
	workers.Wait()
	return texts, silent.Load()
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
	a.Rules = make([]ruleAnswer, 0, len(e.Rules))
	for i, v := range e.Rules {
		r := ruleAnswer{Rule: p.cfg.Rules[i].Name, Decision: v.Decision.String(), Why: v.Text, Pattern: v.Pattern}
		if v.Source != "" {
			r.Where = v.Where()
		}
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

// json writes the answer as one line.
func (a *answer) json(b *bytes.Buffer) {
	wire := *a
	wire.Path, wire.B64 = wirePath(a.Path)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(wire) // strings and times always encode
}

// text writes the answer for a person.
func (a *answer) text(b *bytes.Buffer, colored bool) {
	width := 0
	for i := range a.Rules {
		width = max(width, len(a.Rules[i].Rule))
	}
	b.WriteString(a.Path + "\n")
	if a.Why != "" {
		b.WriteString("  " + a.Why + "\n")
	}
	silent, runs := "  silent  ", "  runs    "
	if colored {
		silent, runs = "  \x1b[2msilent\x1b[0m  ", "  \x1b[32mruns  \x1b[0m  "
	}
	for i := range a.Rules {
		r := &a.Rules[i]
		verb := silent
		if r.Reacts {
			verb = runs
		}
		b.WriteString("  ")
		b.WriteString(r.Rule)
		for range width - len(r.Rule) {
			b.WriteByte(' ')
		}
		b.WriteString(verb)
		b.WriteString(r.Why)
		b.WriteByte('\n')
	}
	b.Write(a.fate.text(nil))
}
