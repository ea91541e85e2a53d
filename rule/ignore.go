package rule

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// IgnoreOptions says what is ignored in a root.
type IgnoreOptions struct {
	// Gitignore reads .ignore, .gitignore, .git/info/exclude and git's
	// core.excludesFile, whether the root is in a git repository or not.
	Gitignore bool

	// Defaults hides what DefaultIgnores lists.
	Defaults bool

	// Patterns are the config's own lines of gitignore syntax, relative to the
	// root. They go before all files and before the default ignores.
	Patterns []Pattern

	// Named are paths that default ignores do not hide, such as those of
	// Rule.Literals, nor the folders that lead to them.
	Named []string

	// Own are paths that are always hidden: files that flinch itself writes.
	Own []string

	// Getenv looks up HOME, XDG_CONFIG_HOME and git's own variables; nil is
	// os.Getenv.
	Getenv func(string) string
}

// Ignore answers what is ignored in one root, exactly as git would: the last
// line that matches decides; files of deeper folders go before those of the
// folders above, all of them before .git/info/exclude and that before
// core.excludesFile; what is below an ignored folder stays ignored, whatever
// other lines say. The order of the sources is
//
//	Own, Patterns, default ignores, .ignore, .gitignore, .git/info/exclude, core.excludesFile
//
// Where it goes beyond git, it does as ripgrep does: .ignore files are read
// too; .gitignore counts without a repository as well; and files that are
// tracked although a line ignores them are ignored. Files of the folders
// above the root count up to the top of the repository; a root that is itself
// ignored there is not, it was asked for. Within a nested repository (a
// submodule, a clone) its own files count and the outer repository's do not,
// except .ignore.
//
// Where versions of git differ it is as those before 2.52, for which the stars of
// "a**/b" cross folders. Of git's configuration core.excludesFile alone is
// read, with its includes; core.ignoreCase is taken for false.
//
// The files of a folder are read when the first path within it is asked for,
// and kept until Reload. All methods may be called concurrently.
type Ignore struct {
	root     string // absolute, symlinks resolved
	opt      IgnoreOptions
	own      map[string]bool
	open     map[string]bool // Named and the folders above them
	patterns *list
	defaults *list

	mu         sync.RWMutex
	generation uint64             // counts calls of Reload
	folders    map[string]*folder // by path; "" is the root
	outside    []string           // files outside of the root that were looked for
	user       string             // core.excludesFile of the root's repository
	branch     bool               // a config file depends on which branch is checked out
}

// maxFolders bounds the cache: what is more is read again when it is needed.
const maxFolders = 1 << 18

// NewIgnore compiles the options and looks for the repository that root is
// in; root need not exist yet. The error joins an *[Error] for each of the
// Patterns that is wrong. An ignore file that is not readable is taken for empty.
func NewIgnore(root string, opt IgnoreOptions) (*Ignore, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	patterns, err := compileLines(opt.Patterns)
	if err != nil {
		return nil, err
	}
	if opt.Getenv == nil {
		opt.Getenv = os.Getenv
	}
	ig := &Ignore{root: abs, opt: opt, patterns: patterns, own: pathSet(opt.Own)}
	if opt.Defaults {
		ig.defaults, ig.open = compileDefaults(), leadingTo(opt.Named)
	}
	ig.reset()
	return ig, nil
}

// Match reports whether path, or a folder above it, is ignored; dir tells
// whether it is (or would be) a folder, which a symlink to one is not. The
// root "." is never ignored.
func (ig *Ignore) Match(path string, dir bool) bool {
	if dir {
		if f := ig.known(path); f != nil && !ig.open[path] {
			return f.hidden != nil
		}
	}
	l, _ := ig.judge(path, dir)
	return ignoring(l) != nil
}

// Explain says which line decides over path, which need not exist.
func (ig *Ignore) Explain(path string, dir bool) Verdict {
	l, at := ig.judge(path, dir)
	switch {
	case l == nil:
		return Verdict{Decision: Unmatched, At: path, Text: "not ignored"}
	case l == ownLine:
		return Verdict{Decision: Ignored, At: at, Text: "ignored: flinch itself writes it"}
	}
	return ig.verdict(l, path, at, dir)
}

// verdict adds to what l decides at a folder above path which line would have
// kept path itself.
func (ig *Ignore) verdict(l *line, path, at string, dir bool) Verdict {
	v := l.verdict(path, at)
	if alone := ig.judgeAlone(path, dir); at != path && alone != nil && alone.negated {
		v.Text += fmt.Sprintf("; %s does not keep what is below an ignored folder", alone.pattern())
	}
	return v
}

// Affects reports whether what is ignored may depend on the file at path:
// Reload it when it has changed, appeared or vanished.
func (ig *Ignore) Affects(path string) bool {
	if !ig.opt.Gitignore {
		return false
	}
	switch {
	case isList(path):
		f, _ := ig.folderOf(path)
		return f.hidden == nil
	case endsIn(path, ".git/HEAD"):
		return ig.readsBranch()
	}
	return isStore(path)
}

// Reload forgets what was read of files at or below the paths, so that it is
// read again when it is next needed. Call it with files that Affects names, and
// with folders that were moved, appeared or vanished. "." forgets everything.
func (ig *Ignore) Reload(paths ...string) {
	gone := make(map[string]bool, len(paths))
	for _, p := range paths {
		switch {
		case isList(p):
			p = path.Dir(p)
		case isStore(p), endsIn(p, ".git/HEAD"):
			p = "."
		}
		if p == "." || p == "" {
			ig.reset()
			return
		}
		gone[p] = true
	}
	ig.forget(gone)
}

func (ig *Ignore) readsBranch() bool {
	ig.mu.RLock()
	defer ig.mu.RUnlock()
	return ig.branch
}

// Outside returns the absolute paths of the files outside of the root that
// decide too, whether they exist or not: of folders above it, of the
// repository's store, of the user. Reload(".") when one of them has changed.
func (ig *Ignore) Outside() []string {
	ig.folderOf("")
	ig.mu.RLock()
	defer ig.mu.RUnlock()
	return append([]string(nil), ig.outside...)
}

// UserFile returns the absolute path of what git's core.excludesFile names in the
// root, whether it exists or not; empty for none.
func (ig *Ignore) UserFile() string {
	ig.folderOf("")
	ig.mu.RLock()
	defer ig.mu.RUnlock()
	return ig.user
}

// ownLine stands for IgnoreOptions.Own.
var ownLine = &line{}

// judge returns the line that decides over path and the path it decides at.
func (ig *Ignore) judge(path string, dir bool) (*line, string) {
	if ig.open[path] {
		return ig.judgeAs(path, dir, false)
	}
	return ig.judgeAs(path, dir, true)
}

// judgeAs judges with or without the default ignores.
func (ig *Ignore) judgeAs(path string, dir, defaults bool) (*line, string) {
	if path == "." || path == "" {
		return nil, ""
	}
	f, stop := ig.folderOf(path)
	hidden := f.hidden
	if !defaults {
		hidden = f.hiddenWithout
	}
	if hidden != nil {
		return hidden, stop
	}
	return f.decide(ig, path, dir, defaults), path
}

// judgeAlone judges path as if no folder above it were ignored.
func (ig *Ignore) judgeAlone(path string, dir bool) *line {
	f, _ := ig.folderOf(path)
	if f.hidden != nil {
		f = ig.unhidden(folderPath(path))
	}
	return f.decide(ig, path, dir, true)
}

// isList reports whether path is named as an ignore file of its folder.
func isList(path string) bool {
	return endsIn(path, ".gitignore") || endsIn(path, ".ignore")
}

// isStore reports whether path is a repository's store or a file in it that
// says what is ignored.
func isStore(path string) bool {
	return endsIn(path, ".git") || endsIn(path, ".git/config") || endsIn(path, ".git/info/exclude")
}

// endsIn reports whether path is file, or ends in it behind a slash.
func endsIn(path, file string) bool {
	rest, ok := strings.CutSuffix(path, file)
	return ok && (rest == "" || rest[len(rest)-1] == '/')
}

func pathSet(paths []string) map[string]bool {
	set := make(map[string]bool, len(paths))
	for _, p := range paths {
		set[p] = true
	}
	return set
}

// leadingTo returns the paths and all folders above them.
func leadingTo(paths []string) map[string]bool {
	set := make(map[string]bool)
	for _, p := range paths {
		for at := range ancestors(p) {
			set[at] = true
		}
	}
	return set
}
