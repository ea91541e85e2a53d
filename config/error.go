package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Pos says where in the config something stands: a place in the file, or a
// flag of the command line. The zero Pos means that nobody wrote it (it is a
// default).
type Pos struct {
	Line int    // from 1
	Col  int    // from 1, in characters, as editors count
	Len  int    // length in characters on that line, at least 1
	Flag string // "--busy": it came from this flag, and Line is 0
}

// IsSet reports whether somebody wrote the thing.
func (p Pos) IsSet() bool { return p.Line > 0 || p.Flag != "" }

// String gives "LINE:COL", the flag, or "" for a default.
func (p Pos) String() string {
	switch {
	case p.Flag != "":
		return p.Flag
	case p.Line == 0:
		return ""
	}
	return strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col))
}

// Error is one thing that is wrong with a config.
type Error struct {
	File string // as it was named to Load or Parse; empty for a flag
	Pos  Pos
	Msg  string // lower case, no full stop, with the nearest valid name
	Help string // what to do or to write, may be empty
	Line string // the source line, without its end; empty for a flag
	Err  error  // the cause where a check function gave one, may be nil
}

// Error is the one line "FILE:LINE:COL: what is wrong", or "--flag: what is
// wrong".
func (e *Error) Error() string {
	switch {
	case e.Pos.Flag != "":
		return e.Pos.Flag + ": " + e.Msg
	case e.Pos.Line > 0:
		return e.File + ":" + e.Pos.String() + ": " + e.Msg
	case e.File != "":
		return e.File + ": " + e.Msg
	}
	return e.Msg
}

// Hint says what to do about it; empty where the message says it all.
func (e *Error) Hint() string { return e.Help }

// Unwrap gives the error of the check that found it.
func (e *Error) Unwrap() error { return e.Err }

// Excerpt shows the source line with a caret under what is wrong, each line
// ended by a newline; empty for a flag.
func (e *Error) Excerpt() string {
	if e.Pos.Line == 0 {
		return ""
	}
	line, before, width := window([]rune(strings.TrimSuffix(e.Line, "\r")), e.Pos.Col-1, e.Pos.Len)
	number := strconv.Itoa(e.Pos.Line)
	gutter := strings.Repeat(" ", len(number))
	return fmt.Sprintf("  %s | %s\n  %s | %s%s\n", number, visible(line), gutter, blank(line[:before]), strings.Repeat("^", width))
}

// Text is the whole report: message, source line with caret, hint.
func (e *Error) Text() string {
	text := e.Error() + "\n" + e.Excerpt()
	if e.Help != "" {
		text += "hint: " + e.Help + "\n"
	}
	return text
}

// Errors are all that is wrong with a config, in file order. It is never
// empty where it is returned as an error.
type Errors []*Error

// Error is one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Text is the whole report of all errors; see [Error.Text].
func (e Errors) Text() string {
	var b strings.Builder
	for _, err := range e {
		b.WriteString(err.Text())
	}
	return b.String()
}

// Unwrap gives the errors one by one to errors.As and errors.Is.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, err := range e {
		list[i] = err
	}
	return list
}

// FileError is a config that is not there or cannot be read.
type FileError struct {
	Path string // the file, or the folder where the search began
	Msg  string // what was being done; empty: "read config"
	Err  error  // fs.ErrNotExist, fs.ErrPermission, ...
	Help string
}

// Error names the path and the reason.
func (e *FileError) Error() string {
	if e.Msg != "" {
		return e.Msg
	}
	return "read config " + e.Path + ": " + e.Err.Error()
}

// Hint is the way out.
func (e *FileError) Hint() string { return e.Help }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// maxExcerpt is how much of a long line is shown.
const maxExcerpt = 100

// window cuts a long line to what is around the caret. The width is never 0
// and never longer than what is shown, so that a wrong position cannot break
// the report.
func window(line []rune, at, width int) (cut []rune, before, shown int) {
	at = max(0, min(at, len(line)))
	start := 0
	if len(line) > maxExcerpt && at > maxExcerpt/2 {
		start = min(at-maxExcerpt/2, len(line)-maxExcerpt)
	}
	cut = line[start:min(len(line), start+maxExcerpt)]
	before = min(at-start, len(cut))
	return cut, before, max(1, min(width, len(cut)-before))
}

// visible replaces what would steer a terminal; tabs stay.
func visible(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, string(line))
}

// blank keeps the tabs of a line and makes spaces of the rest, so that the
// caret stands under its character however wide a tab is.
func blank(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(line))
}

// sortErrors puts errors in file order; those of flags come first.
func sortErrors(list Errors) {
	slices.SortStableFunc(list, func(a, b *Error) int { return a.Pos.compare(b.Pos) })
}

// didYouMean is ", did you mean X?" or nothing.
func didYouMean(word string, names []string) string {
	if near := nearest(word, names); near != "" {
		return ", did you mean " + near + "?"
	}
	return ""
}

// nearest finds the name that a misspelt word most likely means: at most a
// third of its letters wrong. Empty where none is near.
func nearest(word string, names []string) string {
	if len(word) > 64 {
		return ""
	}
	best, found := 1+max(1, len(word)/3), ""
	for _, name := range names {
		d := distance(strings.ToLower(word), strings.ToLower(name))
		if d < best || d == best && found != "" && !sameStart(word, found) && sameStart(word, name) {
			best, found = d, name
		}
	}
	return found
}

// sameStart tells whether two words begin alike: few misspell the first letter.
func sameStart(a, b string) bool {
	return a != "" && b != "" && strings.EqualFold(a[:1], b[:1])
}

// distance counts insertions, deletions, replacements and swaps of
// neighbours between two words.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		row[0] = i
		for j := 1; j <= len(t); j++ {
			cost := 1
			if s[i-1] == t[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(t)]
}
