package rule

import "slices"

// Default is one default ignore: a line of gitignore syntax, and why nobody
// wants what it matches.
type Default struct {
	Pattern string
	Reason  string
}

// DefaultIgnores returns the table of default ignores: what version control
// systems, editors and operating systems leave in a tree for themselves. It
// holds no build output and no dependencies (node_modules, target,
// __pycache__): whether these matter is the project's to say, and its
// .gitignore does.
func DefaultIgnores() []Default { return slices.Clone(defaultIgnores) }

// defaultSource is the Verdict.Source of the table's lines.
const defaultSource = "default ignores"

var defaultIgnores = []Default{
	{".git", "git's store, or the file that a worktree or submodule has in its place"},
	{".hg/", "Mercurial's store"},
	{".svn/", "Subversion's store"},
	{".jj/", "Jujutsu's store"},
	{".sl/", "Sapling's store"},
	{".bzr/", "Bazaar's store"},
	{"_darcs/", "Darcs's store"},
	{".pijul/", "Pijul's store"},
	{"CVS/", "CVS's store"},
	{".fslckout", "Fossil's state of the checkout"},
	{".fslckout-*", "Fossil's journal of it"},

	{"4913", "made by vim to see whether it may write in the folder"},
	{".*.sw[a-px]", "vim's and nano's swap and lock of an open file"},
	{".*.swpx", "made by vim to see whether names may be long"},
	{".sw[a-px]", "vim's swap of a buffer without a name"},
	{"*~", "the backup that vim, emacs, nano, patch and cp leave of the former text"},
	{".#*", "emacs's lock of an open file"},
	{`\#*#`, "emacs's automatic save"},
	{".*.kate-swp", "Kate's swap of an open file"},
	{".*.kak.??????", "what Kakoune writes before it renames"},
	{"*___jb_tmp___", "what JetBrains programs write before they rename"},
	{"*___jb_old___", "the former text, for as long as JetBrains programs rename"},
	{"*___jb_bak___", "JetBrains programs' backup"},
	{".goutputstream-??????", "what gedit and other GLib programs write before they rename"},
	{".subl*.tmp", "what Sublime Text writes before it renames"},
	{".~lock.*#", "LibreOffice's lock of an open file"},
	{"*.go.[0-9]*", "gofmt's backup for as long as it writes"},
	{"sed[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]", "what sed -i writes before it renames"},

	{".DS_Store", "macOS's settings of a folder's window"},
	{"._*", "macOS's attributes of a file on a foreign filesystem"},
	{".Trash-*/", "the waste bin of a mount"},
	{"Thumbs.db", "Windows's thumbnails"},
	{".nfs????????????????*", "an open file that was removed, on NFS"},
	{".fuse_hidden*", "an open file that was removed, on FUSE"},
}

// compileDefaults makes a list of the table; a line's number is its place in it.
func compileDefaults() *list {
	ls := &list{lines: make([]line, len(defaultIgnores))}
	src := &source{name: defaultSource}
	for i, d := range defaultIgnores {
		l, _ := parseLine(d.Pattern)
		l.source, l.reason = src, d.Reason
		ls.lines[i] = l
	}
	return ls.file()
}
