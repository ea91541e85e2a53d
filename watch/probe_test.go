package watch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// probe is a Watcher on the folder r of a new folder, in which the commands of a test run.
type probe struct {
	t    *testing.T
	dir  string
	w    *Watcher
	mark uint64

	raw   []Change // all since the last call of changes, as they came
	roots []RootEvent
}

// watchAfter runs a shell script in a new folder and then watches its folder r.
func watchAfter(t *testing.T, setup string, change ...func(*Options)) *probe {
	t.Helper()
	p := &probe{t: t, dir: t.TempDir()}
	p.sh("mkdir r out; " + setup)
	o := Options{Roots: []string{filepath.Join(p.dir, "r")}}
	for _, f := range change {
		f(&o)
	}
	for i, r := range o.Roots {
		if !filepath.IsAbs(r) {
			o.Roots[i] = filepath.Join(p.dir, r)
		}
	}
	w, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.w = w
	t.Cleanup(func() { w.Close() })
	return p
}

// sh runs a script in the probe's folder.
func (p *probe) sh(script string) {
	p.t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (p *probe) path(rel string) string { return filepath.Join(p.dir, rel) }

// changes folds all that has been reported up to now.
func (p *probe) changes() []string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	p.mark++
	p.w.Mark(p.mark)
	var net Set
	p.raw, p.roots = nil, nil
	for {
		b, err := p.w.Next(ctx)
		if err != nil {
			p.t.Fatalf("next: %v; so far: %v", err, lines(net.Changes()))
		}
		for _, c := range b.Changes {
			net.Add(c)
			p.raw = append(p.raw, c)
		}
		p.roots = append(p.roots, b.Roots...)
		for _, m := range b.Marks {
			if m.ID == p.mark {
				return lines(net.Changes())
			}
		}
	}
}

// want runs a script and compares what is reported for it.
func (p *probe) want(script string, want ...string) {
	p.t.Helper()
	p.sh(script)
	p.same(script, want...)
}

func (p *probe) same(what string, want ...string) {
	p.t.Helper()
	got := p.changes()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		p.t.Errorf("%s\ngot:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func lines(changes []Change) []string {
	var all []string
	for _, c := range changes {
		line := c.Op.String() + " " + c.Type.String() + " " + c.Path
		if c.From != "" {
			line += " from " + c.From
		}
		all = append(all, line)
	}
	return all
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// needMounts skips where nothing may be mounted.
func needMounts(t *testing.T) {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}

// nextWithin waits for one more batch.
func (p *probe) nextWithin() (Batch, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	return p.w.Next(ctx)
}
