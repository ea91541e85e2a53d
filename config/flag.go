package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Flag is a key whose value was given on the command line.
type Flag struct {
	Name   string   // as the user knows it: "--busy"; errors begin with it
	Key    string   // of [Keys]
	Values []string // one, or several for a list; for a boolean "true" or "false"
}

// Invocation is a call of the ad hoc form.
type Invocation struct {
	Dir     string   // where flinch was called
	Command []string // the words after --
	Service bool
	Flags   []Flag // of one key of a list, all count; of another, the last
}

// AdHoc makes the Config of a call without a config file: one rule, its
// values read by the same code as those of a file. Errors are in terms of the
// flags: `--busy: unknown signal "HUPP", did you mean HUP?`.
func AdHoc(call Invocation, opt Options) (*Config, error) {
	dir, err := filepath.Abs(call.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the current folder: %w", err)
	}
	cfg := &Config{Dir: dir, at: places{}}
	r := newReader(opt, cfg, nil)
	r.globalDefaults()
	command := CommandOf(call.Command)
	rule := &Rule{Name: nameOf(command), Kind: Task, at: places{}}
	if call.Service {
		rule.Kind = Service
	}
	r.ruleDefaults(rule)
	rule.Run = command
	if command.IsZero() {
		r.fail(Pos{Flag: "--"}, "", "flinch [flags] -- COMMAND [ARG...]", "no command after it")
	}
	cfg.Rules = []*Rule{rule}
	for _, f := range merged(call.Flags) {
		r.flag(f, []*Rule{rule}, true)
	}
	r.finish()
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return cfg, nil
}

// CommandOf reads the words after --: several are executed as they are, a
// single one that holds spaces or shell syntax is a string for the shell.
func CommandOf(words []string) Command {
	switch {
	case len(words) == 0 || strings.TrimSpace(words[0]) == "":
		return Command{}
	case len(words) == 1 && strings.ContainsAny(words[0], " \t\n|&;<>()$`\\\"'*?[#~="):
		return Command{Line: words[0]}
	}
	return Command{Argv: words}
}

// Ext turns a list of extensions, "go,html" or ".go", into a glob.
func Ext(list string) (string, error) {
	var words []string
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimPrefix(strings.TrimSpace(word), ".")
		if word == "" || strings.ContainsAny(word, `/*?[]{}\!`) {
			return "", &unitError{fmt.Sprintf("%q is not a list of extensions", list), "it is written like go,html"}
		}
		words = append(words, word)
	}
	if len(words) == 1 {
		return "**/*." + words[0], nil
	}
	return "**/*.{" + strings.Join(words, ",") + "}", nil
}

// nameOf names the rule of an ad hoc command after its program.
func nameOf(c Command) string {
	words := c.Argv
	if c.Argv == nil {
		words = strings.Fields(c.Line)
	}
	if len(words) > 0 && isRuleName(filepath.Base(words[0])) {
		return filepath.Base(words[0])
	}
	return "command"
}

// flags lays flags over a file.
func (r *reader) flags(flags []Flag) {
	for _, f := range merged(flags) {
		r.flag(f, r.cfg.Rules, false)
	}
}

// merged puts the values of flags of one list key together; of others the
// last wins.
func merged(flags []Flag) []Flag {
	var list []Flag
	index := map[string]int{}
	for _, f := range flags {
		at, seen := index[f.Key]
		key := findKey(f.Key)
		switch {
		case !seen:
			index[f.Key] = len(list)
			list = append(list, f)
		case key != nil && key.Type == TypeStrings:
			list[at].Values = append(list[at].Values[:len(list[at].Values):len(list[at].Values)], f.Values...)
		default:
			list[at] = f
		}
	}
	return list
}

// flag sets one key from a flag: globally, or in all rules.
func (r *reader) flag(f Flag, rules []*Rule, adHoc bool) {
	key := findKey(f.Key)
	pos := Pos{Flag: f.Name}
	switch {
	case key == nil || len(f.Values) == 0:
		r.fail(pos, "", "", fmt.Sprintf("no key %q, or no value", f.Key))
		return
	case !adHoc && !key.Where.Has(Global):
		r.fail(pos, "", "write "+f.Key+" in the rules that it is for, or use the flag with -- COMMAND", "is for a command without a config file")
		return
	}
	n := flagNode(key, f)
	if !key.Where.Has(Inherit) && key.Where.Has(Global) {
		r.globalFlag(key, n)
		return
	}
	for i, rule := range rules {
		r.quiet = i > 0
		r.set(key, n, rule)
	}
	r.quiet = false
}

// globalFlag sets a global key; ignore patterns are added to those of the
// file.
func (r *reader) globalFlag(key *Key, n *node) {
	before, places := r.cfg.Ignore, r.cfg.at["ignore"]
	r.set(key, n, nil)
	if key.Name == "ignore" && len(before) > 0 {
		r.cfg.Ignore = append(before[:len(before):len(before)], r.cfg.Ignore...)
		r.cfg.at["ignore"] = append(places[:len(places):len(places)], r.cfg.at["ignore"][1:]...)
	}
}

// flagNode makes of a flag's text what stands in a file.
func flagNode(key *Key, f Flag) *node {
	pos := Pos{Flag: f.Name}
	text := f.Values[len(f.Values)-1]
	n := &node{kind: stringKind, key: key.Name, pos: pos, keyPos: pos, val: text}
	switch key.Type {
	case TypeStrings:
		n.kind, n.val = arrayKind, nil
		for _, word := range f.Values {
			n.kids = append(n.kids, &node{kind: stringKind, pos: pos, val: word})
		}
	case TypeBool:
		if yes, err := strconv.ParseBool(text); err == nil {
			n.kind, n.val = boolKind, yes
		}
	case TypeInt:
		if number, err := strconv.ParseInt(text, 10, 64); err == nil {
			n.kind, n.val = intKind, number
		}
	}
	return n
}
