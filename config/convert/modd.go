package convert

import (
	"fmt"
	"strings"

	"github.com/flinch-run/flinch/config"
)

// moddBlock is one block of a modd.conf.
type moddBlock struct {
	patterns []string
	flags    []string // +noignore
	dir      string
	steps    []moddStep
}

// moddStep is a prep or a daemon.
type moddStep struct {
	kind    string
	options []string // +onchange, +sigterm
	command string
}

// readModd makes of each block its preps as tasks, each needing the one
// before it, and its daemons as services that need the last.
func readModd(_ string, data []byte, d *draft) error {
	p := &moddParser{text: strings.ReplaceAll(string(data), "\r\n", "\n"), vars: map[string]string{}}
	blocks, err := p.blocks()
	if err != nil {
		return err
	}
	if shell := p.vars["@shell"]; shell != "" && shell != "modd" {
		d.set("shell", shell)
	}
	for _, b := range blocks {
		b.expand(p.vars)
		b.write(d)
	}
	return nil
}

// expand replaces variables, longest name first being modd's own rule.
func (b *moddBlock) expand(vars map[string]string) {
	replace := func(text string) string {
		return moddVar(text, func(name string) (string, bool) {
			value, ok := vars[name]
			return value, ok
		})
	}
	for i, pattern := range b.patterns {
		b.patterns[i] = replace(pattern)
	}
	b.dir = replace(b.dir)
	for i := range b.steps {
		b.steps[i].command = moddCommand(replace(b.steps[i].command))
	}
}

// maxText bounds a text that variables blow up.
const maxText = 1 << 16

// moddVar replaces each @name that is known.
func moddVar(text string, value func(name string) (string, bool)) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "@")
		b.WriteString(before)
		if !found || b.Len() > maxText {
			return b.String()
		}
		end := 0
		for end < len(after) && (isNameByte(after[end])) {
			end++
		}
		name := "@" + after[:end]
		if v, ok := value(name); ok {
			name = v
		}
		b.WriteString(name)
		text = after[end:]
	}
}

func isNameByte(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// moddCommand puts our placeholders for modd's.
func moddCommand(text string) string {
	text = moddVar(text, func(name string) (string, bool) {
		switch name {
		case "@mods":
			return "{files}", true
		case "@dirmods":
			return "{dirs}", true
		case "@confdir":
			return "$FLINCH_ROOT", true
		}
		return "", false
	})
	return strings.TrimSpace(text)
}

// write adds the rules of a block.
func (b *moddBlock) write(d *draft) {
	last := ""
	for _, s := range b.steps {
		if s.kind == "prep" {
			last = b.prep(d, s, last)
		}
	}
	for _, s := range b.steps {
		if s.kind == "daemon" {
			b.daemon(d, s, last)
		}
	}
}

// prep adds a task, and gives its name to the step after it.
func (b *moddBlock) prep(d *draft, s moddStep, last string) string {
	r := d.rule(config.Task, commandName(s.command), s.command)
	if r == nil {
		return last
	}
	b.common(r)
	b.globs(r)
	if last != "" {
		r.set("needs", []string{last})
	}
	for _, option := range s.options {
		if option == "+onchange" {
			r.set("at_start", false)
			continue
		}
		r.lost(option, "")
	}
	return r.name
}

// daemon adds a service.
func (b *moddBlock) daemon(d *draft, s moddStep, last string) {
	r := d.rule(config.Service, commandName(s.command), s.command)
	if r == nil {
		return
	}
	b.common(r)
	if last != "" {
		r.set("needs", []string{last})
	} else {
		b.globs(r)
	}
	signal := "SIGHUP"
	for _, option := range s.options {
		signal = strings.ToUpper(strings.TrimPrefix(option, "+"))
	}
	if signal == "SIGHUP" {
		r.say("modd sent SIGHUP on a change; if that makes the program reload, write reload_signal instead of stop_signal")
	}
	r.signal("stop_signal", signal)
}

// common sets what all rules of a block share.
func (b *moddBlock) common(r *ruleDraft) {
	r.set("dir", b.dir)
	for _, flag := range b.flags {
		r.lost(flag, "write default_ignores = false above the rules to see what is ignored by default")
	}
}

// globs sets the block's patterns; a block without any reacts to nothing.
func (b *moddBlock) globs(r *ruleDraft) {
	if len(b.patterns) == 0 {
		r.keys = append(r.keys, entry{"files", "[]"})
		return
	}
	r.files(b.patterns)
}

// moddParser reads modd's own language.
type moddParser struct {
	text string
	off  int
	vars map[string]string
}

func (p *moddParser) blocks() ([]*moddBlock, error) {
	var list []*moddBlock
	block := &moddBlock{}
	for {
		p.skip()
		switch {
		case p.off >= len(p.text):
			if len(block.patterns) > 0 {
				return nil, p.wrong("a block without {")
			}
			return list, nil
		case p.text[p.off] == '{':
			p.off++
			if err := p.steps(block); err != nil {
				return nil, err
			}
			list = append(list, block)
			block = &moddBlock{}
		case p.text[p.off] == '@' && len(block.patterns) == 0 && p.assignment():
		default:
			if err := p.pattern(block); err != nil {
				return nil, err
			}
		}
	}
}

func (p *moddParser) wrong(msg string) error {
	return fmt.Errorf("line %d: %s", 1+strings.Count(p.text[:min(p.off, len(p.text))], "\n"), msg)
}

// skip goes over blanks, line ends and comments.
func (p *moddParser) skip() {
	for p.off < len(p.text) {
		switch p.text[p.off] {
		case ' ', '\t', '\n':
			p.off++
		case '#':
			p.rest()
		default:
			return
		}
	}
}

// rest takes what is left of the line.
func (p *moddParser) rest() string {
	start := p.off
	if end := strings.IndexByte(p.text[p.off:], '\n'); end >= 0 {
		p.off += end
	} else {
		p.off = len(p.text)
	}
	return strings.TrimSpace(p.text[start:p.off])
}

// assignment reads @name = value, if it is one.
func (p *moddParser) assignment() bool {
	line, _, _ := strings.Cut(p.text[p.off:], "\n")
	name, value, found := strings.Cut(line, "=")
	name = strings.TrimSpace(name)
	if !found || strings.ContainsAny(name, " \t{") {
		return false
	}
	p.off += len(line) - len(value)
	p.blanks()
	p.vars[name] = p.command()
	return true
}

func (p *moddParser) blanks() {
	for p.off < len(p.text) && (p.text[p.off] == ' ' || p.text[p.off] == '\t') {
		p.off++
	}
}

// pattern reads one word before the block: a glob or a flag.
func (p *moddParser) pattern(b *moddBlock) error {
	not := p.text[p.off] == '!'
	if not {
		p.off++
	}
	word, err := p.word()
	switch {
	case err != nil:
		return err
	case word == "":
		return p.wrong("expected a pattern")
	case not:
		word = "!" + word
	case word[0] == '+':
		b.flags = append(b.flags, word)
		return nil
	}
	b.patterns = append(b.patterns, word)
	return nil
}

// word reads a bare or quoted word. A brace within a bare word belongs to
// the glob; one at its start begins the block.
func (p *moddParser) word() (string, error) {
	if p.off < len(p.text) && (p.text[p.off] == '"' || p.text[p.off] == '\'') {
		return p.quoted()
	}
	start := p.off
	for p.off < len(p.text) && !strings.ContainsRune(" \t\n", rune(p.text[p.off])) {
		p.off++
	}
	return p.text[start:p.off], nil
}

// quoted reads a quoted text, which may go over lines.
func (p *moddParser) quoted() (string, error) {
	quote := p.text[p.off]
	var b strings.Builder
	for p.off++; p.off < len(p.text); p.off++ {
		c := p.text[p.off]
		if c == quote {
			p.off++
			return b.String(), nil
		}
		if c == '\\' && p.off+1 < len(p.text) && p.text[p.off+1] == quote {
			p.off++
			c = quote
		}
		b.WriteByte(c)
	}
	return "", p.wrong("a quote without its end")
}

// command reads the rest of a line, which a backslash at its end continues,
// or a quoted text.
func (p *moddParser) command() string {
	if p.off < len(p.text) && (p.text[p.off] == '"' || p.text[p.off] == '\'') {
		start := p.off
		if text, err := p.quoted(); err == nil && p.lineIsOver() {
			return text
		}
		p.off = start // the quote was part of a command
	}
	line := p.rest()
	for strings.HasSuffix(line, `\`) && p.off < len(p.text) {
		p.off++
		line = strings.TrimSpace(strings.TrimSuffix(line, `\`)) + " " + p.rest()
	}
	return line
}

func (p *moddParser) lineIsOver() bool {
	line, _, _ := strings.Cut(p.text[p.off:], "\n")
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#' || line[0] == '}'
}

// steps reads what stands between the braces.
func (p *moddParser) steps(b *moddBlock) error {
	for {
		p.skip()
		if p.off >= len(p.text) {
			return p.wrong("a block without }")
		}
		if p.text[p.off] == '}' {
			p.off++
			return nil
		}
		if err := p.step(b); err != nil {
			return err
		}
	}
}

// step reads "prep +option: command", "daemon: command" or "indir: folder".
func (p *moddParser) step(b *moddBlock) error {
	line, _, _ := strings.Cut(p.text[p.off:], "\n")
	head, _, found := strings.Cut(line, ":")
	fields := strings.Fields(head)
	if !found || len(fields) == 0 {
		return p.wrong("expected prep:, daemon: or indir:")
	}
	p.off += len(head) + 1
	p.blanks()
	text := p.command()
	switch fields[0] {
	case "prep", "daemon":
		b.steps = append(b.steps, moddStep{kind: fields[0], options: fields[1:], command: text})
	case "indir":
		b.dir = text
	default:
		return p.wrong(fmt.Sprintf("unknown %q", fields[0]))
	}
	return nil
}
