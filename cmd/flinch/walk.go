package main

import (
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// walk visits the files of all roots that are watched, by their paths below the
// root; "." is a root that is a file.
func (p *plan) walk(visit func(root int, path string)) {
	for i := range p.roots {
		enter := func(dir string) bool { return dir == "." || !p.prune(i, dir) }
		p.tree(i, enter, func(path string) { visit(i, path) })
	}
}

// tree visits what lies in a root: each folder, "." the first, is entered if
// enter says so, each file in it is visited, in the order of the names. What
// cannot be read has nothing to show. A root may be a symbolic link; one below it
// is a file, or with follow the folder that it leads to, unless that was entered
// before.
func (p *plan) tree(root int, enter func(dir string) bool, visit func(file string)) {
	info, err := os.Stat(p.roots[root])
	switch {
	case err != nil:
	case info.IsDir():
		t := &tree{root: p.roots[root], enter: enter, visit: visit}
		if p.cfg.Follow {
			t.entered = map[identity]bool{}
		}
		t.folder(".")
	default:
		visit(".")
	}
}

// tree is one walk over a root.
type tree struct {
	root    string
	enter   func(dir string) bool
	visit   func(file string)
	entered map[identity]bool // nil: links are not followed
}

// identity tells folders apart, however they are reached.
type identity struct{ dev, ino uint64 }

func (t *tree) folder(dir string) {
	if !t.first(dir) || !t.enter(dir) {
		return
	}
	entries, err := os.ReadDir(t.abs(dir))
	if err != nil {
		return
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() || t.leads(name, e) {
			t.folder(name)
			continue
		}
		t.visit(name)
	}
}

// first tells whether a folder has not been entered before.
func (t *tree) first(dir string) bool {
	if t.entered == nil {
		return true
	}
	var st unix.Stat_t
	if unix.Stat(t.abs(dir), &st) != nil {
		return false
	}
	id := identity{st.Dev, st.Ino}
	seen := t.entered[id]
	t.entered[id] = true
	return !seen
}

// leads tells whether a link leads to a folder and is followed.
func (t *tree) leads(name string, e fs.DirEntry) bool {
	if t.entered == nil || e.Type() != fs.ModeSymlink {
		return false
	}
	info, err := os.Stat(t.abs(name))
	return err == nil && info.IsDir()
}

// abs is not cleaned: with a slash at its end the root may be a link.
func (t *tree) abs(name string) string { return t.root + "/" + name }
