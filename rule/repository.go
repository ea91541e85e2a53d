package rule

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// repository is what a git repository says beside its .gitignore files.
type repository struct {
	exclude *list // .git/info/exclude
	user    *list // core.excludesFile
}

func (r *repository) last(path string, dir bool) *line {
	if r == nil {
		return nil
	}
	if l := r.exclude.last(path, dir); l != nil {
		return l
	}
	return r.user.last(path, dir)
}

// store is where a repository keeps its own files.
type store struct {
	dir    string // its git directory, a worktree's own
	common string // the one shared by all worktrees
}

// readRoot makes the folder of the root itself, from its own files and those
// of the folders above it in the same repository.
func (ig *Ignore) readRoot() *folder {
	f := &folder{}
	if !ig.opt.Gitignore {
		return f
	}
	root := ig.root
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	top, st := findRepository(root)
	above := ""
	if rel, err := filepath.Rel(top, root); err == nil && rel != "." {
		above = rel + "/"
	}
	rd := reader{ig: ig, root: root}
	f.repo = rd.repository(st, top, "", above)
	for dir := top; above != ""; {
		f.git = f.git.with(rd.list(dir+"/.gitignore", unix.O_NOFOLLOW, "", above))
		f.ignore = f.ignore.with(rd.list(dir+"/.ignore", 0, "", above))
		var element string
		element, above, _ = strings.Cut(above, "/")
		dir += "/" + element
	}
	ig.setRead(&rd)
	f.git = f.git.with(ig.readList("", ".gitignore", unix.O_NOFOLLOW))
	f.ignore = f.ignore.with(ig.readList("", ".ignore", 0))
	return f
}

// findNested returns the repository whose top is the folder dir of the root.
func (ig *Ignore) findNested(dir string) *repository {
	top := ig.root + "/" + dir
	st, ok := openStore(top)
	if !ok {
		return nil
	}
	rd := reader{ig: ig, root: ig.root}
	return rd.repository(st, top, dir+"/", "")
}

func (ig *Ignore) setRead(rd *reader) {
	ig.mu.Lock()
	ig.outside, ig.user, ig.branch = rd.outside, rd.user, rd.branch
	ig.mu.Unlock()
}

// reader reads files by absolute paths and notes those outside of the root.
type reader struct {
	ig      *Ignore
	root    string
	outside []string
	user    string // core.excludesFile
	branch  bool   // a condition depends on the branch
}

// repository reads what st (which may be empty) and the user's config say. The
// patterns are relative to top, which is base or above.
func (rd *reader) repository(st store, top, base, above string) *repository {
	r := &repository{}
	if st.dir != "" {
		r.exclude = rd.list(filepath.Join(st.common, "info/exclude"), 0, base, above)
	}
	cfg := rd.config(st)
	if file := cfg.excludesFile; file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(top, file)
		}
		rd.user = file
		r.user = rd.list(file, 0, base, above)
	}
	return r
}

// list reads an ignore file; nil without any lines.
func (rd *reader) list(file string, flags int, base, above string) *list {
	data, err := rd.read(file, flags)
	if err != nil {
		return nil
	}
	name := file
	if rel, ok := strings.CutPrefix(file, rd.root+"/"); ok {
		name = rel
	}
	return newList(data, name, base, above)
}

func (rd *reader) read(file string, flags int) (string, error) {
	if !strings.HasPrefix(file, rd.root+"/") {
		rd.outside = append(rd.outside, file)
	}
	return readFile(file, flags)
}

// findRepository returns the top of the repository that dir is in; dir itself
// and an empty store if there is none.
func findRepository(dir string) (top string, st store) {
	for at := dir; ; at = filepath.Dir(at) {
		if st, ok := openStore(at); ok {
			return at, st
		}
		if at == filepath.Dir(at) {
			return dir, store{}
		}
	}
}

// openStore looks for the git directory of a repository whose top is dir: the
// folder .git, or the one that a file .git names (worktrees, submodules).
func openStore(dir string) (store, bool) {
	git := dir + "/.git"
	var st unix.Stat_t
	if unix.Stat(git, &st) != nil {
		return store{}, false
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		data, err := readFile(git, 0)
		target, ok := strings.CutPrefix(strings.TrimRight(data, "\r\n"), "gitdir: ")
		if err != nil || !ok {
			return store{}, false
		}
		git = joinPath(dir, target)
	}
	if unix.Lstat(git+"/HEAD", &st) != nil {
		return store{}, false
	}
	common := git
	if data, err := readFile(git+"/commondir", 0); err == nil {
		common = joinPath(git, strings.TrimRight(data, "\r\n"))
	}
	return store{dir: git, common: common}, true
}

// joinPath is target, taken from dir if it is relative.
func joinPath(dir, target string) string {
	if filepath.IsAbs(target) {
		return filepath.Clean(target)
	}
	return filepath.Join(dir, target)
}

// maxFile bounds an ignore or config file, as git does.
const maxFile = 100 << 20

var errNotRegular = errors.New("not a regular file")

// readFile reads a regular file. It never waits for a FIFO, nor leaves the
// descriptor to a child. Its errors do not name the path: most folders have no
// such file, and nobody reads them.
func readFile(path string, flags int) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxFile {
		return "", errNotRegular
	}
	return readAll(fd, int(st.Size))
}

func readAll(fd, size int) (string, error) {
	data := make([]byte, 0, size+1)
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", err
		case n == 0 || len(data)+n > maxFile:
			return string(data), nil
		}
		if data = data[:len(data)+n]; len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
	}
}
