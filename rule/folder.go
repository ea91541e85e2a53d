package rule

import (
	"strings"

	"golang.org/x/sys/unix"
)

// folder is what is known of a folder: who hides it, and the lists that have a
// say over what is in it.
type folder struct {
	hidden        *line  // what hides the folder or one above it; nil if it is not ignored
	hiddenWithout *line  // the same without the default ignores
	at            string // the folder that hidden hides

	ignore *chain // .ignore files, from here up
	git    *chain // .gitignore files, from here up to the top of the repository
	repo   *repository
}

// chain is a list and those of the folders above.
type chain struct {
	list *list
	up   *chain
}

func (c *chain) last(path string, dir bool) *line {
	for ; c != nil; c = c.up {
		if l := c.list.last(path, dir); l != nil {
			return l
		}
	}
	return nil
}

// decide returns the line that decides over path, which is in the folder,
// or nil.
func (f *folder) decide(ig *Ignore, path string, dir, defaults bool) *line {
	if len(ig.own) > 0 && ig.own[path] {
		return ownLine
	}
	if l := ig.patterns.last(path, dir); l != nil {
		return l
	}
	if defaults {
		if l := ig.defaults.last(path, dir); l != nil {
			return l
		}
	}
	if l := f.ignore.last(path, dir); l != nil {
		return l
	}
	if l := f.git.last(path, dir); l != nil {
		return l
	}
	return f.repo.last(path, dir)
}

// folderOf returns the folder that path is in, and which folder hides it.
func (ig *Ignore) folderOf(path string) (*folder, string) {
	dir := folderPath(path)
	ig.mu.RLock()
	f, generation := ig.folders[dir], ig.generation
	ig.mu.RUnlock()
	if f == nil {
		f = ig.read(dir, generation)
	}
	return f, f.at
}

// known is what is cached of the folder dir; nil if nothing is.
func (ig *Ignore) known(dir string) *folder {
	ig.mu.RLock()
	defer ig.mu.RUnlock()
	return ig.folders[dir]
}

// read makes what is not cached. What was read before a Reload is not kept.
func (ig *Ignore) read(dir string, generation uint64) *folder {
	f := ig.known(dir)
	if f != nil {
		return f
	}
	if dir == "" {
		f = ig.readRoot()
	} else {
		f = ig.readBelow(ig.read(folderPath(dir), generation), dir)
	}
	ig.keep(dir, f, generation)
	return f
}

// folderPath is the folder that path is in; "" is the root.
func folderPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// unhidden makes the folder dir as if neither it nor one above were ignored. It
// is not kept: few ask for what is ignored.
func (ig *Ignore) unhidden(dir string) *folder {
	f, _ := ig.folderOf(dir + "/")
	if f.hidden == nil {
		return f
	}
	up := ig.unhidden(folderPath(dir))
	f = &folder{ignore: up.ignore, git: up.git, repo: up.repo}
	if ig.opt.Gitignore {
		ig.readFiles(f, dir)
	}
	return f
}

// readBelow makes the folder dir within up.
func (ig *Ignore) readBelow(up *folder, dir string) *folder {
	f := &folder{hidden: up.hidden, hiddenWithout: up.hiddenWithout, at: up.at}
	if f.hidden == nil {
		if f.hidden = ignoring(up.decide(ig, dir, true, true)); f.hidden != nil {
			f.at = dir
		}
	}
	if f.hidden == nil {
		f.hiddenWithout = nil
	} else if f.hiddenWithout = up.hiddenWithout; f.hiddenWithout == nil {
		f.hiddenWithout = ignoring(up.decide(ig, dir, true, false))
	}
	if f.hidden != nil && (f.hiddenWithout != nil || !ig.open[dir]) {
		return f
	}
	f.ignore, f.git, f.repo = up.ignore, up.git, up.repo
	if ig.opt.Gitignore {
		ig.readFiles(f, dir)
	}
	return f
}

// readFiles puts the folder's own files before those of the folders above.
func (ig *Ignore) readFiles(f *folder, dir string) {
	base := dir + "/"
	if repo := ig.findNested(dir); repo != nil {
		f.git, f.repo = nil, repo
	}
	f.git = f.git.with(ig.readList(base, ".gitignore", unix.O_NOFOLLOW))
	f.ignore = f.ignore.with(ig.readList(base, ".ignore", 0))
}

// with puts a list, which may be nil, before the chain.
func (c *chain) with(ls *list) *chain {
	if ls == nil {
		return c
	}
	return &chain{list: ls, up: c}
}

// readList reads an ignore file within the root; nil without any lines.
func (ig *Ignore) readList(base, name string, flags int) *list {
	data, err := readFile(ig.root+"/"+base+name, flags)
	if err != nil || data == "" {
		return nil
	}
	return newList(data, base+name, base, "")
}

func newList(data, name, base, above string) *list {
	lines := parseLines(data, &source{name: name})
	if len(lines) == 0 {
		return nil
	}
	ls := &list{lines: lines, base: base, above: above}
	return ls.file()
}

// ignoring returns the line if it hides, and nil otherwise.
func ignoring(l *line) *line {
	if l == nil || l.negated {
		return nil
	}
	return l
}

func (ig *Ignore) keep(dir string, f *folder, generation uint64) {
	ig.mu.Lock()
	defer ig.mu.Unlock()
	if ig.generation != generation {
		return
	}
	if len(ig.folders) >= maxFolders {
		clear(ig.folders)
	}
	ig.folders[dir] = f
}

func (ig *Ignore) reset() {
	ig.mu.Lock()
	defer ig.mu.Unlock()
	ig.generation++
	ig.folders = make(map[string]*folder)
	ig.outside = nil
}

// forget drops the folders of the set and what is below them.
func (ig *Ignore) forget(gone map[string]bool) {
	ig.mu.Lock()
	defer ig.mu.Unlock()
	ig.generation++
	for dir := range ig.folders {
		for at := range ancestors(dir) {
			if gone[at] {
				delete(ig.folders, dir)
				break
			}
		}
	}
}
