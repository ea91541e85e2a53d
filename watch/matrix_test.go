package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// step is a script and the net changes that are to be reported for it.
type step struct {
	script string
	want   []string
}

// TestScenarios runs scripts against the real kernel. Each step is compared exactly: nothing is missed, nothing
// is told twice, nothing has a wrong name.
func TestScenarios(t *testing.T) {
	tests := []struct {
		name, setup string
		steps       []step
	}{
		{"folders made at once", "", []step{
			{"mkdir -p r/a/b/c && echo x >r/a/b/c/f", []string{"create dir a", "create dir a/b", "create dir a/b/c", "create file a/b/c/f"}},
			{"echo y >>r/a/b/c/f", []string{"write file a/b/c/f"}},
		}},
		{"populated tree moved in", "mkdir -p out/t/u; touch out/t/u/f", []step{
			{"mv out/t r/t", []string{"create dir t", "create dir t/u", "create file t/u/f"}},
			{"echo >>r/t/u/f", []string{"write file t/u/f"}},
		}},
		{"moved out, then written outside", "mkdir -p r/a/b; touch r/a/b/f", []step{
			{"mv r/a out/a", []string{"remove dir a", "remove dir a/b", "remove file a/b/f"}},
			{"echo >out/a/b/g; echo >>out/a/b/f", nil},
		}},
		{"moved out and back", "mkdir -p r/a/b; touch r/a/b/f", []step{
			{"mv r/a out/a; echo >>out/a/b/f; touch out/a/n; mv out/a r/a", []string{"write file a/b/f", "create file a/n"}},
			{"echo >>r/a/b/f", []string{"write file a/b/f"}},
		}},
		{"folder renamed", "mkdir -p r/a/b; touch r/a/b/f", []step{
			{"mv r/a r/z", []string{"rename dir z from a", "rename dir z/b from a/b", "rename file z/b/f from a/b/f"}},
			{"echo >r/z/b/f; echo >r/z/b/g", []string{"write file z/b/f", "create file z/b/g"}},
		}},
		{"renamed, old name made again", "mkdir r/a; touch r/a/f", []step{
			{"mv r/a r/z; mkdir r/a; touch r/a/g", []string{"create dir z", "create file a/g", "rename file z/f from a/f"}},
			{"echo >r/a/g; echo >r/z/f", []string{"write file a/g", "write file z/f"}},
		}},
		{"removed and made again", "mkdir -p r/a/b; touch r/a/b/f", []step{
			{"rm -rf r/a; mkdir -p r/a/b", []string{"remove file a/b/f"}},
			{"touch r/a/b/g", []string{"create file a/b/g"}},
		}},
		{"root removed and made again", "touch r/f", []step{
			{"rm -rf r", []string{"remove file f"}},
			{"mkdir r; touch r/g", []string{"create file g"}},
			{"mkdir r/d; touch r/d/h", []string{"create dir d", "create file d/h"}},
		}},
		{"symlink loops", "mkdir r/a; ln -s .. r/a/up; ln -s self r/self", []step{
			{"touch r/a/f", []string{"create file a/f"}},
			{"ln -s /etc r/etc; rm r/self", []string{"create symlink etc", "remove symlink self"}},
		}},
		{"moved into another watched folder", "mkdir -p r/a/s r/b; touch r/a/s/f", []step{
			{"mv r/a/s r/b/s", []string{"rename dir b/s from a/s", "rename file b/s/f from a/s/f"}},
			{"echo >r/b/s/f", []string{"write file b/s/f"}},
		}},
		{"one of two removed", "mkdir r/a r/b", []step{
			{"rmdir r/a", []string{"remove dir a"}},
			{"touch r/b/f", []string{"create file b/f"}},
		}},
		{"names that are not text", "", []step{
			{`mkdir "$(printf 'r/caf\351')"; echo >"$(printf 'r/caf\351/new\nline')"`, []string{"create dir caf\xe9", "create file caf\xe9/new\nline"}},
			{`touch -- r/-rf 'r/*[x]?' "r/$(printf %0255d 7)"`, []string{"create file -rf", "create file *[x]?", "create file " + fmt.Sprintf("%0255d", 7)}},
			{`rm -- r/-rf 'r/*[x]?'; mv "$(printf 'r/caf\351')" r/cafe`, []string{"remove file -rf", "remove file *[x]?",
				"rename dir cafe from caf\xe9", "rename file cafe/new\nline from caf\xe9/new\nline"}},
		}},
		{"folder made and gone many times", "", []step{
			{"i=0; while [ $i -lt 300 ]; do mkdir r/q; rmdir r/q; i=$((i+1)); done; mkdir r/q; >r/q/f", []string{"create dir q", "create file q/f"}},
			{">r/q/g", []string{"create file q/g"}},
		}},
		{"folder replaced by a link", "", []step{
			{"mkdir r/x; rmdir r/x; ln -s /etc r/x", []string{"create symlink x"}},
			{"rm r/x; mkdir r/x; touch r/x/f", []string{"create file x/f", "write dir x"}},
		}},
		{"many folders with a folder and a file", "", []step{
			{"i=0; while [ $i -lt 300 ]; do mkdir -p r/$i/x/y; >r/$i/x/y/f; i=$((i+1)); done; rm -r r/*", nil},
		}},
		{"chain of renames", "mkdir r/a; touch r/a/f", []step{
			{"mv r/a r/b; mv r/b r/c; mv r/c r/d", []string{"rename dir d from a", "rename file d/f from a/f"}},
		}},
		{"names with a common beginning", "mkdir r/a r/ab; touch r/a/f r/ab/f", []step{
			{"mv r/a r/z", []string{"rename dir z from a", "rename file z/f from a/f"}},
			{"echo >r/ab/f; rm -r r/z", []string{"write file ab/f", "remove dir z", "remove file z/f"}},
		}},
		{"renamed over a file", "touch r/f", []step{
			{"echo new >r/tmp; mv r/tmp r/f", []string{"write file f"}},
			{"echo out >out/tmp; mv out/tmp r/f", []string{"write file f"}},
		}},
		{"renamed over another file that was there", "echo a >r/a; echo b >r/b", []step{
			{"mv r/a r/b", []string{"write file b", "remove file a"}},
		}},
		{"file renamed", "echo a >r/a", []step{
			{"mv r/a r/b", []string{"rename file b from a"}},
			{"mv r/b r/c; mv r/c r/d", []string{"rename file d from b"}},
			{"mv r/d out/d", []string{"remove file d"}},
		}},
		{"two names of one file", "echo a >r/a; ln r/a r/b", []step{
			{"echo >>r/a", []string{"write file a", "write file b"}},
			{"rm r/a; echo >>r/b", []string{"remove file a", "write file b"}},
		}},
		{"written through a name outside", "echo a >r/f; ln r/f out/l; mkdir r/d; echo >r/d/late", []step{
			{"echo >>out/l", []string{"write file f"}},
			{"rm r/f; echo >>out/l", []string{"remove file f"}},
		}},
		{"an open file written to after its removal", "touch r/t", []step{
			{"exec 3>r/t; rm r/t; echo z >&3; exec 3>&-", []string{"remove file t"}},
		}},
		{"an open folder removed", "mkdir r/a", []step{
			{"exec 3<r/a; rmdir r/a; mkdir r/b; exec 3<&-", []string{"remove dir a", "create dir b"}},
		}},
		{"touch and chmod", "echo a >r/f; mkdir r/d", []step{
			{"touch r/f", []string{"write file f"}},
			{"chmod 600 r/f", []string{"attrib file f"}},
			{"chmod 700 r/d", []string{"attrib dir d"}},
			{"touch -d 2001-01-01 r/f", []string{"write file f"}},
			{"cat r/f; ls r r/d; stat r/f", nil},
		}},
		{"truncated", "echo a >r/f; : >r/e", []step{
			{"echo data >r/f", []string{"write file f"}},
			{": >r/f", []string{"write file f"}},
		}},
		{"copied with its times", "echo abc >r/a; echo xyz >out/b; touch -r r/a out/b", []step{
			{"cp -p out/b r/a", []string{"write file a"}},
		}},
		{"things that are no files", "", []step{
			{"mkfifo r/p; ln -s nowhere r/l", []string{"create other p", "create symlink l"}},
			{"rm r/p r/l", []string{"remove other p", "remove symlink l"}},
		}},
		{"made and removed at once is nothing", "", []step{
			{"touch r/t; rm r/t; mkdir r/u; rmdir r/u", nil},
		}},
		{"the swap of a ConfigMap", "mkdir r/..1 r/..2; echo 1 >r/..1/conf; echo 2 >r/..2/conf; ln -s ..1 r/..data; ln -s ..data/conf r/conf", []step{
			{"ln -s ..2 r/..tmp; mv -T r/..tmp r/..data; rm -r r/..1",
				[]string{"write symlink ..data", "write symlink conf", "remove dir ..1", "remove file ..1/conf"}},
		}},
		{"a vim save", "echo a >r/f", []step{
			{"touch r/4913; rm r/4913; mv r/f r/f~; echo b >r/f; chmod 644 r/f; rm r/f~", []string{"write file f"}},
		}},
		{"an Emacs save", "echo a >r/f", []step{
			{"ln -s me@host.1 'r/.#f'; mv r/f r/f~; echo b >r/f; rm 'r/.#f' r/f~", []string{"write file f"}},
		}},
		{"a JetBrains save", "echo a >r/f", []step{
			{"echo b >r/f___jb_tmp___; mv r/f r/f___jb_old___; mv r/f___jb_tmp___ r/f; rm r/f___jb_old___", []string{"write file f"}},
		}},
		{"an untar over a file", "echo a >r/f", []step{
			{"rm r/f; echo b >r/f", []string{"write file f"}},
		}},
		{"a link to itself becomes a file", "ln -s self r/self; ln -s nowhere r/nowhere", []step{
			{"rm r/self; echo >r/self", []string{"write file self"}},
			{"echo x >out/there; ln -sf ../out/there r/nowhere; echo y >>out/there", []string{"write symlink nowhere"}},
			{"mv r/nowhere r/link; chmod 0 r/self; rm r/link", []string{"remove symlink nowhere", "attrib file self"}},
		}},
		{"another file with the inode number of one that is no more", "echo 1 >r/a; echo 1 >r/c", []step{
			{"rm r/a; echo 2 >r/b", []string{"remove file a", "create file b"}},
			{"rm r/b; echo 2 >r/t; mv r/t r/a", []string{"remove file b", "create file a"}},
			{"mv r/c r/t; rm r/a; echo 1 >r/c; mv r/t r/d", []string{"remove file a", "write file c", "create file d"}},
		}},
		{"made, removed and made again", "", []step{
			{"echo >r/f; rm r/f; echo >r/f; echo >>r/f", []string{"create file f"}},
			{"rm r/f; echo >r/f; rm r/f", []string{"remove file f"}},
			{"mkdir r/d; touch r/d/f; rm -r r/d; mkdir r/d; touch r/d/g", []string{"create dir d", "create file d/g"}},
		}},
		{"removed with the names that begin alike", "mkdir r/a r/ab; touch r/a/f r/ab/f r/abc", []step{
			{"rm -r r/a", []string{"remove dir a", "remove file a/f"}},
			{"echo >>r/ab/f; echo >>r/abc", []string{"write file ab/f", "write file abc"}},
		}},
		{"a file moves to where another came from", "echo 1 >r/a; echo 22 >r/b; echo 333 >r/c", []step{
			{"mv r/a r/t; mv r/b r/a; mv r/c r/b; mv r/t r/c", []string{"write file a", "write file b", "write file c"}},
		}},
		{"folders change places in a ring", "mkdir r/a r/b r/c; touch r/a/1 r/b/2 r/c/3", []step{
			{"mv r/a r/t; mv r/b r/a; mv r/c r/b; mv r/t r/c",
				[]string{"rename file a/2 from b/2", "rename file b/3 from c/3", "rename file c/1 from a/1"}},
			{"echo >>r/a/2; echo >>r/b/3; echo >>r/c/1", []string{"write file a/2", "write file b/3", "write file c/1"}},
		}},
		{"a folder moves into what was its own child", "mkdir -p r/a/b/c; touch r/a/1 r/a/b/2 r/a/b/c/3", []step{
			{"mv r/a/b r/t; mv r/a r/t/a; mv r/t r/b", []string{"rename dir b from a/b", "rename dir b/a from a", "rename dir b/c from a/b/c",
				"rename file b/2 from a/b/2", "rename file b/a/1 from a/1", "rename file b/c/3 from a/b/c/3"}},
			{"echo >>r/b/a/1; touch r/b/c/4", []string{"write file b/a/1", "create file b/c/4"}},
		}},
		{"a checkout", "mkdir -p r/src r/old; echo 1 >r/src/a; echo 1 >r/src/b; echo 1 >r/old/c", []step{
			{"rm r/src/a; echo 2 >r/src/a; rm r/old/c; rmdir r/old; mkdir -p r/new/deep; echo 1 >r/new/deep/d; rm r/src/b",
				[]string{"write file src/a", "remove dir old", "remove file old/c", "create dir new", "create dir new/deep", "create file new/deep/d", "remove file src/b"}},
		}},
		{"a linker's output", "echo old >r/bin", []step{
			{"echo >r/bin-go-tmp-umask; rm r/bin-go-tmp-umask; echo new >out/a.out; mv out/a.out r/bin", []string{"write file bin"}},
			{"rm r/bin; echo newer >r/bin; chmod 755 r/bin", []string{"write file bin"}},
		}},
		{"copied within the tree", "mkdir -p r/a/b; echo 1 >r/a/b/f", []step{
			{"cp -a r/a r/c", []string{"create dir c", "create dir c/b", "create file c/b/f"}},
			{"cp -al r/a r/d; echo 2 >>r/d/b/f", []string{"create dir d", "create dir d/b", "create file d/b/f", "write file a/b/f"}},
		}},
		{"gofmt -w", "echo a >r/a.go", []step{
			{"echo a >r/a.go.123; echo b >r/a.go; rm r/a.go.123", []string{"write file a.go"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := watchAfter(t, tt.setup)
			for _, s := range tt.steps {
				p.want(s.script, s.want...)
			}
		})
	}
}

func TestCreatedOnce(t *testing.T) {
	p := watchAfter(t, "")
	p.sh("mkdir -p r/a/b/c && touch r/a/b/c/1 r/a/b/c/2 r/a/b/3")
	p.changes()
	seen := make(map[string]int)
	for _, c := range p.raw {
		if c.Op == Create {
			seen[c.Path]++
		}
	}
	for path, n := range seen {
		if n != 1 {
			t.Errorf("%s: created %d times", path, n)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d paths, want 6: %v", len(seen), seen)
	}
}

func TestExchange(t *testing.T) {
	p := watchAfter(t, "mkdir r/a r/b; touch r/a/1 r/b/2")
	if err := unix.Renameat2(unix.AT_FDCWD, p.path("r/a"), unix.AT_FDCWD, p.path("r/b"), unix.RENAME_EXCHANGE); err != nil {
		t.Skipf("exchange: %v", err)
	}
	p.same("exchange", "rename file a/2 from b/2", "rename file b/1 from a/1")
	p.want("echo >r/a/2; echo >r/b/1", "write file a/2", "write file b/1")
}

func TestDeepChain(t *testing.T) {
	p := watchAfter(t, "")
	const depth = 1000
	deep := strings.Repeat("d/", depth)
	p.sh("cd r; i=0; while [ $i -lt 1000 ]; do mkdir d; cd d; i=$((i+1)); done; touch f")
	got := p.changes()
	if len(got) != depth+1 || got[depth] != "create file "+deep+"f" {
		t.Fatalf("%d changes, want %d", len(got), depth+1)
	}
	p.want("cd r; i=0; while [ $i -lt 1000 ]; do cd d; i=$((i+1)); done; echo >f", "write file "+deep+"f")
}

func TestDeeperThanAPathMayBe(t *testing.T) {
	p := watchAfter(t, "")
	const depth = 50
	name := strings.Repeat("n", 200)
	walk := func(last string, make bool) {
		dir, err := unix.Open(p.path("r"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		for range depth {
			if err != nil {
				t.Fatal(err)
			}
			if make {
				_ = unix.Mkdirat(dir, name, 0o755)
			}
			up := dir
			dir, err = unix.Openat(up, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			unix.Close(up)
		}
		fd, err := unix.Openat(dir, last, unix.O_CREAT|unix.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = unix.Write(fd, []byte("x"))
		unix.Close(fd)
		unix.Close(dir)
	}
	walk("f", true)
	if got := p.changes(); len(got) != depth+1 {
		t.Fatalf("%d changes, want %d", len(got), depth+1)
	}
	deep := strings.Repeat(name+"/", depth)
	walk("f", false)
	p.same("written", "write file "+deep+"f")
	walk("g", false)
	p.same("made", "create file "+deep+"g")
}

func TestTmpfile(t *testing.T) {
	p := watchAfter(t, "")
	fd, err := unix.Open(p.path("r"), unix.O_TMPFILE|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Skipf("O_TMPFILE: %v", err)
	}
	f := os.NewFile(uintptr(fd), "tmp")
	defer f.Close()
	fmt.Fprint(f, "abc")
	p.same("written without a name")
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p.path("r/named"), unix.AT_SYMLINK_FOLLOW); err != nil {
		t.Fatal(err)
	}
	p.same("linkat", "create file named")
	fmt.Fprint(f, "def")
	p.same("written through the descriptor", "write file named")
}

func TestMmap(t *testing.T) {
	p := watchAfter(t, "printf %04096d 7 >r/f")
	f, err := os.OpenFile(p.path("r/f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	mem[0] = 'x'
	p.same("stored")
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
	p.same("unmapped", "write file f")
}

// TestOpenAndClosed: who decides when a file is complete needs to know whether somebody writes.
func TestOpenAndClosed(t *testing.T) {
	p := watchAfter(t, "echo old >r/old")
	f, err := os.Create(p.path("r/f"))
	if err != nil {
		t.Fatal(err)
	}
	last := func(what string, open, closed bool) {
		t.Helper()
		p.changes()
		if len(p.raw) == 0 {
			t.Fatalf("%s: nothing was reported", what)
		}
		if c := p.raw[len(p.raw)-1]; c.Open != open || c.Closed != closed {
			t.Errorf("%s: open %v, closed %v; want %v, %v", what, c.Open, c.Closed, open, closed)
		}
	}
	last("create", true, false)
	fmt.Fprint(f, "x")
	last("write", true, false)
	f.Close()
	last("close", false, true)
	p.sh("echo x >out/o; mv out/o r/g")
	last("moved in", false, true)
	p.sh("ln r/g r/h")
	last("linked", false, true)
	p.sh("echo more >>r/old")
	last("appended and closed", false, true)
	if f, err = os.OpenFile(p.path("r/old"), os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	p.same("opened for writing and closed")
}

func TestOverflow(t *testing.T) {
	needRoot(t)
	p := &probe{t: t, dir: t.TempDir()}
	p.sh("mkdir -p r/keep/sub; touch r/keep/1 r/keep/2 r/keep/sub/3")
	p.w = lowered(t, 64, func() (*Watcher, error) { return New(t.Context(), Options{Roots: []string{p.path("r")}}) })
	t.Cleanup(func() { p.w.Close() })
	stopped, goOn := make(chan struct{}), make(chan struct{})
	go p.w.call(func() { close(stopped); <-goOn })
	<-stopped
	p.sh("cd r; for i in 0 1 2 3 4 5 6 7 8 9; do for j in 0 1 2 3 4 5 6 7 8 9; do echo >f$i$j; done; done;" +
		"rm keep/1; echo changed >>keep/sub/3; mkdir -p new/deep; echo >new/deep/f; mv keep kept")
	close(goOn)
	want := []string{"rename dir kept from keep", "rename file kept/2 from keep/2", "remove file keep/1", "rename dir kept/sub from keep/sub",
		"create dir new", "create dir new/deep", "create file new/deep/f"}
	for i := range 100 {
		want = append(want, fmt.Sprintf("create file f%02d", i))
	}
	got := p.changes()
	for _, w := range want {
		if !contains(got, w) {
			t.Errorf("missing: %s", w)
		}
	}
	if s := p.w.Stats(); s.Overflows == 0 || s.Rescans == 0 {
		t.Errorf("overflows %d, rescans %d", s.Overflows, s.Rescans)
	}
	recovered := 0
	for _, c := range p.raw {
		if c.Recovered {
			recovered++
		}
	}
	if recovered == 0 {
		t.Error("nothing is marked as recovered")
	}
	p.want("echo >>r/kept/sub/3; touch r/new/deep/g", "write file kept/sub/3", "create file new/deep/g")
}

func contains(lines []string, want string) bool {
	for _, l := range lines {
		if l == want {
			return true
		}
	}
	return false
}

// TestNothingBeforeReady: what was there is no change.
func TestNothingBeforeReady(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; touch r/a/b/f; echo x >r/g")
	p.same("nothing has happened")
	if s := p.w.Stats(); s.Dirs != 3 || s.Files != 2 || s.Backend != "inotify" {
		t.Errorf("stats: %+v", s)
	}
}

func TestPrune(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/src r/dist/deep r/x/dist; touch r/dist/f", func(o *Options) {
		o.Prune = func(_ int, dir string) bool { return filepath.Base(dir) == "dist" }
		o.Skip = func(_ int, path string) bool { return strings.HasSuffix(path, ".log") }
	})
	p.want("echo >r/dist/f; touch r/dist/deep/g r/x/dist/h r/a.log", []string(nil)...)
	p.want("mkdir -p r/new/dist/sub; touch r/new/dist/sub/f r/new/g", "create dir new", "create file new/g")
	p.want("mv r/src r/dist/src", "remove dir src")
	p.want("mv r/dist r/wanted", "create dir wanted", "create dir wanted/deep", "create file wanted/deep/g", "create file wanted/f", "create dir wanted/src")
	p.want("mv r/new r/newer; mv r/wanted r/x/dist/y", "rename dir newer from new", "rename file newer/g from new/g",
		"remove dir wanted", "remove dir wanted/deep", "remove file wanted/deep/g", "remove file wanted/f", "remove dir wanted/src")
	if s := p.w.Stats(); s.Dirs != 3 {
		t.Errorf("%d folders, want r, r/x, r/newer", s.Dirs)
	}
}

// TestRefreshHidesNothing: what changes while the wishes do is told like every change.
func TestRefreshHidesNothing(t *testing.T) {
	for _, backend := range []string{"inotify", "poll"} {
		for _, c := range []struct {
			name, before, change string
			want                 []string
		}{
			{"write", "echo 1 >r/f", "echo 22 >r/f", []string{"write file f"}},
			{"create", "", "echo 1 >r/f", []string{"create file f"}},
			{"remove", "touch r/f", "rm r/f", []string{"remove file f"}},
			{"replace", "touch r/f; echo >g", "mv g r/f", []string{"write file f"}},
			{"remove a folder", "mkdir r/d; touch r/d/f", "rm -r r/d", []string{"remove dir d", "remove file d/f"}},
			{"replace a folder", "mkdir r/d g; touch r/d/f g/h", "mv r/d x; mv g r/d", []string{"remove file d/f", "create file d/h"}},
			{"move a folder", "mkdir r/d; touch r/d/f", "mv r/d r/e", []string{"create dir e", "create file e/f", "remove dir d", "remove file d/f"}},
			{"a file becomes a folder", "touch r/f", "rm r/f; mkdir r/f; touch r/f/g", []string{"write dir f", "create file f/g"}},
		} {
			t.Run(backend+" "+c.name, func(t *testing.T) {
				t.Parallel()
				for range 10 {
					p := watchAfter(t, "rm -rf r g x; mkdir r; touch r/old; "+c.before, func(o *Options) {
						o.Prune, o.Skip, o.Backend = func(int, string) bool { return false }, func(int, string) bool { return false }, backend
					})
					done := make(chan struct{})
					go func() {
						defer close(done)
						for range 20 {
							p.w.Refresh()
							_ = p.w.Sync(t.Context())
						}
					}()
					p.sh(c.change)
					got := halves(p.changes())
					slices.Sort(c.want)
					if !slices.Equal(got, c.want) {
						t.Errorf("got %q, want %q", got, c.want)
					}
					<-done
					p.same("all has been told")
				}
			})
		}
	}
}

// halves are the changes with each rename as a removal and a creation: polling may see the two apart.
func halves(changes []string) (all []string) {
	for _, c := range changes {
		if to, from, renamed := strings.Cut(c, " from "); renamed {
			kind, to, _ := strings.Cut(strings.TrimPrefix(to, "rename "), " ")
			all = append(all, "create "+kind+" "+to, "remove "+kind+" "+from)
		} else {
			all = append(all, c)
		}
	}
	slices.Sort(all)
	return all
}

func TestRefresh(t *testing.T) {
	wanted := make(chan string, 1)
	wanted <- "a"
	p := watchAfter(t, "mkdir -p r/a/s r/b/s; touch r/a/s/1 r/b/s/2", func(o *Options) {
		o.Prune = func(_ int, dir string) bool {
			now := <-wanted
			wanted <- now
			return !strings.HasPrefix(dir, now)
		}
	})
	p.want("touch r/a/s/x r/b/s/x", "create file a/s/x")
	<-wanted
	wanted <- "b"
	for range 50 { // the mark may be granted with the refresh or after it
		p.w.Refresh()
		p.same("the wishes change")
	}
	p.want("touch r/a/s/y r/b/s/y; echo >>r/b/s/2", "create file b/s/y", "write file b/s/2")
	if s := p.w.Stats(); s.Dirs != 3 {
		t.Errorf("%d folders, want r, r/b, r/b/s", s.Dirs)
	}
}
