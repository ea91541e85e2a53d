package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/flinch-run/flinch/config"
)

// bigPlan has 50 rules and 200 ignore lines; the paths are below many folders.
func bigPlan(tb testing.TB, n int) (*plan, []string) {
	tb.Helper()
	exts := []string{"go", "py", "ts", "css", "html", "md", "sql", "proto", "txt", "json"}
	dir, toml, ignore := tb.TempDir(), "", ""
	for i := range 50 {
		toml += fmt.Sprintf("[task.rule%d]\nfiles = [\"dir%d/**/*.%s\", \"**/*_%d.%s\", \"!**/skip%d/**\"]\nrun = \"true\"\n",
			i, i%20, exts[i%10], i, exts[(i+3)%10], i)
	}
	for i := range 200 {
		ignore += fmt.Sprintf([]string{"*.tmp%d\n", "/build%d/\n", "gen%d/**/out\n", "**/cache_%d/*.bin\n"}[i%4], i)
	}
	file := filepath.Join(dir, config.FileName)
	for name, text := range map[string]string{file: toml, filepath.Join(dir, ".gitignore"): ignore} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	p, err := newPlan(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	rng, paths := rand.New(rand.NewPCG(1, 1)), []string(nil)
	for i := range n {
		name := fmt.Sprintf("dir%d/sub%d/deep%d/file%d_%d.%s", rng.IntN(30), rng.IntN(50), rng.IntN(9), i, rng.IntN(60), exts[rng.IntN(10)])
		paths = append(paths, filepath.Join(dir, name))
	}
	return p, paths
}

func BenchmarkExplain(b *testing.B) {
	p, paths := bigPlan(b, 10_000)
	for b.Loop() {
		texts, silent := p.explainAll(paths, nil, func(a *answer) []byte { return a.text(false) })
		if len(texts) == 0 || !silent {
			b.Fatal("nothing was explained")
		}
	}
}
