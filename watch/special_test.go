package watch

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestLimitOfTheNamespace: a user namespace has a limit of its own; the kernel's answer is the same. (In containers it is this
// one that is reached.)
func TestLimitOfTheNamespace(t *testing.T) {
	if !secluded(t) {
		return
	}
	const sysctl = "/proc/sys/user/max_inotify_watches"
	limit := func(n int) {
		if err := os.WriteFile(sysctl, []byte(strconv.Itoa(n)), 0); err != nil {
			t.Fatal(err)
		}
	}
	limit(20)
	warnings := make(chan Warning, 10)
	p := watchAfter(t, "for i in 0 1 2 3 4 5 6 7 8 9; do mkdir -p r/$i/a r/$i/b; done", func(o *Options) {
		o.Poll, o.Warn = 20*time.Millisecond, func(v Warning) { warnings <- v }
	})
	v := <-warnings
	if v.Kind != LimitReached || v.Dirs != 31 || v.Polled < 10 || v.Limit.Name != "user.max_inotify_watches" || v.Limit.Value != 20 {
		t.Errorf("warning %+v: %v", v, v)
	}
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("create file %d/a/f", i), fmt.Sprintf("create dir %d/b/n", i), fmt.Sprintf("create file %d/b/n/g", i))
	}
	p.sh("for i in 0 1 2 3 4 5 6 7 8 9; do touch r/$i/a/f; mkdir r/$i/b/n; touch r/$i/b/n/g; done")
	p.until(want...)
	limit(1000)
	if v := <-warnings; v.Kind != LimitHealed || v.Dirs != 41 {
		t.Errorf("warning %+v: %v", v, v)
	}
	if s := p.w.Stats(); s.Polled != 0 {
		t.Errorf("stats: %+v", s)
	}
	p.want("touch r/9/b/n/h", "create file 9/b/n/h")
}

// TestAsynchronousWrites: kernel AIO tells nothing of a write, io_uring does; both tell when the last writer closes.
func TestAsynchronousWrites(t *testing.T) {
	for name, write := range map[string]func(fd int, data []byte) error{"aio": aioWrite, "io_uring": uringWrite} {
		t.Run(name, func(t *testing.T) {
			p := watchAfter(t, "echo old >r/f")
			f, err := os.OpenFile(p.path("r/f"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := write(int(f.Fd()), []byte("some new content")); err != nil {
				t.Skipf("%s: %v", name, err)
			}
			f.Close()
			p.same("written and closed", "write file f")
			if data, err := os.ReadFile(p.path("r/f")); err != nil || string(data) != "some new content" {
				t.Errorf("got %q, %v", data, err)
			}
		})
	}
}

// aioWrite writes with io_submit(2). Offsets and numbers of linux/aio_abi.h.
func aioWrite(fd int, data []byte) error {
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		return errno
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	const pwrite = 1
	iocb := new([64]byte)
	binary.NativeEndian.PutUint16(iocb[16:], pwrite)
	binary.NativeEndian.PutUint32(iocb[20:], uint32(fd))
	binary.NativeEndian.PutUint64(iocb[24:], uint64(uintptr(unsafe.Pointer(&data[0]))))
	binary.NativeEndian.PutUint64(iocb[32:], uint64(len(data)))
	if _, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, 1, uintptr(unsafe.Pointer(&iocb))); errno != 0 {
		return errno
	}
	var done [32]byte
	if _, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, 1, uintptr(unsafe.Pointer(&done)), 0, 0); errno != 0 {
		return errno
	}
	if n := int64(binary.NativeEndian.Uint64(done[16:])); n != int64(len(data)) {
		return fmt.Errorf("wrote %d", n)
	}
	return nil
}

// uringWrite writes with one entry of an io_uring. Offsets and numbers of linux/io_uring.h.
func uringWrite(fd int, data []byte) error {
	var params [120]byte
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(ring))
	at := func(off int) uint32 { return binary.NativeEndian.Uint32(params[off:]) }
	const sqOff, entries, sqes = 40, 0, 0x10000000
	sq, err := unix.Mmap(int(ring), entries, int(at(sqOff+24)+at(0)*4), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(sq)
	entry, err := unix.Mmap(int(ring), sqes, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(entry)
	const opWrite, getEvents = 23, 1
	entry[0] = opWrite
	binary.NativeEndian.PutUint32(entry[4:], uint32(fd))
	binary.NativeEndian.PutUint64(entry[16:], uint64(uintptr(unsafe.Pointer(&data[0]))))
	binary.NativeEndian.PutUint32(entry[24:], uint32(len(data)))
	binary.NativeEndian.PutUint32(sq[at(sqOff+24):], 0) // the array's first index
	binary.NativeEndian.PutUint32(sq[at(sqOff+4):], 1)  // the tail
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 1, getEvents, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// TestOverlay: a file of the lower layer that is written to is copied up and has another inode; a folder of it is copied when it is
// renamed.
func TestOverlay(t *testing.T) {
	needMounts(t)
	p := &probe{t: t, dir: t.TempDir()}
	p.sh("mkdir -p base; mount -t tmpfs none base; cd base; mkdir -p lower/d/e upper work r; echo 1 >lower/f; echo 1 >lower/d/g; echo 1 >lower/d/e/h; touch lower/x")
	defer p.sh("umount -l base/r base 2>/dev/null; true")
	if out, err := exec.Command("mount", "-t", "overlay", "none", "-o", fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", p.path("base")),
		p.path("base/r")).CombinedOutput(); err != nil {
		t.Skipf("overlay: %v %s", err, out)
	}
	w, err := New(t.Context(), Options{Roots: []string{p.path("base/r")}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.w = w
	p.want("echo 2 >>base/r/f", "write file f")
	p.want("echo 3 >>base/r/f; echo 2 >>base/r/d/g", "write file f", "write file d/g")
	p.want("chmod 600 base/r/x", "attrib file x")
	p.want("rm base/r/d/g; echo 4 >base/r/d/g", "write file d/g")
	p.want("rm base/r/d/g", "remove file d/g")
	p.sh("mv base/r/d base/r/m")
	p.changes()
	net := p.net()
	for _, want := range []string{"remove dir d", "remove dir d/e", "create dir m", "create dir m/e"} {
		if !slices.Contains(halves(net), want) {
			t.Errorf("missing %s in %v", want, net)
		}
	}
	p.want("echo 5 >>base/r/m/e/h; touch base/r/m/e/i", "write file m/e/h", "create file m/e/i")
	p.want("rm -r base/r/m; mkdir base/r/d; touch base/r/d/new", "remove dir m", "remove dir m/e", "remove file m/e/h", "remove file m/e/i",
		"create dir d", "create file d/new")
}

// net is what came with the last call of changes, folded.
func (p *probe) net() []string {
	var net Set
	for _, c := range p.raw {
		net.Add(c)
	}
	return lines(net.Changes())
}

// TestMountElsewhere: what is mounted in another mount namespace is not to be seen here.
func TestMountElsewhere(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir r/m; touch r/m/f")
	p.want("unshare -m --propagation private sh -c 'mount -t tmpfs none r/m; touch r/m/hidden; echo x >r/m/f'")
	p.want("echo >>r/m/f", "write file m/f")
}

// TestMountsInMounts: a bind mount in a bind mount, and what happens in either.
func TestMountsInMounts(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir -p r/a out/s/n out/t; touch out/s/f out/t/g out/s/n/under")
	defer p.sh("umount -l r/a/n 2>/dev/null; umount -l r/a 2>/dev/null; true")
	mounted := func(script string, want ...string) {
		t.Helper()
		p.sh(script)
		p.until(want...)
	}
	mounted("mount --bind out/s r/a", "create file a/f", "create dir a/n", "create file a/n/under")
	mounted("mount --bind out/t r/a/n", "remove file a/n/under", "create file a/n/g")
	p.want("echo >out/t/g; echo >out/s/f; echo >out/s/n/under", "write file a/n/g", "write file a/f")
	p.want("mkdir out/t/d; touch out/t/d/h", "create dir a/n/d", "create file a/n/d/h")
	mounted("umount r/a/n", "remove file a/n/g", "remove dir a/n/d", "remove file a/n/d/h", "create file a/n/under")
	mounted("umount r/a", "remove file a/f", "remove dir a/n", "remove file a/n/under")
	p.want("touch out/s/f out/t/g; touch r/a/own", "create file a/own")
}

// TestBusyMountGoes: an unmount that waits for the last user of the mount takes it out of the tree at once.
func TestBusyMountGoes(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir r/m; touch r/m/under; mount -t tmpfs none r/m; touch r/m/f")
	defer p.sh("umount -l r/m 2>/dev/null; true")
	f, err := os.OpenFile(p.path("r/m/f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.sh("umount -l r/m")
	p.until("remove file m/f", "create file m/under")
	fmt.Fprint(f, "written to what is not here any more")
	p.same("written to what is not here any more")
	f.Close()
	p.want("echo >>r/m/under", "write file m/under")
}

// TestFullFilesystem: where there is no room left.
func TestFullFilesystem(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir r/m; mount -t tmpfs -o size=64k,nr_inodes=12 none r/m; echo x >r/m/f")
	defer p.sh("umount -l r/m 2>/dev/null; true")
	p.want("head -c 1000000 /dev/zero >>r/m/f 2>/dev/null || true", "write file m/f")
	p.want("echo more >r/m/g 2>/dev/null || true", "create file m/g")
	p.want("rm r/m/f; echo more >>r/m/g", "remove file m/f", "write file m/g")
	p.sh("i=0; while [ $i -lt 30 ]; do mkdir r/m/d$i 2>/dev/null || true; i=$((i+1)); done")
	var want []string
	dirs, _ := filepath.Glob(p.path("r/m/d*"))
	for _, d := range dirs {
		want = append(want, "create dir m/"+filepath.Base(d))
	}
	if len(want) == 0 || len(want) == 30 {
		t.Fatalf("%d folders were made", len(want))
	}
	p.same("as many folders as there is room for", want...)
}

// TestSubvolumes: a subvolume may be deleted with all that is in it, and while it is in use.
func TestSubvolumes(t *testing.T) {
	needMounts(t)
	p := &probe{t: t, dir: t.TempDir()}
	if out, err := exec.Command("sh", "-c", "cd "+p.dir+" && truncate -s 128M img && mkfs.btrfs -q img && mkdir b && mount -o loop img b && "+
		"btrfs subvolume create b/s").CombinedOutput(); err != nil {
		_ = exec.Command("umount", "-l", p.path("b")).Run()
		t.Skipf("no btrfs: %v %s", err, out)
	}
	defer p.sh("umount -l b")
	p.sh("mkdir -p b/s/r/d; touch b/s/r/d/f; btrfs subvolume create b/s/r/v; touch b/s/r/v/g")
	w, err := New(t.Context(), Options{Roots: []string{p.path("b/s/r")}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.w = w
	for _, held := range []string{"b/s", "b/s/r", "b/s/r/v"} {
		f, err := os.Open(p.path(held))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	p.want("echo >>b/s/r/v/g", "write file v/g")
	p.want("btrfs subvolume delete b/s/r/v", "remove dir v", "remove file v/g")
	p.want("btrfs subvolume create b/s/r/v; touch b/s/r/v/h", "create dir v", "create file v/h")
	p.want("btrfs subvolume delete b/s/r/v", "remove dir v", "remove file v/h")
	p.want("btrfs subvolume delete b/s", "remove dir d", "remove file d/f")
	p.want("btrfs subvolume create b/s; mkdir b/s/r; touch b/s/r/new", "create file new")
}

// TestHardLinksAcrossFolders: all names of a file are told of a write through any.
func TestHardLinksAcrossFolders(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a r/b/c; echo 1 >r/a/f; ln r/a/f r/b/c/g; ln r/a/f out/h")
	p.want("echo 2 >>r/a/f", "write file a/f", "write file b/c/g")
	p.want("echo 2 >>out/h", "write file a/f", "write file b/c/g")
	p.want("ln r/a/f r/b/i", "create file b/i", "attrib file a/f", "attrib file b/c/g")
	p.want("echo 3 >>r/b/c/g", "write file a/f", "write file b/c/g", "write file b/i")
	p.want("mv r/b r/z; echo 4 >>r/a/f", "rename dir z from b", "rename dir z/c from b/c", "rename file z/c/g from b/c/g", "rename file z/i from b/i", "write file a/f")
	p.want("echo 5 >>r/z/i", "write file a/f", "write file z/c/g", "write file z/i")
	p.want("mv r/z out/z", "remove dir z", "remove dir z/c", "remove file z/c/g", "remove file z/i")
	p.want("echo 6 >>out/z/i", "write file a/f")
	p.want("rm r/a/f; echo 7 >>out/z/i", "remove file a/f")
}

// TestFurtherNames: a name more is no write, whether it is given to a file or to all files of a folder, and what is written through it is
// told of all.
func TestFurtherNames(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; echo 1 >r/a/b/f; echo 1 >r/g")
	p.want("ln r/g r/h", "create file h", "attrib file g")
	p.want("cp -al r/a r/d", "create dir d", "create dir d/b", "create file d/b/f", "attrib file a/b/f")
	p.want("echo 2 >>r/d/b/f", "write file a/b/f", "write file d/b/f")
	p.want("echo 3 >>r/a/b/f; echo 2 >>r/g", "write file a/b/f", "write file d/b/f", "write file g", "write file h")
	p.want("rm r/d/b/f r/g", "remove file d/b/f", "remove file g", "attrib file a/b/f", "attrib file h")
	p.want("mkdir out/t; ln r/a/b/f out/t/i; mv out/t r/t; echo 4 >>r/t/i", "create dir t", "create file t/i", "write file a/b/f")
}

// TestRenameFlags: renameat2(2) with each of its flags, and a rename that is none.
func TestRenameFlags(t *testing.T) {
	p := watchAfter(t, "echo 1 >r/a; echo 22 >r/b; mkdir r/d r/e; touch r/d/1 r/e/2; echo l >r/l1; ln r/l1 r/l2; mkdir r/w; touch r/w/f r/v")
	rename := func(from, to string, flags uint) {
		t.Helper()
		if err := unix.Renameat2(unix.AT_FDCWD, p.path(from), unix.AT_FDCWD, p.path(to), flags); err != nil {
			t.Skipf("rename of %s: %v", from, err)
		}
	}
	rename("r/l1", "r/l2", 0) // two names of one file: nothing is done, and nothing told
	p.same("two names of one file")
	rename("r/a", "r/b", unix.RENAME_EXCHANGE)
	p.same("two files", "write file a", "write file b")
	rename("r/a", "r/d", unix.RENAME_EXCHANGE)
	p.same("a file and a folder", "write dir a", "write file d", "rename file a/1 from d/1")
	rename("r/a/1", "r/e/2", unix.RENAME_EXCHANGE)
	p.same("files of two folders", "write file a/1", "write file e/2")
	rename("r/a", "r/n", unix.RENAME_NOREPLACE)
	p.same("to a name that is free", "rename dir n from a", "rename file n/1 from a/1")
	needRoot(t)
	rename("r/v", "r/u", unix.RENAME_WHITEOUT)
	p.holdsNet("a whiteout is left", "other v", "file u")
	rename("r/w", "r/x", unix.RENAME_WHITEOUT)
	p.holdsNet("a whiteout is left in the place of a folder", "other w", "dir x", "file x/f")
	p.want("echo >r/x/f; rm r/v r/w", "write file x/f", "remove other v", "remove other w")
}

// holdsNet looks for things by type and path among the last changes, whatever they are called.
func (p *probe) holdsNet(what string, want ...string) {
	p.t.Helper()
	p.changes()
	all := strings.Join(p.net(), "\n") + "\n"
	for _, w := range want {
		if !strings.Contains(all, " "+w+"\n") && !strings.Contains(all, " "+w+" from ") {
			p.t.Errorf("%s: missing %s in\n%s", what, w, all)
		}
	}
}

// TestOneFolderTwoPaths: a root, and a link to a folder in it as another; each has all changes, also when the other is gone.
func TestOneFolderTwoPaths(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/s; touch r/s/f; ln -s r/s alias", roots("r/s", "alias"))
	byRoot := func() (got [2][]string) {
		p.changes()
		for _, c := range p.raw {
			got[c.Root] = append(got[c.Root], lines([]Change{c})...)
		}
		return got
	}
	p.sh("echo >>r/s/f; touch r/s/g")
	if got := byRoot(); !contains(got[0], "create file g") || !contains(got[1], "create file g") || !contains(got[0], "write file f") || !contains(got[1], "write file f") {
		t.Errorf("got %v", got)
	}
	p.sh("rm alias")
	if got := byRoot(); len(got[0]) > 0 || !contains(got[1], "remove file f") {
		t.Errorf("got %v", got)
	}
	p.want("touch r/s/h", "create file h")
	p.sh("ln -s r/s alias; rm r/s/f")
	if got := byRoot(); !contains(got[0], "remove file f") || contains(got[1], "create file f") || !contains(got[1], "create file g") {
		t.Errorf("got %v", got)
	}
}

// TestMovedInFromElsewhere: a move from another filesystem is a copy and a removal.
func TestMovedInFromElsewhere(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir other; mount -t tmpfs none other; mkdir -p other/t/u; echo 1 >other/t/u/f; echo 2 >other/g")
	defer p.sh("umount -l other")
	p.want("mv other/t r/t; mv other/g r/g", "create dir t", "create dir t/u", "create file t/u/f", "create file g")
	p.want("mv r/t other/t; mv r/g other/g", "remove dir t", "remove dir t/u", "remove file t/u/f", "remove file g")
}
