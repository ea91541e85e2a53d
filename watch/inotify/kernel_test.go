package inotify

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is a folder for one test, with file operations that must succeed.
type sandbox struct {
	t   testing.TB
	dir string
}

func newSandbox(t testing.TB) sandbox { return sandbox{t, t.TempDir()} }

func (s sandbox) path(name string) string { return filepath.Join(s.dir, name) }

func (s sandbox) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s sandbox) mkdir(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.must(os.Mkdir(s.path(name), 0o755))
	}
}

func (s sandbox) open(name string, flags int) *os.File {
	s.t.Helper()
	f, err := os.OpenFile(s.path(name), flags, 0o644)
	s.must(err)
	return f
}

// touch makes empty files.
func (s sandbox) touch(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.must(s.open(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY).Close())
	}
}

func (s sandbox) append(name, data string) {
	s.t.Helper()
	f := s.open(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY)
	_, err := f.WriteString(data)
	s.must(err)
	s.must(f.Close())
}

func (s sandbox) rename(from, to string) {
	s.t.Helper()
	s.must(os.Rename(s.path(from), s.path(to)))
}

func (s sandbox) remove(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.must(os.Remove(s.path(name)))
	}
}

// chtimes sets both times; a zero one stays as it is.
func (s sandbox) chtimes(name string, atime, mtime time.Time) {
	s.t.Helper()
	s.must(os.Chtimes(s.path(name), atime, mtime))
}

// watched is a set of watches with the names under which a test knows them.
type watched struct {
	conn  *Conn
	names map[WD]string
}

// story writes events as lines "watch MASK name #pair"; the halves of a rename have the same pair.
func (w watched) story(events []Event) string {
	var lines strings.Builder
	var cookies []uint32
	for _, ev := range events {
		fmt.Fprintf(&lines, "%s %v", w.name(ev.WD), ev.Mask)
		if ev.Name != "" {
			fmt.Fprintf(&lines, " %s", ev.Name)
		}
		if ev.Cookie != 0 {
			if !slices.Contains(cookies, ev.Cookie) {
				cookies = append(cookies, ev.Cookie)
			}
			fmt.Fprintf(&lines, " #%d", slices.Index(cookies, ev.Cookie)+1)
		}
		lines.WriteString("\n")
	}
	return lines.String()
}

func (w watched) name(wd WD) string {
	if name, ok := w.names[wd]; ok {
		return name
	}
	return fmt.Sprintf("wd%d", wd)
}

// byWatch sorts a story by its watches, keeping what each of them told in order.
func byWatch(story string) string {
	lines := slices.Collect(strings.Lines(story))
	slices.SortStableFunc(lines, func(a, b string) int {
		a, _, _ = strings.Cut(a, " ")
		b, _, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	return strings.Join(lines, "")
}

// plain removes the indentation that a story has in the source.
func plain(story string) string {
	var lines strings.Builder
	for line := range strings.Lines(story) {
		if line = strings.TrimSpace(line); line != "" {
			lines.WriteString(line + "\n")
		}
	}
	return lines.String()
}

// TestKernel holds what the kernel tells of one operation, for everything that is built on this package. Each entry
// names watches ("path", or "path mask"), does something, and expects a story. The default mask is that of package
// watch for the folders of a tree.
func TestKernel(t *testing.T) {
	const tree = WatchMask
	for _, test := range []struct {
		name  string
		setup func(s sandbox)
		watch []string
		do    func(s sandbox)
		want  string // where a removal is told to the inode and to its folder, kernels differ in which comes first
	}{
		// One event of each kind.
		{"reading a file", func(s sandbox) { s.append("foo.bar", "x") }, []string{". access"},
			func(s sandbox) { _, err := os.ReadFile(s.path("foo.bar")); s.must(err) },
			`. IN_ACCESS foo.bar`},
		{"writing a file", func(s sandbox) { s.touch("foo.bar") }, []string{". modify"},
			func(s sandbox) { s.append("foo.bar", "x") },
			`. IN_MODIFY foo.bar`},
		{"setting times", func(s sandbox) { s.touch("foo.bar") }, []string{". attrib"},
			func(s sandbox) { s.chtimes("foo.bar", time.Unix(1, 0), time.Unix(1, 0)) },
			`. IN_ATTRIB foo.bar`},
		{"setting times twice, unread", func(s sandbox) { s.touch("foo.bar") }, []string{". attrib"},
			func(s sandbox) {
				s.chtimes("foo.bar", time.Unix(1, 0), time.Unix(1, 0))
				s.chtimes("foo.bar", time.Unix(2, 0), time.Unix(2, 0))
			},
			`. IN_ATTRIB foo.bar`},
		{"setting one time looks like a read or a write", func(s sandbox) { s.touch("foo.bar") }, []string{". all_events"},
			func(s sandbox) {
				s.chtimes("foo.bar", time.Unix(1, 0), time.Time{})
				s.chtimes("foo.bar", time.Time{}, time.Unix(1, 0))
			},
			`. IN_ACCESS foo.bar
			 . IN_MODIFY foo.bar`},
		{"closing after writing", func(s sandbox) { s.touch("foo.bar") }, []string{". close_write"},
			func(s sandbox) { s.must(s.open("foo.bar", os.O_WRONLY).Close()) },
			`. IN_CLOSE_WRITE foo.bar`},
		{"closing after reading", func(s sandbox) { s.touch("foo.bar") }, []string{". close_nowrite"},
			func(s sandbox) { s.must(s.open("foo.bar", os.O_RDONLY).Close()) },
			`. IN_CLOSE_NOWRITE foo.bar`},
		{"opening a file", func(s sandbox) { s.touch("foo.bar") }, []string{". open"},
			func(s sandbox) { s.must(s.open("foo.bar", os.O_RDONLY).Close()) },
			`. IN_OPEN foo.bar`},
		{"moving a file out", func(s sandbox) { s.mkdir("r", "out"); s.touch("r/foo.bar") }, []string{"r moved_from"},
			func(s sandbox) { s.rename("r/foo.bar", "out/foo.bar") },
			`r IN_MOVED_FROM foo.bar #1`},
		{"moving a file in", func(s sandbox) { s.mkdir("r", "out"); s.touch("out/foo.bar") }, []string{"r moved_to"},
			func(s sandbox) { s.rename("out/foo.bar", "r/foo.bar") },
			`r IN_MOVED_TO foo.bar #1`},
		{"making a file", nil, []string{". create"},
			func(s sandbox) { s.touch("foo.bar") },
			`. IN_CREATE foo.bar`},
		{"removing a file", func(s sandbox) { s.touch("foo.bar") }, []string{". delete"},
			func(s sandbox) { s.remove("foo.bar") },
			`. IN_DELETE foo.bar`},
		{"removing the watched folder", func(s sandbox) { s.mkdir("r") }, []string{"r delete_self"},
			func(s sandbox) { s.remove("r") },
			`r IN_DELETE_SELF
			 r IN_IGNORED`},
		{"renaming the watched folder", func(s sandbox) { s.mkdir("r") }, []string{"r move_self"},
			func(s sandbox) { s.rename("r", "z") },
			`r IN_MOVE_SELF`},
		{"one shot", nil, []string{". create,one_shot"},
			func(s sandbox) { s.touch("a", "b") },
			`. IN_CREATE a
			 . IN_IGNORED`},

		// Whole lives.
		{"the life of a file", nil, []string{". all_events"},
			func(s sandbox) { s.touch("a"); s.append("a", "x"); s.remove("a") },
			`. IN_CREATE a
			 . IN_OPEN a
			 . IN_CLOSE_WRITE a
			 . IN_OPEN a
			 . IN_MODIFY a
			 . IN_CLOSE_WRITE a
			 . IN_DELETE a`},
		{"a chain made at once tells of its first folder only", nil, []string{"."},
			func(s sandbox) { s.mkdir("a", "a/b", "a/b/c"); s.touch("a/b/c/f") },
			`. IN_CREATE|IN_ISDIR a`},
		{"a populated folder moved in is one event", func(s sandbox) { s.mkdir("r", "t", "t/u"); s.touch("t/u/f") }, []string{"r"},
			func(s sandbox) { s.rename("t", "r/t") },
			`r IN_MOVED_TO|IN_ISDIR t #1`},
		{"links, pipes and sockets are created", nil, []string{"."},
			func(s sandbox) {
				s.must(os.Symlink("nowhere", s.path("link")))
				s.must(unix.Mkfifo(s.path("pipe"), 0o644))
				s.must(unix.Mknod(s.path("sock"), unix.S_IFSOCK|0o644, 0))
			},
			`. IN_CREATE link
			 . IN_CREATE pipe
			 . IN_CREATE sock`},
		{"a hard link is told to the inode's own watch and to the folder of the new name", func(s sandbox) { s.touch("f") }, []string{".", "f"},
			func(s sandbox) { s.must(os.Link(s.path("f"), s.path("l"))) },
			`f IN_ATTRIB
			 . IN_CREATE l`},
		{"a write through another link is told to the inode's own watch only",
			func(s sandbox) { s.mkdir("r", "out"); s.touch("r/f"); s.must(os.Link(s.path("r/f"), s.path("out/l"))) }, []string{"r", "r/f"},
			func(s sandbox) { s.append("out/l", "x") },
			`r/f IN_MODIFY
			 r/f IN_CLOSE_WRITE`},
		{"removing a watched file: links, then the inode, then the name", func(s sandbox) { s.touch("f") }, []string{".", "f"},
			func(s sandbox) { s.remove("f") },
			`f IN_ATTRIB
			 f IN_DELETE_SELF
			 f IN_IGNORED
			 . IN_DELETE f`},
		{"a watched file replaced by a rename loses its watch", func(s sandbox) { s.touch("f", "tmp") }, []string{"f"},
			func(s sandbox) { s.rename("tmp", "f") },
			`f IN_ATTRIB
			 f IN_DELETE_SELF
			 f IN_IGNORED`},
		{"a watched file renamed keeps its watch", func(s sandbox) { s.touch("f") }, []string{"f"},
			func(s sandbox) { s.rename("f", "g"); s.append("g", "x"); s.rename("g", "f") },
			`f IN_MOVE_SELF
			 f IN_MODIFY
			 f IN_CLOSE_WRITE
			 f IN_MOVE_SELF`},
		{"a file cut short", func(s sandbox) { s.append("f", "content") }, []string{"."},
			func(s sandbox) { s.must(os.Truncate(s.path("f"), 3)) },
			`. IN_MODIFY f`},
		{"touch of an old file", func(s sandbox) { s.touch("f") }, []string{"."},
			func(s sandbox) {
				f := s.open("f", os.O_WRONLY)
				s.chtimes("f", time.Unix(1, 0), time.Unix(1, 0))
				s.must(f.Close())
			},
			`. IN_ATTRIB f
			 . IN_CLOSE_WRITE f`},
		{"emptying an empty file is a change", func(s sandbox) { s.touch("f") }, []string{"."},
			func(s sandbox) { s.must(s.open("f", os.O_WRONLY|os.O_TRUNC).Close()) },
			`. IN_MODIFY f
			 . IN_CLOSE_WRITE f`},
		{"an unreadable file still tells", func(s sandbox) { s.touch("f") }, []string{"."},
			func(s sandbox) { s.must(os.Chmod(s.path("f"), 0)); s.remove("f") },
			`. IN_ATTRIB f
			 . IN_DELETE f`},

		// Renames.
		{"a renamed folder keeps its watch", func(s sandbox) { s.mkdir("a", "a/b") }, []string{".", "a", "a/b"},
			func(s sandbox) { s.rename("a", "z"); s.touch("z/b/f") },
			`. IN_MOVED_FROM|IN_ISDIR a #1
			 . IN_MOVED_TO|IN_ISDIR z #1
			 a IN_MOVE_SELF
			 a/b IN_CREATE f
			 a/b IN_CLOSE_WRITE f`},
		{"a folder moved out keeps its watches", func(s sandbox) { s.mkdir("r", "out", "r/a", "r/a/b") }, []string{"r", "r/a", "r/a/b"},
			func(s sandbox) { s.rename("r/a", "out/a"); s.mkdir("out/a/b/g") },
			`r IN_MOVED_FROM|IN_ISDIR a #1
			 r/a IN_MOVE_SELF
			 r/a/b IN_CREATE|IN_ISDIR g`},
		{"moved from one watched folder to another", func(s sandbox) { s.mkdir("a", "b"); s.touch("a/f") }, []string{"a", "b"},
			func(s sandbox) { s.rename("a/f", "b/g") },
			`a IN_MOVED_FROM f #1
			 b IN_MOVED_TO g #1`},
		{"renamed over a file: the old one goes in silence", func(s sandbox) { s.touch("tmp", "f") }, []string{"."},
			func(s sandbox) { s.rename("tmp", "f") },
			`. IN_MOVED_FROM tmp #1
			 . IN_MOVED_TO f #1`},
		{"a chain of renames", func(s sandbox) { s.touch("a") }, []string{"."},
			func(s sandbox) { s.rename("a", "b"); s.rename("b", "c"); s.rename("c", "d") },
			`. IN_MOVED_FROM a #1
			 . IN_MOVED_TO b #1
			 . IN_MOVED_FROM b #2
			 . IN_MOVED_TO c #2
			 . IN_MOVED_FROM c #3
			 . IN_MOVED_TO d #3`},
		{"two folders exchanged", func(s sandbox) { s.mkdir("a", "b") }, []string{".", "a", "b"},
			func(s sandbox) {
				s.must(unix.Renameat2(unix.AT_FDCWD, s.path("a"), unix.AT_FDCWD, s.path("b"), unix.RENAME_EXCHANGE))
				s.touch("a/was-b", "b/was-a")
			},
			`. IN_MOVED_FROM|IN_ISDIR a #1
			 . IN_MOVED_TO|IN_ISDIR b #1
			 a IN_MOVE_SELF
			 . IN_MOVED_FROM|IN_ISDIR b #2
			 . IN_MOVED_TO|IN_ISDIR a #2
			 b IN_MOVE_SELF
			 b IN_CREATE was-b
			 b IN_CLOSE_WRITE was-b
			 a IN_CREATE was-a
			 a IN_CLOSE_WRITE was-a`},
		{"one link of an inode renamed over another is nothing",
			func(s sandbox) { s.touch("f"); s.must(os.Link(s.path("f"), s.path("l"))) }, []string{"."},
			func(s sandbox) { s.must(unix.Rename(s.path("f"), s.path("l"))) },
			``},
		{"an ancestor renamed is nothing", func(s sandbox) { s.mkdir("p", "p/r") }, []string{"p/r"},
			func(s sandbox) { s.rename("p", "p2") },
			``},

		// Removal and return.
		{"a folder removed and made again has another watch", func(s sandbox) { s.mkdir("a") }, []string{".", "a"},
			func(s sandbox) { s.remove("a"); s.mkdir("a"); s.touch("a/f") },
			`a IN_DELETE_SELF
			 a IN_IGNORED
			 . IN_DELETE|IN_ISDIR a
			 . IN_CREATE|IN_ISDIR a`},
		{"one removed folder does not end the others", func(s sandbox) { s.mkdir("a", "b") }, []string{"a", "b"},
			func(s sandbox) { s.remove("a"); s.mkdir("b/f") },
			`a IN_DELETE_SELF
			 a IN_IGNORED
			 b IN_CREATE|IN_ISDIR f`},
		{"files of one name in two folders", func(s sandbox) { s.mkdir("a", "b"); s.touch("a/f", "b/f") }, []string{"a/f delete_self", "b/f delete_self"},
			func(s sandbox) { s.remove("b/f", "a/f") },
			`b/f IN_DELETE_SELF
			 b/f IN_IGNORED
			 a/f IN_DELETE_SELF
			 a/f IN_IGNORED`},
		{"events after the removal", func(s sandbox) { s.touch("t") }, []string{"."},
			func(s sandbox) { late(s) },
			`. IN_DELETE t
			 . IN_MODIFY t
			 . IN_CLOSE_WRITE t`},
		{"no events after the removal with IN_EXCL_UNLINK", func(s sandbox) { s.touch("t") }, []string{". watch_mask,excl_unlink"},
			func(s sandbox) { late(s) },
			`. IN_DELETE t`},

		// Writes.
		{"a thousand writes that nobody has read are one", func(s sandbox) { s.touch("f") }, []string{". modify"},
			func(s sandbox) { writeAll(s, 1000, "f") },
			`. IN_MODIFY f`},
		{"writes to two files in turn are not merged", func(s sandbox) { s.touch("f", "g") }, []string{". modify"},
			func(s sandbox) { writeAll(s, 3, "f", "g") },
			strings.Repeat(". IN_MODIFY f\n. IN_MODIFY g\n", 3)},
		{"a store through a mapping is told by IN_CLOSE_WRITE alone, when the mapping goes",
			func(s sandbox) { s.append("f", "content") }, []string{"."},
			func(s sandbox) { mapped(s) },
			`. IN_ATTRIB f
			 . IN_CLOSE_WRITE f`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t)
			if test.setup != nil {
				test.setup(s)
			}
			w := watched{newTestConn(t), map[WD]string{}}
			for _, line := range test.watch {
				path, text, _ := strings.Cut(line, " ")
				mask, err := ParseMask(text)
				must(t, err)
				if mask == 0 {
					mask = tree
				}
				w.names[add(t, w.conn, s.path(path), mask)] = path
			}
			test.do(s)
			got, want := w.story(upToBarrier(t, w.conn)), plain(test.want)
			if got != want && !(strings.Contains(want, "IN_IGNORED") && byWatch(got) == byWatch(want)) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func late(s sandbox) {
	f := s.open("t", os.O_WRONLY)
	s.remove("t")
	_, err := f.WriteString("z")
	s.must(err)
	s.must(f.Close())
}

func writeAll(s sandbox, rounds int, names ...string) {
	var files []*os.File
	for _, name := range names {
		f := s.open(name, os.O_WRONLY)
		defer f.Close()
		files = append(files, f)
	}
	for range rounds {
		for _, f := range files {
			_, err := f.WriteString("x")
			s.must(err)
		}
	}
}

// mapped stores through a mapping whose descriptor is closed; the chmod between the two shows when the event comes.
func mapped(s sandbox) {
	f := s.open("f", os.O_RDWR)
	data, err := unix.Mmap(int(f.Fd()), 0, 4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.must(err)
	data[0] = 'C'
	s.must(unix.Msync(data, unix.MS_SYNC))
	s.must(f.Close())
	s.must(os.Chmod(s.path("f"), 0o600))
	s.must(unix.Munmap(data))
}

// TestOpenHandle: a folder that somebody has open leaves its parent at once, but tells of its own end only later.
func TestOpenHandle(t *testing.T) {
	s := newSandbox(t)
	s.mkdir("a")
	c := newTestConn(t)
	w := watched{c, map[WD]string{add(t, c, s.dir, WatchMask): ".", add(t, c, s.path("a"), WatchMask): "a"}}
	f := s.open("a", os.O_RDONLY)
	s.remove("a")
	if got, want := w.story(upToBarrier(t, c)), ". IN_DELETE|IN_ISDIR a\n"; got != want {
		t.Errorf("while open: got %q, want %q", got, want)
	}
	s.must(f.Close())
	if got, want := w.story(upToBarrier(t, c)), "a IN_DELETE_SELF\na IN_IGNORED\n"; got != want {
		t.Errorf("closed: got %q, want %q", got, want)
	}
}

// TestTmpfile: a file without a name tells under a name that does not exist, and goes on doing so when linked.
func TestTmpfile(t *testing.T) {
	s := newSandbox(t)
	fd, err := unix.Open(s.dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		t.Skipf("no O_TMPFILE on this filesystem: %v", err)
	}
	f := os.NewFile(uintptr(fd), "tmpfile")
	defer f.Close()
	c := newTestConn(t)
	add(t, c, s.dir, Modify|Create)
	_, err = f.WriteString("x")
	s.must(err)
	s.must(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, s.path("linked"), unix.AT_SYMLINK_FOLLOW))
	_, err = f.WriteString("y")
	s.must(err)
	var names []string
	for _, ev := range upToBarrier(t, c) {
		names = append(names, ev.Mask.String()+" "+strings.TrimRight(ev.Name, "0123456789"))
	}
	// The tail of the queue only is compared, so the second write is a second event.
	if want := []string{"IN_MODIFY #", "IN_CREATE linked", "IN_MODIFY #"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestNames: the bytes of a name arrive as they are, and Len tells how the kernel padded them.
func TestNames(t *testing.T) {
	s := newSandbox(t)
	c := newTestConn(t)
	wd := add(t, c, s.dir, Create)
	names := map[string]uint32{
		"a": 16, strings.Repeat("b", 15): 16, strings.Repeat("c", 16): 32, strings.Repeat("d", 255): 256,
		"caf\xe9": 16, "новый": 16, "new\nline": 16, "-rf": 16, "*?[a]": 16, " ": 16, "\xff\xfe": 16,
	}
	var want []Event
	for name, length := range names {
		s.touch(name)
		want = append(want, Event{WD: wd, Mask: Create, Len: length, Name: name})
	}
	expect(t, upToBarrier(t, c), want)
}
