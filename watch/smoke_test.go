package watch

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	w, err := New(t.Context(), Options{Roots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	show := func() {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			b, err := w.Next(ctx)
			cancel()
			if err != nil {
				return
			}
			for _, c := range b.Changes {
				t.Logf("%v %v %s from=%s open=%v closed=%v", c.Op, c.Type, c.Path, c.From, c.Open, c.Closed)
			}
			t.Log(b.Roots, "--")
		}
	}
	sh := func(s string) {
		t.Log("$ " + s)
		c := exec.Command("sh", "-c", s)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Log(string(out), err)
		}
		show()
	}
	sh("mkdir -p a/b/c && echo x > a/b/c/f")
	sh("echo y >> a/b/c/f")
	sh("mv a z; echo 1 > z/b/c/f")
	sh("rm -rf z")
	sh("chmod 700 .; touch q; touch q; chmod 600 q; mv q r; ln r s; ln -s r t")
	sh("echo x > tmp; mv tmp r")
	sh("cd ..; mv 001 002; mkdir 001; echo > 001/new")
	_ = os.Remove
	_ = filepath.Join
}
