package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/flinch-run/flinch/config"
)

// draft is a flinch.toml that is being written. Whatever is put in, what
// comes out parses: names are made unique and valid, what is empty or wrong
// becomes a note.
type draft struct {
	comments []string
	keys     []entry
	ignored  []string // the value of ignore so far
	rules    []*ruleDraft
	tail     []string // an example behind it all, as comments
	notes    []string
}

// ruleDraft is one rule of a draft.
type ruleDraft struct {
	d        *draft
	kind     config.Kind
	name     string
	comments []string
	keys     []entry
}

// entry is a key with its value as TOML text.
type entry struct{ key, text string }

// head adds a comment above everything.
func (d *draft) head(text string) { d.comments = append(d.comments, oneLine(text)) }

// note tells the user something about the whole.
func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, oneLine(fmt.Sprintf(format, args...)))
}

// lost notes a key of the other tool that has no counterpart, with the
// reason or the way out.
func (d *draft) lost(what, why string) {
	text := "not carried over: " + what
	if why != "" {
		text += " (" + why + ")"
	}
	d.note("%s", text)
	d.comments = append(d.comments, oneLine(text))
}

// set sets a global key.
func (d *draft) set(key string, value any) { put(&d.keys, key, value) }

// rule adds a rule that runs a command; a name that is taken gets a number.
// Nil: there is no command, so there is no rule.
func (d *draft) rule(kind config.Kind, name string, run any) *ruleDraft {
	if isEmpty(run) {
		return nil
	}
	r := &ruleDraft{d: d, kind: kind, name: d.unique(name)}
	d.rules = append(d.rules, r)
	put(&r.keys, "run", run)
	return r
}

func isEmpty(run any) bool {
	switch v := run.(type) {
	case string:
		return strings.TrimSpace(clean(v)) == ""
	case []string:
		return len(v) == 0 || strings.TrimSpace(clean(v[0])) == ""
	}
	return true
}

// unique makes a valid name of a text that no rule of the draft has.
func (d *draft) unique(text string) string {
	base := ruleName(text)
	for name, i := base, 2; ; i++ {
		if !d.has(name) {
			return name
		}
		name = base + "-" + strconv.Itoa(i)
	}
}

// has reports whether a rule has a name.
func (d *draft) has(name string) bool {
	return slices.ContainsFunc(d.rules, func(r *ruleDraft) bool { return r.name == name })
}

// ruleName keeps the letters and digits of a text, and joins them by dashes.
func ruleName(text string) string {
	words := strings.FieldsFunc(clean(text), func(c rune) bool {
		return !(c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c)) || c == '_')
	})
	name := strings.Join(words, "-")
	if len(name) > 40 {
		name = strings.TrimRight(name[:40], "-")
	}
	if name == "" {
		return "run"
	}
	return name
}

// commandName names a rule after its command: its program and the word
// after it, as in "go-test".
func commandName(command string) string {
	var words []string
	for _, word := range strings.Fields(command) {
		plain := !strings.ContainsAny(word, "=$(){}|&;<>*\"'@-")
		if plain {
			words = append(words, word[strings.LastIndex(strings.TrimRight(word, "/"), "/")+1:])
		}
		if !plain && len(words) > 0 || len(words) == 2 {
			break
		}
	}
	return ruleName(strings.Join(words, " "))
}

// set sets a key of the rule; an empty list or string is not written.
func (r *ruleDraft) set(key string, value any) {
	if r != nil {
		put(&r.keys, key, value)
	}
}

// lost notes what could not be carried over, in front of the rule.
func (r *ruleDraft) lost(what, why string) {
	if r == nil {
		return
	}
	text := "not carried over: " + what
	if why != "" {
		text += " (" + why + ")"
	}
	r.comments = append(r.comments, oneLine(text))
	r.d.note("%s: %s", r.name, text)
}

// say puts a comment in front of the rule.
func (r *ruleDraft) say(text string) {
	if r != nil {
		r.comments = append(r.comments, oneLine(text))
	}
}

// files sets the globs; those that are none are noted instead.
func (r *ruleDraft) files(globs []string) {
	if r == nil {
		return
	}
	var good []string
	for _, glob := range globs {
		glob = strings.TrimPrefix(clean(glob), "./")
		switch text := strings.TrimPrefix(glob, "!"); {
		case strings.TrimSpace(text) == "" || strings.HasPrefix(text, "!"):
		case strings.HasPrefix(text, "/"), strings.HasPrefix(text, "../"), strings.Contains(text, "/../"):
			r.lost("the pattern "+glob, "it leads out of this folder; add a root")
		case !doublestar.ValidatePattern(text):
			r.lost("the pattern "+glob, "it is no valid glob")
		case !slices.Contains(good, glob):
			good = append(good, glob)
		}
	}
	if len(good) > 0 {
		put(&r.keys, "files", good)
	}
}

// env sets variables in order; those that cannot be are noted.
func (r *ruleDraft) env(vars [][2]string) {
	if r == nil {
		return
	}
	var parts []string
	seen := map[string]bool{}
	for _, v := range vars {
		name := clean(v[0])
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.HasPrefix(name, "FLINCH_") || seen[name] {
			r.lost("the variable "+name, "")
			continue
		}
		seen[name] = true
		parts = append(parts, tomlKey(name)+" = "+tomlString(strings.ReplaceAll(v[1], "\x00", "")))
	}
	if len(parts) > 0 {
		r.keys = append(r.keys, entry{"env", "{ " + strings.Join(parts, ", ") + " }"})
	}
}

// signal sets a key to a signal, where it is one.
func (r *ruleDraft) signal(key, name string) {
	if r == nil || name == "" {
		return
	}
	sig, err := config.ParseSignal(name)
	if err != nil {
		r.lost("the signal "+name, "")
		return
	}
	r.set(key, config.SignalName(sig))
}

// put sets a key once; a later value wins.
func put(keys *[]entry, key string, value any) {
	text := tomlValue(value)
	if text == "" {
		return
	}
	at := slices.IndexFunc(*keys, func(e entry) bool { return e.key == key })
	if at >= 0 {
		(*keys)[at].text = text
		return
	}
	*keys = append(*keys, entry{key, text})
}

// result writes the draft out.
func (d *draft) result() *Result {
	var b strings.Builder
	for _, c := range d.comments {
		b.WriteString("# " + c + "\n")
	}
	b.WriteString("\n")
	writeKeys(&b, d.keys)
	for i, r := range d.rules {
		if i > 0 || len(d.keys) > 0 {
			b.WriteString("\n")
		}
		for _, c := range r.comments {
			b.WriteString("# " + c + "\n")
		}
		fmt.Fprintf(&b, "[%s.%s]\n", r.kind, r.name)
		writeKeys(&b, r.keys)
	}
	if len(d.tail) > 0 {
		b.WriteString("\n# " + strings.Join(d.tail, "\n# ") + "\n")
	}
	return &Result{TOML: []byte(b.String()), Notes: d.notes}
}

// writeKeys writes keys in the order of the table of keys, files first.
func writeKeys(b *strings.Builder, keys []entry) {
	order := []string{"files"}
	for _, k := range config.Keys() {
		order = append(order, k.Name)
	}
	slices.SortStableFunc(keys, func(a, b entry) int {
		return slices.Index(order, a.key) - slices.Index(order, b.key)
	})
	for _, e := range keys {
		b.WriteString(e.key + " = " + e.text + "\n")
	}
}

// tomlValue writes a value; "" where there is nothing to write.
func tomlValue(value any) string {
	switch v := value.(type) {
	case string:
		if v = clean(v); strings.TrimSpace(v) == "" {
			return ""
		}
		return tomlString(v)
	case []string:
		if len(v) == 0 {
			return ""
		}
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = tomlString(clean(s))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	}
	return ""
}

// tomlString quotes a text: literally where that spares escapes.
func tomlString(text string) string {
	text = clean(text)
	if strings.ContainsAny(text, "\"\\") && !strings.ContainsFunc(text, func(c rune) bool { return c == '\'' || unicode.IsControl(c) }) {
		return "'" + text + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteString("\\" + string(c))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsControl(c):
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tomlKey quotes a key where it must be.
func tomlKey(key string) string {
	if key != "" && !strings.ContainsFunc(key, func(c rune) bool {
		return !(c < unicode.MaxASCII && (unicode.IsLetter(c) || unicode.IsDigit(c)) || c == '_' || c == '-')
	}) {
		return key
	}
	return tomlString(key)
}

// clean drops what no config can hold: bytes that are no UTF-8, and NUL.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

// oneLine makes a text fit for a comment.
func oneLine(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, clean(text))
	if cut := []rune(text); len(cut) > 200 {
		text = string(cut[:200]) + "..."
	}
	return strings.TrimSpace(text)
}
