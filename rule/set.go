package rule

import "slices"

// SetOptions is what a Set is made of.
type SetOptions struct {
	Rules  []*Rule
	Ignore *Ignore // nil ignores nothing

	// Keep are paths that someone else wants to hear of, a lock or an ignore
	// file within .git for example: Prune and Skip leave them and the folders
	// above them alone. No rule matches them for that.
	Keep []string
}

// Set answers for all rules of a root at once, ignores included. Its Prune and
// Skip have the form that a watcher asks for.
//
// An ignore decision and a rule's own meet like this: the rule's own ignore
// lines go before those of the Ignore; a path that a rule names outright is not
// hidden from it by default ignores, while other rules do not see it.
type Set struct {
	rules  []*Rule
	ignore *Ignore
	keep   map[string]bool  // Keep and the folders above
	named  map[string][]int // the rules that name a path outright
	index  index
	mixed  bool // a rule has "!" ignore lines: it may see what the Ignore hides
}

// NewSet indexes the rules. The Ignore's Named must hold the Literals of all
// rules for their promise to hold.
func NewSet(opt SetOptions) *Set {
	s := &Set{rules: opt.Rules, ignore: opt.Ignore, keep: leadingTo(opt.Keep), named: make(map[string][]int)}
	for i, r := range opt.Rules {
		for _, path := range r.Literals() {
			if !slices.Contains(s.named[path], i) {
				s.named[path] = append(s.named[path], i)
			}
		}
		s.mixed = s.mixed || r.reincludes
	}
	s.index = newIndex(opt.Rules)
	return s
}

// Match appends the numbers of the rules that react to path to dst, in order,
// and returns it. dir tells whether path is (or was) a folder.
func (s *Set) Match(dst []int, path string, dir bool) []int {
	start := len(dst)
	dst = s.index.match(dst, path)
	if len(dst) == start {
		return dst
	}
	hidden, byDefault := s.hidden(path, dir)
	if hidden && !byDefault && !s.mixed {
		return dst[:start]
	}
	kept := dst[:start]
	for _, i := range dst[start:] {
		if s.shows(i, path, dir, hidden, byDefault) {
			kept = append(kept, i)
		}
	}
	return kept
}

// Prune reports whether no rule can match below the folder dir and nothing
// there is to be kept: it need not be watched.
func (s *Set) Prune(dir string) bool {
	if dir == "." || s.keep[dir] {
		return false
	}
	reached := func(r *Rule) bool { return !r.Prune(dir) }
	switch {
	case !slices.ContainsFunc(s.rules, reached):
		return true
	case s.ignore == nil || !s.ignore.Match(dir, true):
		return false
	case !s.mixed:
		return true
	}
	return !slices.ContainsFunc(s.rules, func(r *Rule) bool {
		return r.reincludes && reached(r) && !s.hiddenFrom(r, dir, true)
	})
}

// Skip reports whether a change of the file at path can be dropped unseen.
func (s *Set) Skip(path string) bool {
	if s.keep[path] || (s.ignore != nil && s.ignore.Affects(path)) {
		return false
	}
	var few [8]int
	return len(s.Match(few[:0], path, false)) == 0
}

// Explain says what becomes of path: a verdict for each rule, in order, and
// why the folder it is in is not watched, if it is not.
func (s *Set) Explain(path string, dir bool) Explanation {
	e := Explanation{Path: path, Rules: make([]Verdict, len(s.rules))}
	for i, r := range s.rules {
		e.Rules[i] = r.Explain(path, dir)
	}
	s.explainIgnored(&e, dir)
	for at, above := range ancestors(path) {
		if (above || dir) && s.Prune(at) {
			e.Pruned = s.explainPrune(at)
			break
		}
	}
	return e
}

// explainIgnored adds what the Ignore says, and takes the path from the rules
// that it is hidden from.
func (s *Set) explainIgnored(e *Explanation, dir bool) {
	if s.ignore == nil {
		return
	}
	e.Ignore = s.ignore.Explain(e.Path, dir)
	if e.Ignore.Decision != Ignored && !s.ignore.open[e.Path] {
		return // the common case: without the default ignores it would be no less hidden
	}
	hidden, byDefault := s.hidden(e.Path, dir)
	for i := range e.Rules {
		if e.Rules[i].Decision == Matched && !s.shows(i, e.Path, dir, hidden, byDefault) {
			e.Rules[i] = s.explainHidden(e.Path, dir)
		}
	}
}

// Explanation is what a Set has to say about a path.
type Explanation struct {
	Path   string
	Rules  []Verdict // for each rule, ignores included
	Ignore Verdict   // what the Ignore alone says
	Pruned Verdict   // the topmost folder that is not watched; Unmatched if all are
}

// hidden says whether the Ignore hides path, and whether that is only because
// of the default ignores.
func (s *Set) hidden(path string, dir bool) (hidden, byDefault bool) {
	if s.ignore == nil {
		return false, false
	}
	if l, _ := s.ignore.judgeAs(path, dir, true); ignoring(l) == nil {
		return false, false
	}
	return true, s.named[path] != nil && !s.ignore.Match(path, dir)
}

// shows reports whether rule i, whose globs match path, reacts to it.
func (s *Set) shows(i int, path string, dir, hidden, byDefault bool) bool {
	r := s.rules[i]
	own, _ := r.hiddenBy(path, dir)
	switch {
	case own != nil && !own.negated:
		return false
	case !hidden, byDefault && slices.Contains(s.named[path], i):
		return true
	case !r.reincludes:
		return false
	}
	return !s.hiddenFrom(r, path, dir)
}

// hiddenFrom judges path with the rule's own lines before the Ignore's, from
// the topmost folder down.
func (s *Set) hiddenFrom(r *Rule, path string, dir bool) bool {
	for at, above := range ancestors(path) {
		folder := above || dir
		l := r.ignore.last(at, folder)
		if l == nil {
			l = s.ignore.judgeAlone(at, folder)
		}
		if ignoring(l) != nil {
			return true
		}
	}
	return false
}

func (s *Set) explainHidden(path string, dir bool) Verdict {
	l, at := s.ignore.judgeAs(path, dir, true)
	if l == ownLine {
		return s.ignore.Explain(path, dir)
	}
	return s.ignore.verdict(l, path, at, dir)
}

func (s *Set) explainPrune(dir string) Verdict {
	if s.ignore != nil {
		if v := s.ignore.Explain(dir, true); v.Decision == Ignored {
			v.Decision = Pruned
			return v
		}
	}
	if len(s.rules) == 1 {
		v := s.rules[0].ExplainPrune(dir)
		v.Decision, v.At = Pruned, dir
		return v
	}
	return Verdict{Decision: Pruned, At: dir, Text: "no rule can match anything below " + dir}
}
