package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

// TestBusyFolderAbove: what others do beside a root, or beside the folders above it, wakes nobody.
func TestBusyFolderAbove(t *testing.T) {
	for _, tt := range []struct{ name, setup, root string }{
		{"plain", "mkdir -p a/b/root; touch a/b/root/f", "a/b/root"},
		{"with a folder only", "mkdir -p a/b/root/d", "a/b/root"},
		{"made non-empty later", "mkdir -p a/b/root", "a/b/root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told atomic.Int64
			sys := inotify.Syscalls{Read: func(fd int, buf []byte) (int, error) {
				n, err := unix.Read(fd, buf)
				told.Add(int64(max(n, 0)))
				return n, err
			}}
			p := &probe{t: t, dir: t.TempDir()}
			p.sh(tt.setup)
			w, err := newWatcher(t.Context(), Options{Roots: []string{p.path(tt.root)}}, system(), sys)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			p.w = w
			p.sh("touch a/b/root/last")
			p.changes()
			before := told.Load()
			p.sh("for d in . a a/b; do for i in 1 2 3 4 5; do echo >$d/t$i; mv $d/t$i $d/u$i; rm $d/u$i; mkdir $d/root.$i; rmdir $d/root.$i; done; done")
			p.same("the work of others")
			if n := told.Load() - before; n > 2*unix.SizeofInotifyEvent {
				t.Errorf("%d bytes of events were read; the mark's own has %d", n, unix.SizeofInotifyEvent)
			}
		})
	}
}

// TestRootHeldOpen: as long as a process is in a folder, its end is told to its parent only. Whoever waits for it must have asked
// there.
func TestRootHeldOpen(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"emptied and removed", []step{
			{"rm p/q/r/f", []string{"remove file f"}},
			{"rmdir p/q/r", nil},
			{"mkdir p/q/r; touch p/q/r/g", []string{"create file g"}},
		}},
		{"removed and made again at once", []step{
			{"rm -r p/q/r; mkdir p/q/r; touch p/q/r/g", []string{"remove file f", "create file g"}},
		}},
		{"removed with all above and made again", []step{
			{"rm -r p; mkdir -p p/q/r; touch p/q/r/g", []string{"remove file f", "create file g"}},
			{"rm p/q/r/g", []string{"remove file g"}},
			{"rmdir p/q/r; rmdir p/q; rmdir p", nil},
			{"mkdir p", nil},
			{"mkdir p/q", nil},
			{"rmdir p/q", nil},
			{"mkdir p/q", nil},
			{"mkdir p/q/r; touch p/q/r/h", []string{"create file h"}},
		}},
		{"replaced while empty", []step{
			{"rm p/q/r/f", []string{"remove file f"}},
			{"mkdir n; touch n/g; mv -T n p/q/r", []string{"create file g"}},
		}},
		{"moved away and back", []step{
			{"mv p/q/r x; mv x p/q/r", []string{"write file f"}},
			{"mv p x; mv x p", []string{"write file f"}},
			{"mv p x; mkdir -p p/q/r; touch p/q/r/g", []string{"remove file f", "create file g"}},
			{"echo >>x/q/r/f; rm -r x", nil},
		}},
		{"only what nobody wants is left", []step{
			{"touch p/q/r/no", nil},
			{"rm p/q/r/f", []string{"remove file f"}},
			{"rm p/q/r/no; rmdir p/q/r; mkdir p/q/r; touch p/q/r/g", []string{"create file g"}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := watchAfter(t, "mkdir -p p/q/r; touch p/q/r/f", roots("p/q/r"), func(o *Options) {
				o.Skip = func(_ int, path string) bool { return path == "no" }
			})
			for _, s := range tt.steps {
				for _, d := range []string{"p", "p/q", "p/q/r"} { // what is there now is held, too
					if f, err := os.Open(p.path(d)); err == nil {
						defer f.Close()
					}
				}
				p.want(s.script, s.want...)
			}
		})
	}
}

// TestExchangedAbove: a folder above the root changes places with another.
func TestExchangedAbove(t *testing.T) {
	p := watchAfter(t, "mkdir -p p/q/r x/q/r; touch p/q/r/f x/q/r/g", roots("p/q/r"))
	for _, d := range []string{"", "/q", "/q/r"} {
		if err := unix.Renameat2(unix.AT_FDCWD, p.path("p"+d), unix.AT_FDCWD, p.path("x"+d), unix.RENAME_EXCHANGE); err != nil {
			t.Skipf("exchange: %v", err)
		}
		was, is := "f", "g"
		if d == "/q" {
			was, is = is, was
		}
		p.same("exchange p"+d, "remove file "+was, "create file "+is)
	}
}

// TestLinksAbove: of a folder with a link on the way, names count; of the others they do not.
func TestLinksAbove(t *testing.T) {
	p := watchAfter(t, "mkdir -p p/v1/r p/v2/r; touch p/v1/r/1 p/v2/r/2; ln -s v1 p/now; ln -s p/now link", roots("link/r"))
	p.want("ln -s v2 p/n; mv -T p/n p/now", "remove file 1", "create file 2")
	p.want("mv p/v2 p/v3; mkdir -p p/v2/r; touch p/v2/r/3", "remove file 2", "create file 3")
	p.want("ln -sfn p/v1 link", "remove file 3", "create file 1")
	p.want("rm link; mkdir -p link/r; touch link/r/4", "remove file 1", "create file 4")
	p.want("rm -r link; ln -s p/v3 link", "remove file 4", "create file 2")
}

// TestRootsSideBySide: the way of one root that is not there keeps another's way wide, and no longer.
func TestRootsSideBySide(t *testing.T) {
	p := watchAfter(t, "mkdir -p p/a; touch p/a/f", roots("p/a", "p/b"), waitRoots)
	masks := func() (wide int) {
		p.w.call(func() {
			all, err := p.w.conn.Watches()
			if err != nil {
				t.Skip(err)
			}
			for _, watch := range all {
				if p.w.index.get(int32(watch.WD)) == nil && watch.Mask&inotify.Create != 0 {
					wide++
				}
			}
		})
		return wide
	}
	depth := len(filepath.SplitList(p.dir)) + 1
	if masks() < depth {
		t.Errorf("%d folders are watched for names while a root is not there", masks())
	}
	p.want("mkdir p/b; touch p/b/g", "create file g")
	if n := masks(); n != 0 {
		t.Errorf("%d folders are still watched for names", n)
	}
	p.want("rm -r p/b", "remove file g")
	p.want("mkdir p/b; touch p/b/h", "create file h")
	p.sh("rm -r p/a p/b; mkdir p/a p/b; touch p/a/1 p/b/2")
	got := p.changes()
	for i, want := range []string{"create file 1", "create file 2", "remove file f", "remove file h"} {
		if !slices.Contains(got, want) {
			t.Errorf("%d: missing %s in %s", i, want, fmt.Sprint(got))
		}
	}
}
