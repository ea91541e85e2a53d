package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/watch"
)

// What check says beyond counts: the graph of needs, how the roots are watched,
// and what is allowed but hardly meant.

// printGraph draws what needs what. A rule that needs several stands below the
// one that is furthest from the beginning; the others are named beside it.
func (p *plan) printGraph(w io.Writer) {
	if !slices.ContainsFunc(p.cfg.Rules, func(r *config.Rule) bool { return len(r.Needs) > 0 }) {
		return
	}
	fmt.Fprintln(w, "\norder")
	below := map[string][]*config.Rule{}
	for _, r := range p.cfg.Rules {
		below[p.mainNeed(r)] = append(below[p.mainNeed(r)], r)
	}
	var draw func(name, indent string)
	draw = func(name, indent string) {
		for i, r := range below[name] {
			branch, next := "├─ ", "│  "
			if i == len(below[name])-1 {
				branch, next = "└─ ", "   "
			}
			if name == "" {
				branch, next = "", ""
			}
			fmt.Fprintf(w, "  %s%s%s%s\n", indent, branch, r.Name, p.alsoNeeds(r))
			draw(r.Name, indent+next)
		}
	}
	draw("", "")
}

// depth is how many rules have to succeed one after the other before a rule.
func (p *plan) depth(name string) (n int) {
	if r := p.cfg.Rule(name); r != nil {
		for _, need := range r.Needs {
			n = max(n, p.depth(need)+1)
		}
	}
	return n
}

// mainNeed is the deepest of a rule's needs; empty: it has none.
func (p *plan) mainNeed(r *config.Rule) (main string) {
	for _, need := range r.Needs {
		if main == "" || p.depth(need) > p.depth(main) {
			main = need
		}
	}
	return main
}

func (p *plan) alsoNeeds(r *config.Rule) string {
	text := ""
	if r.Kind == config.Service {
		text = " (service)"
	}
	if len(r.Needs) < 2 {
		return text
	}
	others := slices.DeleteFunc(slices.Clone(r.Needs), func(n string) bool { return n == p.mainNeed(r) })
	return text + ", also needs " + strings.Join(others, ", ")
}

// printWatch watches the roots for a moment and says how that is done on each
// filesystem.
func (p *plan) printWatch(ctx context.Context, w io.Writer) error {
	opt := p.watchOptions()
	opt.Logger, opt.Warn = slog.New(slog.DiscardHandler), func(watch.Warning) {}
	watcher, err := watch.New(ctx, opt)
	if err != nil {
		return err
	}
	defer watcher.Close()
	stats := watcher.Stats()
	fmt.Fprintf(w, "\nwatches: %d", stats.Watches)
	if limit := watchLimit(); limit > 0 {
		fmt.Fprintf(w, " of the %d that this user may have", limit)
	}
	fmt.Fprintln(w)
	mounts := readMounts()
	for _, m := range stats.Mounts {
		name := mounts.of(m.Device)
		if m.Backend == "poll" {
			fmt.Fprintf(w, "mount %s: polled, it does not tell of all changes\n", name)
			continue
		}
		fmt.Fprintf(w, "mount %s: %s\n", name, m.Backend)
	}
	return nil
}

// suspicions are what is allowed in a config and hardly meant, beside what a
// count shows.
func (p *plan) suspicions(c counts) (list []string) {
	for i, r := range p.cfg.Rules {
		list = append(list, p.emptyGlobs(i, r, c)...)
		list = append(list, p.hiddenGlobs(i, r)...)
		list = append(list, p.feedsItself(i, r)...)
	}
	return list
}

// emptyGlobs are globs that match nothing, of a rule that matches something.
func (p *plan) emptyGlobs(i int, r *config.Rule, c counts) (list []string) {
	if c.rules[i].files == 0 || len(r.Files) < 2 {
		return nil
	}
	globs := map[string]*rule.Rule{}
	for _, text := range r.Files {
		if !strings.HasPrefix(text, "!") {
			if g, err := rule.New(rule.Options{Files: rule.Patterns(text)}); err == nil {
				globs[text] = g
			}
		}
	}
	p.walk(func(_ int, name string) {
		for text, g := range globs {
			if g.Match(name) {
				delete(globs, text)
			}
		}
	})
	for _, text := range r.Files {
		if globs[text] != nil {
			list = append(list, fmt.Sprintf("%s: the glob %q matches no file right now", r.Name, text))
		}
	}
	return list
}

// hiddenGlobs are globs into a place that an ignore line hides.
func (p *plan) hiddenGlobs(i int, r *config.Rule) (list []string) {
	for _, text := range r.Files {
		base := fixedPart(text)
		if strings.HasPrefix(text, "!") || base == "." {
			continue
		}
		for root := range p.roots {
			info, err := os.Lstat(p.abs(root, base))
			if err != nil {
				continue
			}
			e := p.sets[root].Explain(base, info.IsDir())
			v := e.Ignore
			if v.Decision == rule.Ignored && (info.IsDir() && p.prune(root, base) || !info.IsDir() && e.Rules[i].Decision != rule.Matched) {
				list = append(list, fmt.Sprintf("%s: %q is hidden by %s: %s", r.Name, text, whereOf(v), v.Pattern))
			}
		}
	}
	return list
}

func whereOf(v rule.Verdict) string {
	if where := v.Where(); where != "" {
		return where
	}
	return "an ignore line"
}

// fixedPart is what of a glob stands before its first special character, as a path.
func fixedPart(glob string) string {
	at := strings.IndexAny(glob, `*?[{\`)
	if at < 0 {
		return path.Clean(glob)
	}
	return path.Dir(glob[:at] + "x")
}

// feedsItself tells of a command that seems to write what its rule, or one that
// it needs, reacts to.
func (p *plan) feedsItself(i int, r *config.Rule) (list []string) {
	var buf []int
	for _, out := range outputs(r) {
		root, rel := p.locate(filepath.Join(p.cfg.Abs(r.Dir), out))
		if root < 0 || rel == "." {
			continue
		}
		names := []string{rel}
		if info, err := os.Stat(p.abs(root, rel)); err == nil && info.IsDir() {
			names = p.someIn(root, rel)
		}
		for _, name := range names {
			buf = p.sets[root].Match(buf[:0], name, false)
			if j := slices.IndexFunc(buf, func(j int) bool { return j == i || p.needs(r, p.cfg.Rules[j].Name) }); j >= 0 {
				list = append(list, fmt.Sprintf("%s seems to write %s, which %s reacts to: if so, add ignore = [%q]", r.Name, name, p.cfg.Rules[buf[j]].Name, "/"+rel))
				break
			}
		}
	}
	return list
}

// needs tells whether a rule needs another, by others too.
func (p *plan) needs(r *config.Rule, name string) bool {
	return slices.ContainsFunc(r.Needs, func(n string) bool {
		need := p.cfg.Rule(n)
		return n == name || need != nil && p.needs(need, name)
	})
}

// someIn are the first files in a folder.
func (p *plan) someIn(root int, dir string) (names []string) {
	const few = 100
	_ = filepath.WalkDir(p.abs(root, dir), func(at string, d fs.DirEntry, err error) error {
		if rel, relErr := filepath.Rel(p.roots[root], at); err == nil && relErr == nil && !d.IsDir() {
			names = append(names, rel)
		}
		if len(names) >= few {
			return fs.SkipAll
		}
		return nil
	})
	return names
}

// outputFlags are followed by what most commands write.
var outputFlags = []string{"-o", "--out", "--output", "--outdir", "--out-dir", "--outfile", ">", ">>"}

// outputs are the paths that a command seems to write: what follows an output
// flag or a redirection.
func outputs(r *config.Rule) (list []string) {
	words := r.Run.Argv
	if words == nil {
		line := strings.NewReplacer(">>", " >> ", ">", " > ", ";", " ; ", "|", " | ", "&", " & ").Replace(strings.ReplaceAll(r.Run.Line, ">>", ">"))
		words = strings.Fields(line)
	}
	for i, w := range words {
		flag, value, joined := strings.Cut(w, "=")
		switch {
		case joined && slices.Contains(outputFlags, flag):
			list = append(list, strings.Trim(value, `"'`))
		case slices.Contains(outputFlags, w) && i+1 < len(words):
			list = append(list, strings.Trim(words[i+1], `"'`))
		}
	}
	return slices.DeleteFunc(list, func(s string) bool {
		return s == "" || strings.ContainsAny(s, "${}*&") || strings.HasPrefix(s, "/dev/")
	})
}
