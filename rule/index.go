package rule

import (
	"slices"
	"strings"
)

// index finds the rules whose globs want a path, without asking each of them:
// every glob without "!" is found by something that the paths it matches have
// in common.
type index struct {
	rules    []*Rule
	byPath   map[string][]entry // the path itself
	byTop    map[string]bool    // the first elements of the keys of byFolder
	byFolder map[string][]entry // a folder above, or the path itself
	byName   map[string][]entry // the last element
	byTail   map[string][]entry // the last element from its last dot on
	others   []entry
}

// entry is one alternative of a glob; its glob is nil for a rule that wants
// everything but what its "!" globs match.
type entry struct {
	rule int
	glob *glob
	alt  *alt
}

func newIndex(rules []*Rule) index {
	x := index{
		rules:    rules,
		byPath:   make(map[string][]entry),
		byTop:    make(map[string]bool),
		byFolder: make(map[string][]entry),
		byName:   make(map[string][]entry),
		byTail:   make(map[string][]entry),
	}
	for i, r := range rules {
		if r.everything {
			x.others = append(x.others, entry{rule: i})
		}
		for g := range r.globs {
			if !r.globs[g].negated {
				x.addGlob(i, &r.globs[g])
			}
		}
	}
	return x
}

func (x *index) addGlob(rule int, g *glob) {
	for i := range g.alts {
		x.add(entry{rule: rule, glob: g, alt: &g.alts[i]})
	}
}

// add files an alternative under the key that fewest paths have.
func (x *index) add(e entry) {
	a := e.alt
	folder := strings.TrimSuffix(a.folder(), "/")
	name := a.suffix[strings.LastIndexByte(a.suffix, '/')+1:]
	dot := strings.LastIndexByte(name, '.')
	switch {
	case a.kind == exact:
		x.byPath[a.prefix] = append(x.byPath[a.prefix], e)
	case folder != "":
		top, _, _ := strings.Cut(folder, "/")
		x.byTop[top] = true
		x.byFolder[folder] = append(x.byFolder[folder], e)
	case len(name) < len(a.suffix), a.wholeName():
		x.byName[name] = append(x.byName[name], e)
	case dot >= 0:
		x.byTail[name[dot:]] = append(x.byTail[name[dot:]], e)
	default:
		x.others = append(x.others, e)
	}
}

// match appends the rules whose globs want path to dst, in order.
func (x *index) match(dst []int, path string) []int {
	start := len(dst)
	name := path[strings.LastIndexByte(path, '/')+1:]
	dst = x.try(dst, start, x.others, path)
	if len(x.byPath) > 0 {
		dst = x.try(dst, start, x.byPath[path], path)
	}
	if len(x.byName) > 0 {
		dst = x.try(dst, start, x.byName[name], path)
	}
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		dst = x.try(dst, start, x.byTail[name[dot:]], path)
	}
	if top, _, _ := strings.Cut(path, "/"); x.byTop[top] {
		for end := len(top); ; {
			dst = x.try(dst, start, x.byFolder[path[:end]], path)
			if end == len(path) {
				break
			}
			end = nextSlash(path, end+1)
		}
	}
	slices.Sort(dst[start:])
	return dst
}

// try asks the entries' globs; dst[start:] are the rules already found.
func (x *index) try(dst []int, start int, entries []entry, path string) []int {
	for i := range entries {
		e := &entries[i]
		if !e.matches(path) || slices.Contains(dst[start:], e.rule) || x.rules[e.rule].matches(path, true) {
			continue
		}
		dst = append(dst, e.rule)
	}
	return dst
}

func (e *entry) matches(path string) bool {
	return e.glob == nil || e.alt.match(path) && (e.glob.whole == "" || e.glob.match(path))
}

// nextSlash returns the offset of the next slash from i on, or the end.
func nextSlash(path string, i int) int {
	if n := strings.IndexByte(path[i:], '/'); n >= 0 {
		return i + n
	}
	return len(path)
}
