package config

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unicode"
)

// reader turns a document, or flags, into a Config. Only the goroutine of
// Parse touches it.
type reader struct {
	opt  Options
	doc  *document // nil for the ad hoc form
	cfg  *Config
	errs Errors
	// quiet: a value is set a second time, for another rule; what is wrong
	// with it has been said.
	quiet    bool
	defaults map[string]*node // parsed default texts
}

func newReader(opt Options, cfg *Config, doc *document) *reader {
	return &reader{opt: opt, cfg: cfg, doc: doc, defaults: map[string]*node{}}
}

// parse reads a whole config.
func parse(name, dir string, data []byte, opt Options) (*Config, error) {
	doc := readDocument(name, data)
	cfg := &Config{Path: name, Dir: dir, at: places{}, doc: doc}
	r := newReader(opt, cfg, doc)
	r.errs = doc.errs
	r.config(doc.root)
	r.flags(opt.Flags)
	r.finish()
	if len(r.errs) > 0 {
		sortErrors(r.errs)
		return nil, r.errs
	}
	return cfg, nil
}

// fail notes an error at a place; name is the key it is about, and is not
// repeated for a flag, which stands there itself.
func (r *reader) fail(pos Pos, name, hint, msg string) *Error {
	if r.quiet {
		return nil
	}
	if name != "" && pos.Flag == "" {
		msg = name + ": " + msg
	}
	e := &Error{File: r.cfg.Path, Pos: pos, Msg: msg, Help: hint}
	if r.doc != nil {
		e.Line = r.doc.line(pos.Line)
	}
	r.errs = append(r.errs, e)
	return e
}

// problem notes what a check of another package has found in a text at a
// place.
func (r *reader) problem(pos Pos, name, text string, err error) {
	var p *Problem
	if errors.As(err, &p) && p.Char > 0 && r.plainString(pos, text) {
		pos.Col, pos.Len = pos.Col+p.Char, 1
	}
	if e := r.fail(pos, name, hintOf(err), err.Error()); e != nil {
		e.Err = err
	}
}

// plainString reports whether the source at a place is this text in quotes,
// letter by letter, so that a place in the text is one in the line.
func (r *reader) plainString(pos Pos, text string) bool {
	if r.doc == nil || pos.Line == 0 {
		return false
	}
	line := []rune(r.doc.line(pos.Line))
	from := min(pos.Col, len(line))
	return strings.HasPrefix(string(line[from:]), text)
}

// config reads the tree: global keys, then the rules in file order.
func (r *reader) config(root *node) {
	r.globalDefaults()
	for _, kid := range root.kids {
		switch kid.key {
		case Task.String():
			r.ruleTable(Task, kid)
		case Service.String():
			r.ruleTable(Service, kid)
		default:
			r.global(kid)
		}
	}
	slices.SortStableFunc(r.cfg.Rules, func(a, b *Rule) int { return a.pos.compare(b.pos) })
}

// global reads a key above the first table.
func (r *reader) global(n *node) {
	key := findKey(n.key)
	switch {
	case key == nil:
		r.unknownGlobal(n)
	case !key.Where.Has(Global):
		r.fail(n.keyPos, "", fmt.Sprintf("write it under [%s.NAME]", kindOf(key)), fmt.Sprintf("%s is a key of a rule", n.key))
	case key.Where.Has(Inherit):
		r.set(key, n, &Rule{at: places{}}) // to see whether it is right
		r.cfg.at.note(n)
	default:
		r.set(key, n, nil)
	}
}

// kindOf is a table that may hold a rule's key.
func kindOf(key *Key) Kind {
	if key.Where.Has(Rules) {
		return Task
	}
	return Service
}

// unknownGlobal says what a key or table above the rules may have meant.
func (r *reader) unknownGlobal(n *node) {
	names := append(namesWhere(Global), "task", "service")
	msg, hint := fmt.Sprintf("unknown key %q", n.key), ""
	near := nearest(n.key, names)
	switch {
	case near != "":
		msg += ", did you mean " + near + "?"
	case n.kind == tableKind:
		hint = fmt.Sprintf("a rule is written [task.%s] or [service.%[1]s]", n.key)
		if !isRuleName(n.key) {
			hint = "a rule is written [task.NAME] or [service.NAME]"
		}
	case nearest(n.key, namesWhere(Rules|Services)) != "":
		hint = fmt.Sprintf("%s is a key of a rule: write it under [task.NAME]", nearest(n.key, namesWhere(Rules|Services)))
	}
	r.fail(n.keyPos, "", hint, msg)
}

// ruleTable reads the rules of [task] or [service].
func (r *reader) ruleTable(kind Kind, table *node) {
	if table.kind != tableKind {
		r.fail(table.keyPos, "", fmt.Sprintf("write [%s.NAME]", kind), fmt.Sprintf("%s must be a table of rules, not %s", kind, table.kind))
		return
	}
	for _, kid := range table.kids {
		if kid.kind == tableKind {
			r.rule(kind, kid)
			continue
		}
		r.fail(kid.keyPos, "", fmt.Sprintf("write it under [%s.NAME]", kind),
			fmt.Sprintf("%s.%s is no rule: it must be a table, not %s", kind, kid.key, kid.kind))
	}
}

// rule reads one rule.
func (r *reader) rule(kind Kind, n *node) {
	rule := &Rule{Name: n.key, Kind: kind, pos: n.keyPos, at: places{}}
	if !isRuleName(n.key) {
		rule.broken = true
		r.fail(n.keyPos, "", "a name has letters, digits, _ - and ., and begins with a letter, a digit or _", fmt.Sprintf("bad rule name %q", n.key))
	}
	r.ruleDefaults(rule)
	r.inherit(rule)
	for _, kid := range n.kids {
		r.ruleKey(rule, kid)
	}
	r.cfg.Rules = append(r.cfg.Rules, rule)
}

func isRuleName(name string) bool {
	if name == "" || len(name) > 64 || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("_-.", c)
	})
}

// inherit gives a rule the global keys that are defaults of all rules.
func (r *reader) inherit(rule *Rule) {
	if r.doc == nil {
		return
	}
	r.quiet = true
	defer func() { r.quiet = false }()
	for _, n := range r.doc.root.kids {
		if key := findKey(n.key); key != nil && key.Where.Has(Inherit) {
			r.set(key, n, rule)
		}
	}
}

// ruleKey reads one key of a rule.
func (r *reader) ruleKey(rule *Rule, n *node) {
	key := findKey(n.key)
	allowed := Rules
	if rule.Kind == Service {
		allowed |= Services
	}
	switch {
	case key != nil && key.Where.Has(allowed):
		r.set(key, n, rule)
	case key != nil && key.Where.Has(Services):
		r.fail(n.keyPos, "", fmt.Sprintf("write [service.%s] if it is one that keeps running", rule.Name),
			fmt.Sprintf("%s is a key of services only, and %s is a task", n.key, rule.Name))
	case key != nil:
		r.fail(n.keyPos, "", "write it above the first table", fmt.Sprintf("%s is a key of the whole file, not of a rule", n.key))
	case n.kind == tableKind && n.header:
		rule.broken = true
		r.fail(n.keyPos, "", fmt.Sprintf(`a name with a dot needs quotes: [%s."%s.%s"]`, rule.Kind, rule.Name, n.key),
			fmt.Sprintf("unknown table %q in %s %s", n.key, rule.Kind, rule.Name))
	default:
		rule.broken = rule.broken || nearest(n.key, namesWhere(allowed)) == "run"
		r.fail(n.keyPos, "", "", fmt.Sprintf("unknown key %q in %s %s%s", n.key, rule.Kind, rule.Name, didYouMean(n.key, namesWhere(allowed))))
	}
}

// set reads a value into its field and notes its place.
func (r *reader) set(key *Key, n *node, rule *Rule) {
	if slices.Contains(r.opt.NotYet, key.Name) {
		r.fail(n.pos, key.Name, "", "not yet in this version")
		return
	}
	key.set(value{r: r, n: n, name: key.Name, cfg: r.cfg, rule: rule})
	at := r.cfg.at
	if rule != nil {
		at = rule.at
	}
	at.noteAs(key.Name, n)
}

func (p places) note(n *node) { p.noteAs(n.key, n) }

// noteAs keeps the places of a value and of its elements.
func (p places) noteAs(key string, n *node) {
	list := []Pos{n.pos}
	if n.kind == arrayKind {
		for _, kid := range n.kids {
			list = append(list, kid.pos)
		}
	}
	p[key] = list
	if n.kind == tableKind {
		for _, kid := range n.kids {
			p.noteAs(key+"."+kid.key, kid)
		}
	}
}

// globalDefaults and ruleDefaults are the one place where defaults come
// from: the table of keys.
func (r *reader) globalDefaults() {
	r.cfg.Jobs = runtime.NumCPU()
	for i := range keys {
		if key := &keys[i]; key.Where.Has(Global) && !key.Where.Has(Rules) {
			r.setDefault(key, key.Default, nil)
		}
	}
}

func (r *reader) ruleDefaults(rule *Rule) {
	for i := range keys {
		key := &keys[i]
		if key.Where.Has(Rules) || rule.Kind == Service && key.Where.Has(Services) {
			r.setDefault(key, key.defaultFor(rule.Kind), rule)
		}
	}
}

// setDefault reads a default's text as if it stood in a file, at no place.
func (r *reader) setDefault(key *Key, text string, rule *Rule) {
	if text == "" {
		return
	}
	n := r.defaults[text]
	if n == nil {
		n = readDocument("default", []byte("v = "+text)).root.child("v")
		r.defaults[text] = n
	}
	key.set(value{r: r, n: n, name: key.Name, cfg: r.cfg, rule: rule})
}

func findKey(name string) *Key {
	at := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if at < 0 {
		return nil
	}
	return &keys[at]
}

func namesWhere(where Where) []string {
	var names []string
	for _, k := range keys {
		if k.Where.Has(where) {
			names = append(names, k.Name)
		}
	}
	return names
}
