// Package command turns what a rule says it runs, and what has changed, into
// what a process is started with: arguments, environment, standard input and a
// file with the changes.
//
// It parses once, when the config is loaded ([New], [Parse], [Words]): whatever
// cannot be handed over safely is an error then, not a surprise at the tenth
// save. It builds once a run ([Command.Build]). It starts nothing and owns no
// goroutine; what a build opens, [Result.Close] gives back.
//
// A path never becomes shell text. Where a shell is needed, paths travel beside
// the script as its positional parameters, and the placeholders in the script
// become quoted references to them.
package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Command is what a rule runs. It is made by [New], [Parse] or [Words], never
// changes, and may be used by several goroutines.
type Command struct {
	Argv  []string // as given, when it was an array; nil for a string
	Shell string   // as given, when it was a string; of an array the script of a shell, where that has placeholders
	Sh    string   // the configured shell with its flags, such as "bash -eu"; "sh" where none was

	vars   []assign // leading VAR=x of a string that needs no shell
	words  []word   // the arguments; nil when a shell is needed
	sh     []string // Sh, split
	script []part   // Shell, when a shell is needed
}

// Error tells what is wrong with a command.
type Error struct {
	Elem int    // index into the array; -1 for a string
	Pos  int    // byte offset in the element or string
	Msg  string // lower case, no full stop
	hint string
}

func (e *Error) Error() string {
	if e.Elem < 0 {
		return fmt.Sprintf("%s (at character %d)", e.Msg, e.Pos+1)
	}
	return fmt.Sprintf("%s (argument %d, character %d)", e.Msg, e.Elem+1, e.Pos+1)
}

// Hint is what the user can do about it; empty where the message says it all.
func (e *Error) Hint() string { return e.hint }

// ErrEmpty is returned for a command that names nothing to run.
var ErrEmpty = errors.New("nothing to run")

// New makes a command of an array: executed as it is, without a shell.
//
// An element that is exactly {files} or {dirs} becomes one argument a path, and
// {file} the first path. Inside other text {file} is replaced in place, and
// {files} or {dirs} repeats the whole element once a path: "--x={files}" becomes
// "--x=./a" "--x=./b". All other braces are text, also ${file} and {{file}}.
// The script of a shell among the elements ("sh", "-c", SCRIPT) is shell text
// like a string: placeholders in it work as in [Parse].
func New(argv []string) (Command, error) {
	if len(argv) == 0 || argv[0] == "" {
		return Command{}, ErrEmpty
	}
	c := Command{Argv: slices.Clone(argv), Sh: "sh"}
	for i, arg := range argv {
		if n := strings.IndexByte(arg, 0); n >= 0 {
			return Command{}, &Error{Elem: i, Pos: n, Msg: "a zero byte cannot be part of a command"}
		}
		w := word(split(arg, quotes{}))
		if p, ok := w.secondList(); ok {
			return Command{}, &Error{Elem: i, Pos: p.pos, Msg: "only one of {files} and {dirs} may stand in one argument"}
		}
		c.words = append(c.words, w)
	}
	return c.withScript()
}

// Parse makes a command of a string. It is executed without a shell where a
// shell would do nothing but split it: plain words, quotes, leading VAR=x, and a
// first word that is neither a builtin nor a keyword. Anything else goes to
// `sh -c` unchanged. sh may hold flags ("bash -eu"); empty means "sh".
//
// Placeholders work as in [New]; quotes around nothing but one are taken for what
// is meant. Where a shell is needed they may stand wherever a word may, but not
// beside other text in quotes ({file} may, in what echo, logger or notify-send are
// to say), in backquotes, ${...}, arithmetic or a
// here-document, nor after the string has changed its own parameters: what
// another reading of the text would make of a path is not ours to guess. What
// the command itself makes of its arguments is: "eval" is refused, "sh -c {file}"
// or "ssh host cat {file}" would be read by a shell once more.
func Parse(s, sh string) (Command, error) {
	if sh == "" {
		sh = "sh"
	}
	c := Command{Shell: s, Sh: sh, sh: strings.Fields(sh)}
	if n := strings.IndexByte(s, 0); n >= 0 {
		return Command{}, &Error{Elem: -1, Pos: n, Msg: "a zero byte cannot be part of a command"}
	}
	if strings.Trim(s, blanks) == "" || len(c.sh) == 0 {
		return Command{}, ErrEmpty
	}
	q, err := checkScript(s)
	if err != nil {
		return Command{}, err
	}
	if vars, words, ok := plain(s); ok && transparent(c.sh) {
		c.vars, c.words = vars, words
		return c, nil
	}
	return c.viaShell(s, q)
}

// Words makes a command of what follows `--` on the command line: several words
// are executed as they are, a single word that holds spaces or shell syntax is a
// string as for [Parse].
func Words(args []string, sh string) (Command, error) {
	if len(args) == 1 && strings.ContainsAny(args[0], syntax) {
		return Parse(args[0], sh)
	}
	return New(args)
}

// Direct reports whether the command is executed without a shell.
func (c Command) Direct() bool { return c.words != nil }

// HasPlaceholder reports whether paths are among its arguments, so that with no
// path there is nothing to run it for.
func (c Command) HasPlaceholder() bool {
	for p := range c.parts() {
		if p.kind != text {
			return true
		}
	}
	return false
}

// String is the command as a user would type it, for messages.
func (c Command) String() string {
	if c.Argv == nil {
		return strings.Trim(c.Shell, blanks)
	}
	quoted := make([]string, len(c.Argv))
	for i, arg := range c.Argv {
		quoted[i] = Quote(arg)
	}
	return strings.Join(quoted, " ")
}

func (c Command) uses(k kind) bool {
	for p := range c.parts() {
		if p.kind == k {
			return true
		}
	}
	return false
}

// onlyFirst reports whether no more than one path is asked for.
func (c Command) onlyFirst() bool { return !c.uses(files) && !c.uses(dirs) }

// parts walks over all that the command is made of.
func (c Command) parts() func(yield func(part) bool) {
	return func(yield func(part) bool) {
		for _, v := range c.vars {
			if !each(v.value, yield) {
				return
			}
		}
		for _, w := range c.words {
			if !each(w, yield) {
				return
			}
		}
		each(c.script, yield)
	}
}

func each(parts []part, yield func(part) bool) bool {
	for _, p := range parts {
		if !yield(p) {
			return false
		}
	}
	return true
}

// viaShell compiles a string that the shell has to read.
func (c Command) viaShell(s string, q quotes) (Command, error) {
	c.script = split(s, q)
	if !c.HasPlaceholder() {
		return c, nil
	}
	if !bourne(c.sh) {
		p := c.script[slices.IndexFunc(c.script, func(p part) bool { return p.kind != text })]
		return Command{}, &Error{Elem: -1, Pos: p.pos,
			Msg:  fmt.Sprintf("%s cannot be handed to the shell %q safely", p.kind, c.Sh),
			hint: "write the command as an array, or use sh, bash, ksh or zsh"}
	}
	return c.inScript(q)
}

// inScript compiles c.Shell for a shell that takes positional parameters.
func (c Command) inScript(q quotes) (Command, error) {
	c.script = split(c.Shell, q)
	if p, ok := attached(c.script, c.Shell); ok {
		return Command{}, &Error{Elem: -1, Pos: p.pos,
			Msg:  fmt.Sprintf("%s has to be a word of its own where a shell is needed", p.kind),
			hint: "put a space before and after it, or write the command as an array"}
	}
	return c, nil
}

// attached finds a list that text stands against: "--x={files}" would have the
// text before the first path only.
func attached(script []part, s string) (part, bool) {
	const edges = blanks + ";&|()<>"
	for _, p := range script {
		if !p.kind.list() {
			continue
		}
		if p.pos > 0 && strings.IndexByte(edges, s[p.pos-1]) < 0 || p.end < len(s) && strings.IndexByte(edges, s[p.end]) < 0 {
			return p, true
		}
	}
	return part{}, false
}
