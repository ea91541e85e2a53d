package process

import (
	"os"
	"path/filepath"
	"testing"
)

// A cgroup that somebody else removed between its making and the start is no reason for the start to fail.
func TestStartWithoutItsCgroup(t *testing.T) {
	needCgroup(t)
	h := newTestHost(t, Options{})
	start(t, h, Spec{Argv: []string{"true"}}) // the next directory is made while idle
	eventually(t, "a directory in stock was removed", func() bool {
		dirs, err := filepath.Glob(filepath.Join(h.Cgroup(), "*"))
		if err != nil {
			t.Fatal(err)
		}
		removed := false
		for _, dir := range dirs {
			info, err := os.Stat(dir)
			removed = err == nil && info.IsDir() && os.Remove(dir) == nil || removed
		}
		return removed
	})
	start(t, h, Spec{Argv: []string{"true"}})
}
