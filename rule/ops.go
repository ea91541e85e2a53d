package rule

import (
	"fmt"
	"strings"
)

// Ops is a set of kinds of change.
type Ops uint8

// The kinds of change. A touch counts as Write, a chmod or chown as Attrib.
const (
	Create Ops = 1 << iota
	Write
	Remove
	Rename
	Attrib
)

// DefaultOps is what counts when a rule says nothing.
const DefaultOps = Create | Write | Remove | Rename

// AllOps is every kind.
const AllOps = DefaultOps | Attrib

var opNames = [...]string{"create", "write", "remove", "rename", "attrib"}

// opSynonyms are the names that other tools give to the kinds.
var opSynonyms = map[string]Ops{
	"add": Create, "added": Create, "created": Create, "new": Create, "mkdir": Create,
	"change": Write, "changed": Write, "modify": Write, "modified": Write, "update": Write,
	"edit": Write, "written": Write, "touch": Write, "save": Write, "close_write": Write,
	"delete": Remove, "deleted": Remove, "removed": Remove, "unlink": Remove, "rm": Remove,
	"move": Rename, "moved": Rename, "renamed": Rename, "mv": Rename,
	"attribute": Attrib, "attributes": Attrib, "chmod": Attrib, "chown": Attrib, "metadata": Attrib, "meta": Attrib,
}

// ParseOps reads kinds of change: each text holds one, or several between
// commas. The error names the first that is unknown and the one that was
// probably meant, and has a Hint.
func ParseOps(texts ...string) (Ops, error) {
	var ops Ops
	for _, text := range texts {
		for name := range strings.SplitSeq(text, ",") {
			name = strings.TrimSpace(name)
			op, ok := ParseOp(name)
			if !ok {
				return 0, &OpError{Name: name}
			}
			ops |= op
		}
	}
	return ops, nil
}

// ParseOp returns the kind of change of that exact name.
func ParseOp(name string) (Ops, bool) {
	for i, known := range opNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}

// Has reports whether all kinds of other are in the set.
func (o Ops) Has(other Ops) bool { return o&other == other }

// String returns the names, with commas between them, in a fixed order.
func (o Ops) String() string {
	var names []string
	for i, name := range opNames {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// OpError is a kind of change that does not exist.
type OpError struct {
	Name string
}

// Error names it and the kind that was probably meant.
func (e *OpError) Error() string {
	text := fmt.Sprintf("unknown kind of change %q", e.Name)
	if near := nearestOp(e.Name); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return text
}

// Hint lists the kinds.
func (e *OpError) Hint() string { return "the kinds are " + AllOps.String() }

func nearestOp(name string) string {
	name = strings.ToLower(name)
	if op, ok := opSynonyms[name]; ok {
		return op.String()
	}
	best, least := "", 3
	for _, known := range opNames {
		if d := distance(name, known); d < least {
			best, least = known, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
