package command

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Input is what a command reads on its standard input.
type Input uint8

const (
	InputNone  Input = iota // nothing: Result.Stdin is nil
	InputPaths              // all changed paths as in FLINCH_CHANGED, each ended by a zero byte
	InputJSON               // what FLINCH_CHANGES_FILE holds
)

// Request is what one run is built from.
type Request struct {
	Rule   string // FLINCH_RULE
	Run    string // FLINCH_RUN: the run's id
	Reason string // FLINCH_REASON: start, change, need, trigger or restart
	Root   string // FLINCH_ROOT: the first root, absolute
	Dir    string // the working directory, absolute; empty: Root

	// Changes are the rule's own of this batch; with each, the one.
	Changes []Change
	// AllFiles returns every file that matches the rule, relative to Root. It is
	// what placeholders stand for when there are no Changes, and called only then.
	AllFiles func() []string

	Env     []string // everything below FLINCH_* in the order of the contract, see Environ
	Input   Input
	TempDir string // for the changes file, see MakeTempDir; empty: no such file
}

// Result is what to start a process with. Close it when the run is over.
type Result struct {
	Argv  []string
	Env   []string
	Stdin *os.File // at its beginning, for Input; nil: none

	// Empty: the command has placeholders and no path is left to put there. It
	// must not be run: without arguments most commands do something else.
	Empty bool
	// Note says that not all paths were handed over; empty: all were.
	Note string

	changesFile string
}

// Close removes the changes file and closes Stdin. It may be called again.
func (r *Result) Close() error {
	if r.Stdin != nil {
		r.Stdin.Close()
		r.Stdin = nil
	}
	if r.changesFile == "" {
		return nil
	}
	err := os.Remove(r.changesFile)
	r.changesFile = ""
	return err
}

// maxChanged is the size from which FLINCH_CHANGED is not set.
const maxChanged = 64 << 10

// own are the variables that belong to a run and must not leak in from a flinch
// that this one was started by.
var own = []string{"FLINCH_RULE", "FLINCH_ROOT", "FLINCH_REASON", "FLINCH_RUN", "FLINCH_CHANGED", "FLINCH_CHANGES_FILE"}

// MakeTempDir makes a private directory (mode 0700) for Request.TempDir, in memory
// where the machine has a place for that: to make a file on a disk can take longer
// than to start a process. The caller removes it.
func MakeTempDir() (string, error) {
	var dir string
	var err error
	for _, parent := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm", os.TempDir()} {
		if parent == "" {
			continue
		}
		if dir, err = os.MkdirTemp(parent, "flinch-"); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("private directory: %w", err)
}

// Build makes what a process is started with. It looks at the disk, a few
// microseconds a file: of those it hands over each was there a moment ago.
func (c Command) Build(req Request) (*Result, error) {
	if req.Dir == "" {
		req.Dir = req.Root
	}
	res := &Result{}
	if err := res.open(req); err != nil {
		res.Close()
		return nil, err
	}
	env := Environ(without(req.Env, own...), []string{"PWD=" + req.Dir}, req.variables(), res.variables())
	a := arguments{cmd: c, req: req, room: systemLimits()}
	a.room.total -= costs(env)
	a.collect()
	res.Argv = a.argv()
	res.Env = Environ(env, a.assigned())
	res.Note = a.note()
	res.Empty = c.HasPlaceholder() && len(a.files) == 0
	return res, nil
}

// open makes the files that the command reads the batch from.
func (r *Result) open(req Request) (err error) {
	all := func(w io.Writer) error { return writeLines(w, req.Changes) }
	switch req.Input {
	case InputPaths:
		r.Stdin, err = memory("changed-paths", req.writePaths)
	case InputJSON:
		r.Stdin, err = memory("changes", all)
	case InputNone:
	}
	if err != nil || req.TempDir == "" {
		return err
	}
	f, err := os.CreateTemp(req.TempDir, "changes-*.json")
	if err != nil {
		return fmt.Errorf("changes file: %w", err)
	}
	r.changesFile = f.Name()
	err = all(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// writePaths writes all changed ones, each ended by a zero byte.
func (req Request) writePaths(w io.Writer) error {
	var b []byte
	for _, ch := range req.Changes {
		b = append(append(b, ch.fromRoot(req.Root)...), 0)
	}
	_, err := w.Write(b)
	return err
}

func (req Request) variables() []string {
	env := []string{
		"FLINCH_RULE=" + req.Rule, "FLINCH_ROOT=" + req.Root,
		"FLINCH_REASON=" + req.Reason, "FLINCH_RUN=" + req.Run,
	}
	var changed []string
	size := 0
	for _, ch := range req.Changes {
		name := ch.fromRoot(req.Root)
		size += len(name) + 1
		if size > maxChanged || strings.Contains(name, "\n") {
			return env
		}
		changed = append(changed, name)
	}
	return append(env, "FLINCH_CHANGED="+strings.Join(changed, "\n"))
}

func (r *Result) variables() []string {
	if r.changesFile == "" {
		return nil
	}
	return []string{"FLINCH_CHANGES_FILE=" + r.changesFile}
}

// arguments collects the paths of one build as long as there is room.
type arguments struct {
	cmd  Command
	req  Request
	room limits

	files   []string // as they are handed over
	dirs    []string
	folders map[string]bool // dirs, to look one up
	found   int             // files that could have been handed over
}

// collect takes the files that exist, in order, until the room is used up.
func (a *arguments) collect() {
	if !a.cmd.HasPlaceholder() {
		return
	}
	a.folders = make(map[string]bool)
	seen := make(map[string]bool)
	used, full := a.fixed(), false
	for ch := range a.candidates() {
		abs := ch.absolute(a.req.Root)
		name := a.relative(abs)
		if seen[name] || !full && !isFile(abs) {
			continue
		}
		seen[name] = true
		a.found++
		if full {
			continue
		}
		dir := folder(name)
		used += a.cost(name, dir)
		script := a.scriptLength(dir)
		if full = used+script > a.room.total || script > a.room.one; !full {
			a.take(name, dir)
		}
		if a.cmd.onlyFirst() && len(a.files) > 0 {
			return
		}
	}
}

func (a *arguments) take(name, dir string) {
	a.files = append(a.files, name)
	if !a.folders[dir] {
		a.folders[dir] = true
		a.dirs = append(a.dirs, dir)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// candidates are the changes that may be a file, or else all files.
func (a *arguments) candidates() func(yield func(Change) bool) {
	return func(yield func(Change) bool) {
		for _, ch := range a.req.Changes {
			if ch.Gone || ch.Op == "remove" || ch.Type == "dir" {
				continue
			}
			if !yield(ch) {
				return
			}
		}
		if len(a.req.Changes) > 0 || a.req.AllFiles == nil {
			return
		}
		for _, p := range a.req.AllFiles() {
			if !yield(Change{Path: p}) {
				return
			}
		}
	}
}

// isFile reports whether something is there that a command can open as a file:
// no folder, and nothing that would block it like a FIFO.
func isFile(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	return info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0
}

// relative is the path from the command's working directory, and never begins
// with a dash.
func (a *arguments) relative(abs string) string {
	rel, err := filepath.Rel(a.req.Dir, abs)
	switch {
	case err != nil:
		return abs
	case rel == "." || rel == ".." || strings.HasPrefix(rel, "../"):
		return rel
	}
	return "./" + rel
}

// folder is where a path handed over lies: "./a" for "./a/b", "." for "./b".
func folder(name string) string {
	dir := filepath.Dir(name)
	if dir == "." || dir == "/" || dir == ".." || strings.HasPrefix(dir, "../") || filepath.IsAbs(dir) {
		return dir
	}
	return "./" + dir
}

// positional returns what travels as positional parameters: the files or only
// the first of them, and the folders.
func (a *arguments) positional() (lead, tail []string) {
	switch {
	case a.cmd.uses(files):
		lead = a.files
	case a.cmd.uses(file):
		lead = []string{a.first()}
	}
	if a.cmd.uses(dirs) {
		tail = a.dirs
	}
	return lead, tail
}

// fixed is what the arguments take without the lists.
func (a *arguments) fixed() int {
	if !a.cmd.Direct() {
		return costs(a.cmd.sh) + cost("-c") + cost(a.cmd.sh[0]) + cost(a.cmd.Shell) + maxPath
	}
	sum := 0
	for _, v := range a.cmd.vars {
		sum += cost(v.name) + cost(v.value.with("", "")) + maxPath
	}
	for _, w := range a.cmd.words {
		if w.listKind() == text {
			sum += cost(w.with("", "")) + maxPath*count(w.has(file))
		}
	}
	return sum
}

// maxPath is the kernel's PATH_MAX, the most that {file} can add.
const maxPath = 4096

// cost is what one more file takes.
func (a *arguments) cost(name, dir string) int {
	sum := 0
	add := func(k kind, around int) {
		switch {
		case k == files:
			sum += cost(name) + around
		case k == dirs && !a.folders[dir]:
			sum += cost(dir) + around
		}
	}
	for _, w := range a.cmd.words {
		add(w.listKind(), len(w.with("", ""))+maxPath*count(w.has(file)))
	}
	if a.cmd.Direct() {
		return sum
	}
	if a.cmd.uses(files) {
		add(files, 0)
	}
	if a.cmd.uses(dirs) {
		add(dirs, 0)
	}
	return sum
}

func (w word) has(k kind) bool {
	return slices.ContainsFunc(w, func(p part) bool { return p.kind == k })
}

// scriptLength is how long the references to one more file and folder would make
// the script; 0 where "$@" is all of them.
func (a *arguments) scriptLength(dir string) int {
	if a.cmd.Direct() || !a.numbered() {
		return 0
	}
	const reference = len(`"${1234567}" `)
	n := len(a.cmd.Shell) + 1
	for _, p := range a.cmd.script {
		switch p.kind {
		case files:
			n += (len(a.files) + 1) * reference
		case dirs:
			n += (len(a.dirs) + count(!a.folders[dir])) * reference
		case file:
			n += reference
		case text:
		}
	}
	return n
}

// numbered reports whether two lists share the positional parameters, so that
// "$@" would be both of them.
func (a *arguments) numbered() bool {
	return a.cmd.uses(dirs) && (a.cmd.uses(files) || a.cmd.uses(file))
}

func (a *arguments) first() string {
	if len(a.files) == 0 {
		return ""
	}
	return a.files[0]
}

func (a *arguments) list(k kind) []string {
	switch k {
	case files:
		return a.files
	case dirs:
		return a.dirs
	default:
		return []string{""}
	}
}

func (a *arguments) argv() []string {
	if !a.cmd.Direct() {
		return a.shellArgv()
	}
	var argv []string
	for _, w := range a.cmd.words {
		for _, item := range a.list(w.listKind()) {
			argv = append(argv, w.with(item, a.first()))
		}
	}
	return argv
}

func (a *arguments) assigned() []string {
	var env []string
	for _, v := range a.cmd.vars {
		env = append(env, v.name+"="+v.value.with("", a.first()))
	}
	return env
}

// shellArgv is SH -c SCRIPT SH PATH..., and without placeholders
// SH -c SCRIPT with the script as the user wrote it.
func (a *arguments) shellArgv() []string {
	argv := append(slices.Clone(a.cmd.sh), "-c")
	if !a.cmd.HasPlaceholder() {
		return append(argv, a.cmd.Shell)
	}
	lead, tail := a.positional()
	argv = append(argv, a.script(len(lead), len(tail)), filepath.Base(a.cmd.sh[0]))
	return append(append(argv, lead...), tail...)
}

// script is the string with references in place of the placeholders.
func (a *arguments) script(lead, tail int) string {
	var b strings.Builder
	for _, p := range a.cmd.script {
		switch {
		case p.kind == text:
			b.WriteString(p.text)
		case p.kind == file && p.in:
			b.WriteString("${1}")
		case p.kind == file:
			b.WriteString(`"$1"`)
		case !a.numbered():
			b.WriteString(`"$@"`)
		case p.kind == files:
			b.WriteString(references(1, lead))
		case p.kind == dirs:
			b.WriteString(references(1+lead, tail))
		}
	}
	return b.String()
}

// references are n quoted parameters from the given one on.
func references(from, n int) string {
	refs := make([]string, n)
	for i := range refs {
		refs[i] = `"${` + strconv.Itoa(from+i) + `}"`
	}
	return strings.Join(refs, " ")
}

func (a *arguments) note() string {
	if len(a.files) == a.found {
		return ""
	}
	note := fmt.Sprintf("%d of %d files handed over, more do not fit into the arguments of one command", len(a.files), a.found)
	if len(a.req.Changes) > 0 {
		note += "; FLINCH_CHANGES_FILE names all"
	}
	return note
}
