package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/watch"
)

// Changes of a batch are printed before the end of their root, and after its return.
func TestEventsInTheOrderOfTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		roots []watch.RootEvent
		want  string
	}{
		{"gone", []watch.RootEvent{{Root: 0, Gone: true}}, "write     b: x\nwrite     a: x\nroot-gone a\n"},
		{"back", []watch.RootEvent{{Root: 0}}, "root-back a\nwrite     b: x\nwrite     a: x\n"},
		{"gone and back", []watch.RootEvent{{Root: 0, Gone: true}, {Root: 0}}, "root-gone a\nroot-back a\nwrite     b: x\nwrite     a: x\n"},
		{"one gone, one back", []watch.RootEvent{{Root: 0, Gone: true}, {Root: 1}}, "root-back b\nwrite     b: x\nwrite     a: x\nroot-gone a\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a", "x"), "")
			write(t, filepath.Join(dir, "b", "x"), "")
			cfg, err := config.AdHoc(config.Invocation{Dir: dir, Command: []string{"events"}, Flags: []config.Flag{{Name: "DIR", Key: "roots", Values: []string{"a", "b"}}}}, config.Options{})
			if err != nil {
				t.Fatal(err)
			}
			out, err := os.Create(filepath.Join(dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			e := &eventPrinter{options: &options{stdio: stdio{out: &stdout{File: out}}}}
			if e.plan, err = newPlan(cfg); err != nil {
				t.Fatal(err)
			}
			changes := []watch.Change{{Root: 1, Path: "x", Op: watch.Write}, {Root: 0, Path: "x", Op: watch.Write}}
			if err := e.batch(watch.Batch{Changes: changes, Roots: tt.roots}); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(out.Name()); string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
