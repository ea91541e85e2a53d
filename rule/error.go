package rule

import (
	"fmt"
	"unicode/utf8"
)

// Error says what is wrong with one pattern.
type Error struct {
	Pattern Pattern
	Char    int    // the character of Pattern.Text at which it is wrong, from 1; 0 is the whole
	Ignore  bool   // it is an ignore line, not a glob
	Msg     string // what is wrong
	hint    string
}

// Error returns the pattern, where it stands, and what is wrong at which character.
func (e *Error) Error() string {
	what := "glob"
	if e.Ignore {
		what = "ignore line"
	}
	text := fmt.Sprintf("%s %q: %s", what, e.Pattern.Text, e.Msg)
	if e.Char > 0 {
		text += fmt.Sprintf(" at character %d", e.Char)
	}
	if where := e.Pattern.where(); where != "" {
		text = where + ": " + text
	}
	return text
}

// Hint returns what to write instead; empty where there is nothing to say.
func (e *Error) Hint() string { return e.hint }

// wrong makes an error for the byte at offset of the pattern's text.
func wrong(p Pattern, offset int, msg, hint string) *Error {
	char := utf8.RuneCountInString(p.Text[:min(offset, len(p.Text))]) + 1
	return &Error{Pattern: p, Char: char, Msg: msg, hint: hint}
}
