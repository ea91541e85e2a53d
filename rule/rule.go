// Package rule decides which paths a rule reacts to and which nobody cares
// for: globs (doublestar), gitignore lines, default ignores, and which folders
// need not be watched because nothing below them can matter.
//
// All paths are slash-separated and relative to a root, without a leading
// "./" or a trailing slash; "." is the root itself. Case is as it stands.
//
// [Rule] holds the globs of one rule and its own ignore lines, [Ignore] the
// ignore files of a root, its default ignores and the config's ignore lines;
// [Set] puts many rules and one Ignore together and answers for all of them
// at once. Each decision can explain itself with a [Verdict].
//
// The package starts no goroutine. Rule and Set are immutable, and Ignore locks
// what it caches: all three may be used by any number of goroutines.
package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pattern is one glob or one ignore line as a user wrote it.
type Pattern struct {
	Text string // the glob or line itself

	// Where it was written, for errors and verdicts: a file or a flag such as
	// "--files", the line and column (in characters) from 1; 0 is unknown.
	File      string
	Line, Col int
}

// Patterns makes patterns that stand nowhere in particular, for tests and flags.
func Patterns(texts ...string) []Pattern {
	patterns := make([]Pattern, len(texts))
	for i, text := range texts {
		patterns[i].Text = text
	}
	return patterns
}

// String returns the text, quoted, and where it stands if that is known.
func (p Pattern) String() string {
	if where := p.where(); where != "" {
		return fmt.Sprintf("%q (%s)", p.Text, where)
	}
	return fmt.Sprintf("%q", p.Text)
}

func (p Pattern) where() string {
	switch {
	case p.File == "" || p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Options is what a rule is made of.
type Options struct {
	// Files are doublestar globs relative to the root. One that begins with "!"
	// excludes. A path matches when a glob without "!" matches it and none
	// with "!" does, in whatever order they stand; only "!" globs means
	// everything but what they match; none at all matches nothing. "src/" is
	// short for "src/**".
	Files []Pattern

	// Ignore are lines of gitignore syntax relative to the root, later lines
	// winning over earlier ones.
	Ignore []Pattern

	// On are the kinds of change that count; none means DefaultOps.
	On Ops
}

// Rule is the compiled form of one rule's globs and ignore lines.
type Rule struct {
	globs      []glob
	ignore     *list // nil without lines
	reincludes bool  // ignore holds a "!" line
	everything bool  // there are only "!" globs
	on         Ops
}

// New compiles a rule. The error joins an *[Error] for each pattern that is
// wrong, in the order of Files and then Ignore.
func New(opt Options) (*Rule, error) {
	r := &Rule{on: opt.On}
	if r.on == 0 {
		r.on = DefaultOps
	}
	var problems []error
	for _, p := range opt.Files {
		g, err := compileGlob(p)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		r.globs = append(r.globs, g)
	}
	r.everything = len(r.globs) > 0 && !slices.ContainsFunc(r.globs, func(g glob) bool { return !g.negated })
	ignore, err := compileLines(opt.Ignore)
	if err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	r.ignore, r.reincludes = ignore, ignore.reincludes()
	return r, nil
}

// Match reports whether the rule reacts to the file at path: its globs want
// it, and its own ignore lines do not hide it or a folder above it.
func (r *Rule) Match(path string) bool {
	return r.wants(path) && !r.hides(path, false)
}

// On returns the kinds of change that the rule reacts to.
func (r *Rule) On() Ops { return r.on }

// Prune reports whether nothing below the folder dir can match: the folder
// itself may. It never prunes a folder in which some path could match; the
// root "." is pruned only by a rule that matches nothing at all.
func (r *Rule) Prune(dir string) bool {
	return r.pruneGlobs(dir) || r.hides(dir, true)
}

// Literals returns the paths that the rule names outright, without a
// wildcard. Default ignores do not hide them (see [IgnoreOptions.Named]).
func (r *Rule) Literals() []string {
	var paths []string
	for _, g := range r.globs {
		for _, a := range g.alts {
			if !g.negated && a.kind == exact {
				paths = append(paths, a.prefix)
			}
		}
	}
	return paths
}

// Explain says which glob or which of the rule's own ignore lines decides over
// path; dir tells whether it is (or would be) a folder.
func (r *Rule) Explain(path string, dir bool) Verdict {
	if l, at := r.hiddenBy(path, dir); ignoring(l) != nil {
		return l.verdict(path, at)
	}
	return r.explainGlobs(path)
}

// ExplainPrune says why nothing below dir can match, or what could.
func (r *Rule) ExplainPrune(dir string) Verdict {
	if l, at := r.hiddenBy(dir, true); ignoring(l) != nil {
		return l.verdict(dir, at)
	}
	for _, g := range r.globs {
		if g.negated && g.covers(dir) {
			return g.verdict(Pruned, fmt.Sprintf("everything below %s is excluded by %s", dir, g.pattern))
		}
	}
	if r.pruneGlobs(dir) {
		return Verdict{Decision: Pruned, Text: fmt.Sprintf("no glob of the rule can match below %s", dir)}
	}
	for _, g := range r.globs {
		if !g.negated && g.reaches(dir) {
			return g.verdict(Matched, fmt.Sprintf("%s can match below %s", g.pattern, dir))
		}
	}
	return Verdict{Decision: Matched, Text: "everything that no \"!\" glob excludes can match"}
}

// wants says what the globs alone decide.
func (r *Rule) wants(path string) bool {
	return (r.everything || r.matches(path, false)) && !r.matches(path, true)
}

// matches reports whether one of the globs with or without "!" matches.
func (r *Rule) matches(path string, negated bool) bool {
	for i := range r.globs {
		if g := &r.globs[i]; g.negated == negated && g.match(path) {
			return true
		}
	}
	return false
}

// hides says what the rule's own ignore lines alone decide.
func (r *Rule) hides(path string, dir bool) bool {
	l, _ := r.hiddenBy(path, dir)
	return ignoring(l) != nil
}

// hiddenBy returns the line that decides and the folder or path it decides at:
// the first folder from the top that is ignored, else what is said of path.
func (r *Rule) hiddenBy(path string, dir bool) (l *line, at string) {
	if r.ignore == nil || path == "." {
		return nil, ""
	}
	for at, below := range ancestors(path) {
		l = r.ignore.last(at, below || dir)
		if l != nil && !l.negated {
			return l, at
		}
	}
	return l, path
}

func (r *Rule) pruneGlobs(dir string) bool {
	reached := r.everything
	for i := range r.globs {
		if g := &r.globs[i]; !g.negated && !reached {
			reached = g.reaches(dir)
		}
	}
	return !reached || r.coversAll(dir)
}

// coversAll reports whether a "!" glob excludes everything below dir.
func (r *Rule) coversAll(dir string) bool {
	for i := range r.globs {
		if g := &r.globs[i]; g.negated && g.covers(dir) {
			return true
		}
	}
	return false
}

func (r *Rule) explainGlobs(path string) Verdict {
	for _, g := range r.globs {
		if g.negated && g.match(path) {
			return g.verdict(Excluded, fmt.Sprintf("excluded by %s", g.pattern))
		}
	}
	for _, g := range r.globs {
		if !g.negated && g.match(path) {
			return g.verdict(Matched, fmt.Sprintf("matched by %s", g.pattern))
		}
	}
	switch {
	case r.everything:
		return Verdict{Decision: Matched, Text: "matched: the rule has only \"!\" globs and none excludes it"}
	case len(r.globs) == 0:
		return Verdict{Decision: Unmatched, Text: "the rule has no globs"}
	}
	return Verdict{Decision: Unmatched, Text: "no glob of the rule matches"}
}

// ancestors yields each folder above path from the top, with true, and then
// path itself, with false.
func ancestors(path string) func(yield func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		for end := 0; ; end++ {
			next := strings.IndexByte(path[end:], '/')
			if next < 0 {
				yield(path, false)
				return
			}
			end += next
			if !yield(path[:end], true) {
				return
			}
		}
	}
}
