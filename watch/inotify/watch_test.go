package inotify

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAddErrors reaches each errno of inotify_add_watch that needs neither a limit nor another user. (EFAULT is out
// of reach: the type of the path keeps it valid.)
func TestAddErrors(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.touch("file")
	s.mkdir("dir", "known")
	s.must(os.Symlink("dir", s.path("link")))
	s.must(os.Symlink("loop", s.path("loop")))
	t.Chdir(s.dir)
	add(t, c, "known", Create)
	long, deep := strings.Repeat("n", 256), strings.Repeat("./", 2048)+"dir"
	for _, test := range []struct {
		name, path string
		mask       Mask
		want       syscall.Errno
		text       string
	}{
		{"no path", "", Create, unix.ENOENT, "inotify add: no such file or directory (ENOENT)"},
		{"missing", "missing", Create, unix.ENOENT, "inotify add missing: no such file or directory (ENOENT)"},
		{"below a device", "/dev/null/foo", Create, unix.ENOTDIR, "inotify add /dev/null/foo: not a directory (ENOTDIR)"},
		{"a file, with only_dir", "file", Create | OnlyDir, unix.ENOTDIR, "inotify add file: not a directory (ENOTDIR)"},
		{"a link, with only_dir and dont_follow", "link", Create | OnlyDir | DontFollow, unix.ENOTDIR,
			"inotify add link: not a directory (ENOTDIR)"},
		{"watched, with mask_create", "known", Create | MaskCreate, unix.EEXIST, "inotify add known: file exists (EEXIST)"},
		{"a loop of links", "loop", Create, unix.ELOOP, "inotify add loop: too many levels of symbolic links (ELOOP)"},
		{"a name of 256 bytes", long, Create, unix.ENAMETOOLONG, "inotify add " + long + ": file name too long (ENAMETOOLONG)"},
		{"a path beyond PATH_MAX", deep, Create, unix.ENAMETOOLONG, "inotify add " + deep + ": file name too long (ENAMETOOLONG)"},
		{"a bit that is none", "dir", Create | 0x1000, unix.EINVAL, "inotify add dir: invalid argument (EINVAL)"},
		{"no mask", "dir", 0, unix.EINVAL, "inotify add dir: mask 0 asks for no event (EINVAL)"},
		{"no event", "dir", IsDir, unix.EINVAL, "inotify add dir: mask IN_ISDIR asks for no event (EINVAL)"},
		{"flags only", "dir", OnlyDir | MaskAdd, unix.EINVAL,
			"inotify add dir: mask IN_ONLYDIR|IN_MASK_ADD asks for no event (EINVAL)"},
		{"add and create", "dir", Create | MaskAdd | MaskCreate, unix.EINVAL,
			"inotify add dir: a mask has IN_MASK_ADD or IN_MASK_CREATE, not both (EINVAL)"},
		{"a NUL", "dir\x00", Create, unix.EINVAL, `inotify add "dir\x00": the path holds a NUL (EINVAL)`},
		{"a slash at the end of a link", "link/", Create | OnlyDir | DontFollow, unix.EINVAL,
			"inotify add link/: a slash at the end follows the link in spite of IN_DONT_FOLLOW (EINVAL)"},
		{"several slashes", "link//", Create | DontFollow, unix.EINVAL,
			"inotify add link//: a slash at the end follows the link in spite of IN_DONT_FOLLOW (EINVAL)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wd, err := c.Add(test.path, test.mask)
			if wd != NoWD {
				t.Errorf("got wd %d, want none", wd)
			}
			if e := expectError(t, err, test.want, test.text); e.Op != "add" || e.Path != test.path || e.WD != NoWD {
				t.Errorf("got %+v", e)
			}
		})
	}
	expectMasks(t, c, Create)
}

// TestAddErrorsAreGoErrors: the classes of package fs are found in them.
func TestAddErrorsAreGoErrors(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, Create)
	if _, err := c.Add(s.path("missing"), Create); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want fs.ErrNotExist", err)
	}
	if _, err := c.Add(s.dir, Create|MaskCreate); !errors.Is(err, fs.ErrExist) {
		t.Errorf("watched: got %v, want fs.ErrExist", err)
	}
}

func TestAddUnreadable(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.must(os.Chmod(filepath.Dir(s.dir), 0o755))
	s.must(os.Chmod(s.dir, 0o777))
	s.mkdir("closed", "later")
	s.must(os.Chmod(s.path("closed"), 0o311))
	asNobody(t, func() {
		_, err := c.Add(s.path("closed"), Create)
		e := expectError(t, err, unix.EACCES, "inotify add "+s.path("closed")+": permission denied (EACCES)")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v, want fs.ErrPermission", err)
		}
		if want := "watching needs read permission, if only at this moment: chmod +r " + s.path("closed"); e.Hint() != want {
			t.Errorf("got hint %q, want %q", e.Hint(), want)
		}
	})
	// A watch that stands does not mind.
	wd := add(t, c, s.path("later"), Create|Attrib)
	s.must(os.Chmod(s.path("later"), 0o300))
	s.touch("later/f")
	s.must(os.Chmod(s.path("later"), 0o700))
	expect(t, upToBarrier(t, c), []Event{{wd, Attrib | IsDir, 0, 0, ""}, {wd, Create, 0, 16, "f"}, {wd, Attrib | IsDir, 0, 0, ""}})
}

// asNobody calls f with the file permissions of an ordinary user, on a thread that ends with it.
func asNobody(t *testing.T, f func()) {
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// TestAddAgain: one inode has one watch, whatever the path, and Add never takes events away from it.
func TestAddAgain(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("dir")
	s.must(os.Symlink("dir", s.path("link")))
	wd := add(t, c, s.path("dir"), Create)
	for path, mask := range map[string]Mask{"dir": Delete, "link": Create, "dir/.": MoveSelf} {
		if again := add(t, c, filepath.Clean(s.dir)+"/"+path, mask); again != wd {
			t.Errorf("%s: got wd %d, want %d", path, again, wd)
		}
	}
	expectMasks(t, c, Create|Delete|MoveSelf)
	s.touch("dir/f")
	s.remove("dir/f")
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "f"}, {wd, Delete, 0, 16, "f"}})
	must(t, c.Remove(wd))
	expectMasks(t, c)
}

// TestAddOneShotAgain: how a watch is made holds for all that share it.
func TestAddOneShotAgain(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	add(t, c, s.dir, Create)
	_, err := c.Add(s.dir, Delete|OneShot|MaskCreate)
	expectError(t, err, unix.EEXIST, "inotify add "+s.dir+": file exists (EEXIST)")
	expectMasks(t, c, Create)
	add(t, c, s.dir, Delete|OneShot)
	expectMasks(t, c, Create|Delete|OneShot)
}

func TestUpdate(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	again, err := c.Update(s.dir, Delete)
	if again != wd || err != nil {
		t.Errorf("got %d, %v, want %d", again, err, wd)
	}
	expectMasks(t, c, Create|Delete)
	_, err = c.Update(s.dir, OnlyDir)
	expectError(t, err, unix.EINVAL, "inotify update "+s.dir+": mask IN_ONLYDIR asks for no event (EINVAL)")
	_, err = c.Update(s.dir, Create|MaskCreate)
	expectError(t, err, unix.EINVAL, "inotify update "+s.dir+": mask IN_CREATE|IN_MASK_CREATE makes a watch instead of adding to one (EINVAL)")
	expectMasks(t, c, Create|Delete)
}

func TestReplace(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, AllEvents)
	again, err := c.Replace(s.dir, Delete)
	if again != wd || err != nil {
		t.Errorf("got %d, %v, want %d", again, err, wd)
	}
	expectMasks(t, c, Delete)
	_, err = c.Replace(s.dir, IsDir)
	expectError(t, err, unix.EINVAL, "inotify replace "+s.dir+": mask IN_ISDIR asks for no event (EINVAL)")
	_, err = c.Replace(s.dir, Create|MaskAdd)
	expectError(t, err, unix.EINVAL, "inotify replace "+s.dir+": mask IN_CREATE|IN_MASK_ADD adds instead of replacing (EINVAL)")
	expectMasks(t, c, Delete)
}

// TestAddAnyBytes: a path is bytes, not text.
func TestAddAnyBytes(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	for _, name := range []string{"caf\xe9", "new\nline", "*?[", strings.Repeat("n", 255)} {
		s.mkdir(name)
		add(t, c, s.path(name), Create)
	}
	_, err := c.Add(s.path("\xff"), Create)
	expectError(t, err, unix.ENOENT, "inotify add "+strconv.Quote(s.path("\xff"))+": no such file or directory (ENOENT)")
}

// TestAddLinks: DontFollow watches a link itself, and "/" is no link.
func TestAddLinks(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("dir")
	s.must(os.Symlink("dir", s.path("link")))
	dir, link := add(t, c, s.path("dir"), WatchMask), add(t, c, s.path("link"), WatchMask|DontFollow)
	if dir == link {
		t.Errorf("the link was followed")
	}
	add(t, c, "/", DeleteSelf|DontFollow|OnlyDir)
	s.remove("link")
	expect(t, upToBarrier(t, c), []Event{{link, Attrib, 0, 0, ""}, {link, DeleteSelf, 0, 0, ""}, {link, Ignored, 0, 0, ""}})
}

func TestAddFD(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("a")
	s.must(os.Symlink("a", s.path("link")))
	dir, err := os.Open(s.path("a"))
	must(t, err)
	defer dir.Close()
	path, err := unix.Open(s.path("link"), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(path)
	// Another folder takes the name: the descriptor still means the first.
	s.rename("a", "b")
	s.mkdir("a")
	wd, err := c.AddFD(int(dir.Fd()), WatchMask|OnlyDir|DontFollow)
	must(t, err)
	if same := add(t, c, s.path("b"), WatchMask|MaskAdd); same != wd {
		t.Errorf("wd of the folder: got %d, want %d", same, wd)
	}
	link, err := c.AddFD(path, WatchMask)
	must(t, err)
	if same := add(t, c, s.path("link"), WatchMask|DontFollow); same != link {
		t.Errorf("wd of the link: got %d, want %d", same, link)
	}
	expectMasks(t, c, WatchMask&^Unmount, WatchMask&^Unmount)
}

// TestAddFDOfRemoved: a folder without a name can still be watched, to the end.
func TestAddFDOfRemoved(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("a")
	dir := s.open("a", os.O_RDONLY)
	s.remove("a")
	wd, err := c.AddFD(int(dir.Fd()), WatchMask)
	must(t, err)
	s.must(dir.Close())
	expect(t, upToBarrier(t, c), []Event{{wd, DeleteSelf, 0, 0, ""}, {wd, Ignored, 0, 0, ""}})
}

func TestAddFDErrors(t *testing.T) {
	c := newTestConn(t)
	_, err := c.AddFD(-1, Create)
	expectError(t, err, unix.EBADF, "inotify add /proc/self/fd/-1: bad file descriptor (EBADF)")
	_, err = c.AddFD(1<<30, Create)
	e := expectError(t, err, unix.EBADF, "inotify add /proc/self/fd/1073741824: bad file descriptor (EBADF)")
	if errors.Is(e, os.ErrClosed) {
		t.Error("a bad descriptor of the caller's looks like a closed instance")
	}
	file, err := os.Open("/proc/self/status")
	must(t, err)
	defer file.Close()
	_, err = c.AddFD(int(file.Fd()), Create|OnlyDir)
	if !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file with only_dir: got %v, want ENOTDIR", err)
	}
}

func TestRemove(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	s.touch("before")
	must(t, c.Remove(wd))
	s.touch("after")
	expect(t, upToBarrier(t, c), []Event{{wd, Create, 0, 16, "before"}, {wd, Ignored, 0, 0, ""}})
	for range 2 {
		err := c.Remove(wd)
		e := expectError(t, err, unix.EINVAL, "inotify remove wd "+strconv.Itoa(int(wd))+": not watched (EINVAL)")
		if !errors.Is(err, ErrNotWatched) || e.WD != wd {
			t.Errorf("got %+v, want ErrNotWatched of wd %d", e, wd)
		}
	}
	err := c.Remove(-1)
	expectError(t, err, unix.EINVAL, "inotify remove: not watched (EINVAL)")
	if !errors.Is(err, ErrNotWatched) {
		t.Errorf("got %v, want ErrNotWatched", err)
	}
	// Added again it is another watch, and its events are its own.
	again := add(t, c, s.dir, Create)
	if again <= wd {
		t.Errorf("got wd %d after %d, want a higher one", again, wd)
	}
	s.touch("again")
	expect(t, upToBarrier(t, c), []Event{{again, Create, 0, 16, "again"}})
}

func TestRemoveTwoFilesApart(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.touch("a", "b")
	a, b := add(t, c, s.path("a"), DeleteSelf), add(t, c, s.path("b"), DeleteSelf)
	must(t, c.Remove(a))
	s.remove("a", "b")
	expect(t, upToBarrier(t, c), []Event{{a, Ignored, 0, 0, ""}, {b, DeleteSelf, 0, 0, ""}, {b, Ignored, 0, 0, ""}})
}

// TestRemoveAtOnce: of several that remove one watch at least one is told that it did (the kernel may tell several so),
// and there is one Ignored event.
func TestRemoveAtOnce(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	for range 100 {
		wd := add(t, c, s.dir, Create)
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = c.Remove(wd) })
		}
		all.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, ErrNotWatched) {
				t.Error(err)
			}
		}
		if !slices.Contains(errs, nil) {
			t.Error("nobody removed it")
		}
		expect(t, upToBarrier(t, c), []Event{{wd, Ignored, 0, 0, ""}})
	}
}

// TestRemoveUnwatchesSoon: a folder that is not watched any more can go without an event.
func TestRemoveUnwatchesSoon(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.mkdir("a", "a/b")
	wd := add(t, c, s.path("a/b"), WatchMask)
	must(t, c.Remove(wd))
	s.remove("a/b")
	expect(t, upToBarrier(t, c), []Event{{wd, Ignored, 0, 0, ""}})
}

// TestWDsOnlyGrow: the number of a watch is never given to another inode.
func TestWDsOnlyGrow(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	if first := add(t, c, "/", Create); first != 1 {
		t.Errorf("the first: got wd %d, want 1", first)
	}
	last := WD(1)
	for range 1000 {
		wd := add(t, c, s.dir, Create)
		if wd <= last {
			t.Fatalf("got wd %d after %d", wd, last)
		}
		must(t, c.Remove(wd))
		last = wd
		if _, err := c.TryRead(nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatches(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	s.touch("f")
	if _, err := c.Barrier(); err != nil {
		t.Fatal(err)
	}
	wd := add(t, c, s.path("f"), Modify|ExclUnlink|OneShot)
	got, err := c.Watches()
	must(t, err)
	var stat unix.Stat_t
	must(t, unix.Stat(s.path("f"), &stat))
	if len(got) != 1 || got[0].WD != wd || got[0].Inode != stat.Ino || got[0].Mask != Modify|ExclUnlink|OneShot {
		t.Errorf("got %+v, want wd %d, inode %d", got, wd, stat.Ino)
	}
	var fs unix.Statfs_t
	must(t, unix.Statfs(s.dir, &fs))
	if fs.Type == unix.EXT4_SUPER_MAGIC && got[0].Device != stat.Dev {
		t.Errorf("got device %#x, want %#x", got[0].Device, stat.Dev)
	}
}

func TestParseWatch(t *testing.T) {
	got, err := parseWatch("inotify wd:1f ino:2a0001 sdev:800003 mask:40000fce ignored_mask:0 fhandle-bytes:8")
	want := Watch{WD: 0x1f, Device: unix.Mkdev(8, 3), Inode: 0x2a0001, Mask: 0x40000fce}
	if got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseWatch("inotify wd:x"); err == nil {
		t.Error("a line that is none: got no error")
	}
}

// TestBarrier: what happened before the call comes before the barrier, what happens after it comes after.
func TestBarrier(t *testing.T) {
	s, c := newSandbox(t), newTestConn(t)
	wd := add(t, c, s.dir, Create)
	var ends []WD
	for i := range 3 {
		s.touch(strconv.Itoa(i))
		end, err := c.Barrier()
		must(t, err)
		ends = append(ends, end)
	}
	s.touch("3")
	got, err := c.Read(nil)
	must(t, err)
	expect(t, got, []Event{
		{wd, Create, 0, 16, "0"}, {ends[0], Ignored, 0, 0, ""},
		{wd, Create, 0, 16, "1"}, {ends[1], Ignored, 0, 0, ""},
		{wd, Create, 0, 16, "2"}, {ends[2], Ignored, 0, 0, ""},
		{wd, Create, 0, 16, "3"},
	})
}

// TestBarrierAtOnce: barriers of several goroutines each have their own descriptor and all arrive.
func TestBarrierAtOnce(t *testing.T) {
	c := newTestConn(t)
	var all sync.WaitGroup
	ends := make(chan WD, 400)
	for range 4 {
		all.Go(func() {
			for range cap(ends) / 4 {
				end, err := c.Barrier()
				if err != nil {
					t.Error(err)
					return
				}
				ends <- end
			}
		})
	}
	all.Wait()
	close(ends)
	var want []WD
	for end := range ends {
		want = append(want, end)
	}
	slices.Sort(want)
	if n := len(slices.Compact(slices.Clone(want))); n != cap(ends) {
		t.Errorf("got %d different descriptors, want %d", n, cap(ends))
	}
	var got []WD
	for _, ev := range upToBarrier(t, c) {
		got = append(got, ev.WD)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestBarrierHeals: who removes the watch that a barrier keeps, by guessing its number, breaks nothing.
func TestBarrierHeals(t *testing.T) {
	c := newTestConn(t)
	if _, err := c.Barrier(); err != nil {
		t.Fatal(err)
	}
	must(t, c.Remove(c.barrier.wd))
	wd, err := c.Barrier()
	must(t, err)
	events, err := c.Read(nil)
	must(t, err)
	if last := events[len(events)-1]; last.WD != wd || last.Mask != Ignored {
		t.Errorf("got %v, want the barrier %d last", events, wd)
	}
}

// expectMasks wants exactly these watches.
func expectMasks(t testing.TB, c *Conn, want ...Mask) {
	t.Helper()
	list, err := c.Watches()
	must(t, err)
	var got []Mask
	for _, w := range list {
		got = append(got, w.Mask)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("watches: got %v, want %v", got, want)
	}
}
