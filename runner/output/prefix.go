package output

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// colours are those of the prefixes in turn. Red is for errors.
var colours = [...]string{"\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[96m", "\x1b[93m", "\x1b[92m", "\x1b[95m", "\x1b[94m"}

// prefix is the name, filled up to the width of the longest, and a bar.
func prefix(name string, names []string, width int, color bool) []byte {
	text := name + strings.Repeat(" ", max(0, width-columns(name))) + " |"
	if color {
		i := max(0, slices.Index(names, name))
		text = colours[i%len(colours)] + text + resetSGR
	}
	return []byte(text + " ")
}

// columns is how wide a name is on a terminal, for the letters that names of
// rules are made of.
func columns(name string) int { return utf8.RuneCountInString(name) }
