// Package content tells whether a file still holds the bytes that it held when one last looked.
//
// A rule's own run often writes what was there before: a formatter with nothing to do, a generator whose input did not matter. Such a write
// is no news to that rule. An [Index] remembers, for one rule, the hash of each file as the rule last saw it; a [Reader], which all of them
// share, reads files within a budget and never touches what could block or answer: FIFOs, devices, sockets.
//
// The answer errs on one side only. Whatever cannot be told (too large, over budget, changed while it was read, not a plain file, seen for
// the first time) is not known to be the same, and the rule runs.
//
// Neither type is safe for concurrent use: one goroutine owns a Reader and its Indexes. There are no goroutines here.
package content

import "errors"

// Index is what one rule last saw of each file.
type Index struct {
	reader *Reader
	limit  int
	// A look goes to young; when that is half full, it becomes old, and what was old is forgotten.
	young, old map[string]look
}

// NewIndex returns an index that remembers at most limit paths; what was looked at long ago is forgotten first. Zero means 16,384.
func NewIndex(r *Reader, limit int) *Index {
	if limit <= 0 {
		limit = 16_384
	}
	return &Index{reader: r, limit: limit, young: map[string]look{}}
}

// Same looks at the file and says whether it holds the same as at the last look, and whether that is known at all; same implies known. A
// file that is not there is a content like any other, a symbolic link contains its target. Modes and times do not matter.
//
// Ask for every change that is handed to the rule, also when the answer will not be used: the rule sees the file then, and this is what
// a later look must be compared with. Where that is not possible, [Index.Forget] the path.
func (x *Index) Same(path string) (same, known bool) {
	return x.same(path, false)
}

// SameWhileOpen is Same for a file that a writer has open. An empty one is then the moment between the truncation and the first write, which
// is no content: it is called the same and not remembered. Whoever asks will hear of the file again when it is closed.
func (x *Index) SameWhileOpen(path string) (same, known bool) {
	return x.same(path, true)
}

// Rewritten is Same for a path that was empty for a moment: the same bytes, written again. The very file that was there, moved away and
// back, was not written to and is not called the same.
func (x *Index) Rewritten(path string) bool {
	last, seen := x.last(path)
	same, _ := x.same(path, false)
	now, _ := x.last(path)
	return same && seen && (now.dev != last.dev || now.ino != last.ino || now.mtime != last.mtime)
}

// Forget makes the next look at the path the first one.
func (x *Index) Forget(path string) {
	delete(x.young, path)
	delete(x.old, path)
}

func (x *Index) same(path string, open bool) (same, known bool) {
	last, seen := x.last(path)
	now, err := x.reader.look(path, last)
	if open && now.exists && now.size == 0 && (err == nil || errors.Is(err, errMoving)) {
		return true, true
	}
	if err != nil {
		x.Forget(path)
		return false, false
	}
	x.remember(path, now)
	if !seen {
		return false, false
	}
	return now.exists == last.exists && now.size == last.size && now.sum == last.sum, true
}

func (x *Index) last(path string) (look, bool) {
	l, ok := x.young[path]
	if !ok {
		l, ok = x.old[path]
	}
	return l, ok
}

func (x *Index) remember(path string, l look) {
	if _, ok := x.young[path]; !ok && len(x.young) >= max(x.limit/2, 1) {
		x.young, x.old = map[string]look{}, x.young
	}
	x.young[path] = l
}
