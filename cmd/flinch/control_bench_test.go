package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/watch"
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
		texts, silent := p.explainAll(paths, nil, func(b *bytes.Buffer, a *answer) { a.text(b, false) })
		if len(texts) == 0 || !silent {
			b.Fatal("nothing was explained")
		}
	}
}

// What the history costs the stages of the path: one event of the runner, one
// settled wave, and the look whether a change is wanted by nobody.
func BenchmarkHistoryOnThePath(b *testing.B) {
	h := newHistory(200)
	defer h.begin()()
	p, _ := bigPlan(b, 1)
	e := runner.Event{Kind: runner.EventStarted, Time: time.Now(), Rule: "rule1", Run: 1, Changes: []runner.Change{{Path: "a.go", Op: "write"}}}
	w := runner.Wave{Triggers: []runner.Trigger{{Rule: "rule1", Changes: e.Changes}}}
	items := p.items([]watch.Change{{Path: "dir1/a.py", Op: watch.Write, Type: watch.File, Time: time.Now()}})
	for b.Loop() {
		h.strays(p.strays(items))
		h.settled(w, p)
		h.event(e)
	}
}

// What the history costs a command that prints much: one line.
func BenchmarkHistoryLine(b *testing.B) {
	h := newHistory(200)
	defer h.begin()()
	h.event(runner.Event{Kind: runner.EventStarted, Time: time.Now(), Rule: "a", Run: 1})
	line := output.Line{Rule: "a", Text: []byte("a line of output of about the usual length, somewhat"), Time: time.Now()}
	b.SetBytes(int64(len(line.Text)))
	for b.Loop() {
		h.line(1, line)
	}
}
