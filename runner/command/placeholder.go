package command

import (
	"slices"
	"strings"
)

// kind is what a part of a command stands for.
type kind uint8

const (
	text  kind = iota
	files      // {files}: all paths
	dirs       // {dirs}: their folders
	file       // {file}: the first path
)

func (k kind) String() string {
	return [...]string{"text", "{files}", "{dirs}", "{file}"}[k]
}

// list reports whether it stands for any number of arguments.
func (k kind) list() bool { return k == files || k == dirs }

// part is a piece of a word: text, or a placeholder.
type part struct {
	kind kind
	text string // of kind text
	pos  int    // byte offset where it begins
	end  int    // and ends; a placeholder's with the quotes around it
	in   bool   // it stands in double quotes beside other text
}

// word is one argument: the parts stand together without space.
type word []part

// assign is a leading VAR=value.
type assign struct {
	name  string
	value word
}

// split cuts s at its placeholders. ${file} is a shell's variable and {{file}}
// a template's, so both stay text. Quotes around nothing but a placeholder go with it.
func split(s string, q quotes) []part {
	var parts []part
	from := 0
	for i := 0; i < len(s); {
		k, n := placeholder(s, i)
		if n == 0 {
			i++
			continue
		}
		p := part{kind: k, pos: i, end: i + n, in: slices.Contains(q.within, i)}
		if slices.Contains(q.alone, i) {
			p.pos, p.end = p.pos-1, p.end+1
		}
		if p.pos > from {
			parts = append(parts, part{text: s[from:p.pos], pos: from, end: p.pos})
		}
		parts = append(parts, p)
		i, from = p.end, p.end
	}
	if from < len(s) || len(parts) == 0 {
		parts = append(parts, part{text: s[from:], pos: from, end: len(s)})
	}
	return parts
}

// placeholder returns which one begins at s[i] and its length, 0 for none.
func placeholder(s string, i int) (kind, int) {
	if s[i] != '{' || i > 0 && s[i-1] == '$' {
		return text, 0
	}
	for k := files; k <= file; k++ {
		name := k.String()
		if !strings.HasPrefix(s[i:], name) {
			continue
		}
		if i > 0 && s[i-1] == '{' && strings.HasPrefix(s[i+len(name):], "}") {
			return text, 0
		}
		return k, len(name)
	}
	return text, 0
}

// aloneInQuotes returns which placeholder fills the quotes that begin at s[i],
// and its length with them; 0 for none.
func aloneInQuotes(s string, i int) (kind, int) {
	if i+1 == len(s) {
		return text, 0
	}
	k, n := placeholder(s, i+1)
	if end := i + 1 + n; n == 0 || end == len(s) || s[end] != s[i] {
		return text, 0
	}
	return k, n + 2
}

// listKind is the list that the word repeats itself over, text for none.
func (w word) listKind() kind {
	for _, p := range w {
		if p.kind.list() {
			return p.kind
		}
	}
	return text
}

// secondList finds a list beside another one in the same word.
func (w word) secondList() (part, bool) {
	seen := false
	for _, p := range w {
		if p.kind.list() && seen {
			return p, true
		}
		seen = seen || p.kind.list()
	}
	return part{}, false
}

// with is the word with item for its list and first for {file}.
func (w word) with(item, first string) string {
	if len(w) == 1 && w[0].kind == text {
		return w[0].text
	}
	var b strings.Builder
	for _, p := range w {
		switch p.kind {
		case text:
			b.WriteString(p.text)
		case file:
			b.WriteString(first)
		case files, dirs:
			b.WriteString(item)
		}
	}
	return b.String()
}
