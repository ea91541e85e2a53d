package rule

import "fmt"

// Decision is how a path was judged.
type Decision uint8

// The decisions.
const (
	Unmatched Decision = iota // nothing says anything about it
	Matched                   // a glob wants it (or, for a folder, could want something below it)
	Excluded                  // a "!" glob excludes it
	Ignored                   // an ignore line or a default ignore hides it
	Kept                      // a "!" ignore line re-includes it
	Pruned                    // nothing below this folder can match
)

var decisionNames = [...]string{"unmatched", "matched", "excluded", "ignored", "kept", "pruned"}

// String returns the decision in one lower-case word.
func (d Decision) String() string {
	if int(d) < len(decisionNames) {
		return decisionNames[d]
	}
	return fmt.Sprintf("decision(%d)", uint8(d))
}

// Verdict is a decision with its reason.
type Verdict struct {
	Decision Decision

	// Source is the file whose line decided, relative to the root where it lies
	// within, else absolute; or what Pattern.File said; or "default ignores".
	// Empty when no line decided.
	Source    string
	Line, Col int    // from 1; 0 is unknown
	Pattern   string // the glob or line that decided, as it was written
	At        string // the path it was decided at: a folder above the path that is ignored, or the path itself
	Text      string // all of it as a sentence without full stop
}

// Where returns "file:line:col", as far as it is known.
func (v Verdict) Where() string {
	return Pattern{File: v.Source, Line: v.Line, Col: v.Col}.where()
}
