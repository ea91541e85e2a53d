package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func roots(paths ...string) func(*Options) {
	return func(o *Options) { o.Roots = paths }
}

func waitRoots(o *Options) { o.WaitRoots = true }

// turned compares the root events of the last step.
func (p *probe) turned(want ...bool) {
	p.t.Helper()
	var got []bool
	for _, e := range p.roots {
		got = append(got, e.Gone)
	}
	if !slices.Equal(got, want) {
		p.t.Errorf("roots gone: %v, want %v", got, want)
	}
}

func TestRootGoneAndBack(t *testing.T) {
	p := watchAfter(t, "touch r/f")
	p.want("rm -r r", "remove file f")
	p.turned(true)
	p.want("mkdir r; touch r/f r/g", "create file f", "create file g")
	p.turned(false)
	p.want("rm -r r; mkdir r; touch r/f", "remove file g", "write file f")
	p.want("mv r away; touch away/x", "remove file f")
	p.turned(true)
	p.want("mv away r", "create file f", "create file x")
	p.turned(false)
	p.want("touch r/y", "create file y")
}

func TestAncestorRenamed(t *testing.T) {
	p := watchAfter(t, "mkdir -p p/q/r; touch p/q/r/f", roots("p/q/r"))
	p.want("mv p p2; mkdir -p p/q/r; touch p/q/r/f p/q/r/g", "write file f", "create file g")
	p.want("touch p2/q/r/old")
	p.want("echo >p/q/r/g; mkdir p/q/r/d", "write file g", "create dir d")
	p.want("rm -r p", "remove file f", "remove file g", "remove dir d")
	p.want("mkdir p")
	p.want("mkdir p/q")
	p.want("mkdir p/q/r")
	p.turned(false)
	p.want("touch p/q/r/h", "create file h")
}

func TestRootThatIsNotThereYet(t *testing.T) {
	p := watchAfter(t, "", roots("a/b/c"), waitRoots)
	p.want("mkdir -p a/b")
	p.want("mkdir a/b/c; touch a/b/c/f", "create file f")
	p.turned(false)
	p.want("echo >a/b/c/f", "write file f")
}

func TestRootMustExist(t *testing.T) {
	_, err := New(t.Context(), Options{Roots: []string{filepath.Join(t.TempDir(), "missing")}})
	var re *RootError
	if !errors.As(err, &re) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want a RootError that says that it does not exist", err)
	}
	if re.Hint() == "" || !strings.HasSuffix(err.Error(), "missing: no such file or directory") {
		t.Errorf("error %q, hint %q", err, re.Hint())
	}
	if _, err := New(t.Context(), Options{}); err == nil {
		t.Error("no roots: no error")
	}
	if _, err := New(t.Context(), Options{Roots: []string{"."}, Backend: "magic"}); err == nil {
		t.Error("unknown backend: no error")
	}
}

func TestRootFile(t *testing.T) {
	p := watchAfter(t, "echo a >r/f; echo b >r/other", roots("r/f"))
	p.want("echo c >>r/f", "write file .")
	p.want("echo c >>r/other; touch r/new; rm r/other; mkdir r/d; touch r/d/f")
	p.want("echo new >r/tmp; mv r/tmp r/f", "write file .")
	p.want("chmod 600 r/f", "attrib file .")
	p.want("ln r/f out/l; echo through it >>out/l", "write file .")
	p.want("rm r/f", "remove file .")
	p.want("echo back >r/f", "create file .")
	p.want("mv r/f r/g; echo again >r/f; rm r/g", "write file .")
	p.want("rm -r r", "remove file .")
	p.want("mkdir r; echo >r/f", "create file .")
}

func TestRootThroughLinks(t *testing.T) {
	p := watchAfter(t, "mkdir v1 v2; echo 1 >v1/conf; echo 2 >v2/conf; ln -s v1 current; ln -s current/conf conf", roots("current", "conf"))
	got := func(script string) {
		t.Helper()
		p.sh(script)
		p.changes()
	}
	has := func(root int, want string) {
		t.Helper()
		var mine []Change
		for _, c := range p.raw {
			if c.Root == root {
				mine = append(mine, c)
			}
		}
		if l := lines(mine); !contains(l, want) {
			t.Errorf("root %d: got %v, want %s", root, l, want)
		}
	}
	got("echo >>v1/conf")
	has(0, "write file conf")
	has(1, "write file .")
	got("ln -s v2 next; mv -T next current")
	has(0, "write file conf")
	has(1, "write file .")
	got("echo >>v2/conf")
	has(0, "write file conf")
	has(1, "write file .")
	got("echo >>v1/conf")
	if len(p.raw) > 0 {
		t.Errorf("the folder that the link does not lead to any more: %v", lines(p.raw))
	}
	got("rm current")
	has(0, "remove file conf")
	has(1, "remove file .")
	got("ln -s v1 current")
	has(0, "create file conf")
	has(1, "create file .")
}

func TestRootsInRoots(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; touch r/a/b/f", roots("r", "r/a/b", "r/a/b/f"))
	p.sh("echo >r/a/b/f")
	p.changes()
	var got [3]int
	for _, c := range p.raw {
		got[c.Root]++
	}
	if got[0] == 0 || got[1] == 0 || got[2] == 0 {
		t.Errorf("reports by root: %v", got)
	}
	p.sh("mv r/a r/z")
	p.changes()
	p.sh("mkdir -p r/a/b; echo >r/a/b/f; echo >>r/z/b/f")
	p.changes()
	l := lines(p.raw)
	for _, want := range []string{"create file f", "create file .", "create file a/b/f"} {
		if !contains(l, want) {
			t.Errorf("missing %q in %v", want, l)
		}
	}
	p.sh("rm -r r/a r/z")
	if p.changes(); len(p.raw) == 0 {
		t.Error("nothing was removed")
	}
}

// TestMounts: inotify tells nothing of a mount over a watched folder.
func TestMounts(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir -p r/m r/b out/s; touch r/m/hidden out/s/f")
	defer p.sh("umount -l r/m r/b 2>/dev/null; umount -l r 2>/dev/null; true")
	mounted := func(script string, want ...string) {
		t.Helper()
		p.sh(script)
		p.until(want...)
	}
	mounted("mount -t tmpfs none r/m; touch r/m/f", "remove file m/hidden", "create file m/f")
	p.want("mkdir r/m/d; touch r/m/d/g", "create dir m/d", "create file m/d/g")
	mounted("umount r/m", "remove file m/f", "remove dir m/d", "remove file m/d/g", "create file m/hidden")
	p.want("echo >r/m/hidden", "write file m/hidden")
	mounted("mount --bind out/s r/b", "create file b/f")
	p.want("echo >out/s/f", "write file b/f")
	mounted("umount r/b", "remove file b/f")
	p.want("echo >out/s/f")
	mounted("mount -t tmpfs none r; touch r/top", "create file top", "remove dir m", "remove dir b", "remove file m/hidden")
	mounted("umount r", "remove file top", "create dir m", "create dir b", "create file m/hidden")
	p.want("touch r/b/x", "create file b/x")
}

// until waits for changes that nothing orders with a mark.
func (p *probe) until(want ...string) {
	p.t.Helper()
	var got []string
	var net Set
	for {
		p.changes()
		for _, c := range p.raw {
			net.Add(c)
		}
		got = lines(net.Changes())
		slices.Sort(got)
		slices.Sort(want)
		if slices.Equal(got, want) {
			return
		}
		b, err := p.nextWithin()
		if err != nil {
			p.t.Fatalf("got:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		for _, c := range b.Changes {
			net.Add(c)
		}
	}
}

func TestBindMountOfTheTreeIntoItself(t *testing.T) {
	needMounts(t)
	p := watchAfter(t, "mkdir -p r/a/b r/in; touch r/a/f")
	defer p.sh("umount -l r/in 2>/dev/null; true")
	p.sh("mount --bind r r/in")
	p.changes()
	p.sh("touch r/a/g")
	p.changes()
	if l := lines(p.raw); !contains(l, "create file a/g") {
		t.Errorf("got %v", l)
	}
	p.sh("umount r/in; touch r/in/x")
	p.untilSeen("create file in/x")
}

// untilSeen waits for one change among others.
func (p *probe) untilSeen(want string) {
	p.t.Helper()
	p.changes()
	for !contains(lines(p.raw), want) {
		b, err := p.nextWithin()
		if err != nil {
			p.t.Fatalf("%s did not come", want)
		}
		p.raw = append(p.raw, b.Changes...)
	}
}

func TestFollow(t *testing.T) {
	p := watchAfter(t, "mkdir -p out/lib/sub r/real; touch out/lib/f; ln -s ../out/lib r/lib; ln -s . r/self; ln -s real r/also; ln -s ../../.. r/real/up; ln -s ../out out/lib/back",
		func(o *Options) { o.Follow = true })
	p.want("echo >out/lib/f; touch out/lib/sub/g", "write file lib/f", "create file lib/sub/g")
	p.want("mkdir out/more; touch out/more/h; ln -s ../out/more r/more", "create symlink more", "create file more/h")
	p.want("echo >out/more/h", "write file more/h")
	p.want("rm r/more", "remove symlink more", "remove file more/h")
	p.want("echo >out/more/h; touch out/more/i")
	p.want("touch r/real/x", "create file real/x")
	p.want("ln -sfn ../out/more r/lib", "write symlink lib", "remove file lib/f", "remove dir lib/sub", "remove file lib/sub/g",
		"remove symlink lib/back", "create file lib/h", "create file lib/i")
}

func TestManyRoots(t *testing.T) {
	var dirs []string
	base := t.TempDir()
	for i := range 20 {
		dirs = append(dirs, filepath.Join(base, fmt.Sprint(i)))
		if err := os.Mkdir(dirs[i], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := watchAfter(t, "", roots(dirs...))
	for _, d := range dirs {
		if err := os.WriteFile(filepath.Join(d, "f"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.changes()
	seen := make(map[int]bool)
	for _, c := range p.raw {
		seen[c.Root] = c.Path == "f"
	}
	if len(seen) != len(dirs) {
		t.Errorf("%d of %d roots reported", len(seen), len(dirs))
	}
}

func TestMoveBetweenRoots(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/s r2; touch r/a/s/f", roots("r", "r2"))
	p.sh("mv r/a/s r2/s")
	p.changes()
	l := lines(p.raw)
	for _, want := range []string{"remove dir a/s", "remove file a/s/f", "create dir s", "create file s/f"} {
		if !contains(l, want) {
			t.Errorf("missing %q in %v", want, l)
		}
	}
	p.want("echo >r2/s/f", "write file s/f")
}

// TestWaysThatLeadNowhereYet: a file where a folder must be, and links to what is not there.
func TestWaysThatLeadNowhereYet(t *testing.T) {
	p := watchAfter(t, "touch f; ln -s gone/x link; ln -s b a; ln -s a b", roots("f/x", "link", "a/y"), waitRoots)
	p.same("nothing is there")
	p.want("rm f; mkdir -p f/x; touch f/x/1", "create file 1")
	p.want("mkdir -p gone/x; touch gone/x/2", "create file 2")
	p.want("rm b; mkdir -p b/y; touch b/y/3", "create file 3")
	p.want("mv gone away; ln -s away gone; touch away/x/4", "write file 2", "create file 4")
	p.want("rm -r f; touch f", "remove file 1")
}

// TestSameRootTwice: each of them reports, and both of them settle.
func TestSameRootTwice(t *testing.T) {
	p := watchAfter(t, "mkdir r/d; touch r/d/f", roots("r", "r", "r/d"), func(o *Options) {
		o.Prune = func(root int, dir string) bool { return root == 0 && dir == "d" }
	})
	for _, script := range []string{"echo >>r/d/f", "rm -r r; mkdir -p r/d; echo >r/d/f", "mv r s; mv s r; echo >>r/d/f"} {
		p.sh(script)
		p.changes()
		var got [3]bool
		for _, c := range p.raw {
			got[c.Root] = got[c.Root] || filepath.Base(c.Path) == "f"
		}
		if want := [3]bool{false, true, true}; got != want {
			t.Errorf("%s: reported by root %v, want %v", script, got, want)
		}
		if p.armed() {
			p.w.call(func() {
				if p.w.unsettled() {
					t.Errorf("%s: it does not settle", script)
				}
			})
		}
	}
}

// TestEverythingIsRoot: the root of all has no folder above it.
func TestEverythingIsRoot(t *testing.T) {
	dir := t.TempDir()
	p := &probe{t: t, dir: dir}
	w, err := New(t.Context(), Options{Roots: []string{"/"}, Prune: func(_ int, d string) bool {
		return !isBelow(dir, "/"+d) && !isBelow("/"+d, dir)
	}, Skip: func(_ int, f string) bool { return !isBelow("/"+f, dir) }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.w = w
	p.want("mkdir d; touch d/f", "create dir "+dir[1:]+"/d", "create file "+dir[1:]+"/d/f")
	p.want("rm -r d", "remove dir "+dir[1:]+"/d", "remove file "+dir[1:]+"/d/f")
}
