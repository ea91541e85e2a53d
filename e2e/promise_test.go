package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A folder chain and the file in it, made at once: no file is missed, two hundred times.
func TestFoldersMadeAtOnce(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"src/keep": ""})
	log := filepath.Join(t.TempDir(), "seen")
	s := start(t, dir, "--no-start", "-w", "src", "--settle", "1ms", "--", "sh", "-c", `cat "$FLINCH_CHANGES_FILE" >>`+log)
	for i := range 200 {
		sh(t, dir, fmt.Sprintf("mkdir -p src/a%d/b/c && echo x > src/a%d/b/c/f", i, i))
	}
	for i := range 200 {
		want := fmt.Sprintf(`a%d/b/c/f"`, i)
		eventually(t, want+" was handed to a run", func() bool { return strings.Contains(content(log), want) })
	}
	s.end(15)
}

// Two hundred edits while a slow task runs: the last run starts after the last edit, and runs do not pile up.
func TestEditsWhileTheTaskRuns(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"a.txt": "0"})
	log := filepath.Join(t.TempDir(), "runs")
	start(t, dir, append([]string{"-f", "*.txt", "--"}, stamp(t, log, 300*time.Millisecond)...)...)
	eventually(t, "the first run", func() bool { return len(started(t, log)) == 1 })
	var last int64
	for i := range 200 {
		write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i))
		last = now()
	}
	eventually(t, "a run after the last edit", func() bool {
		starts := started(t, log)
		return starts[len(starts)-1] > last && len(stamps(t, log, "END")) == len(starts)
	})
	quiet(t, func() string { return content(log) })
	if n := len(started(t, log)); n > 4 {
		t.Errorf("%d runs for one burst of edits during a run, want at most 4", n)
	}
}

// Nothing runs for what is ignored, and a run for what is not.
func TestGitignoredFilesAreSilent(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{".gitignore": "*.log\nout/\n", "a.txt": "", ".git/HEAD": "ref: refs/heads/main\n"})
	log := filepath.Join(t.TempDir(), "runs")
	start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0)...)...)
	write(t, filepath.Join(dir, "x.log"), "1")
	write(t, filepath.Join(dir, "out/x.txt"), "1")
	quiet(t, func() string { return content(log) })
	if n := len(started(t, log)); n != 0 {
		t.Fatalf("%d runs for ignored files", n)
	}
	write(t, filepath.Join(dir, "a.txt"), "1")
	eventually(t, "a run", func() bool { return len(started(t, log)) == 1 })
}

// A folder that comes back, renamed folders, folders moved in: all are seen.
func TestFoldersThatMove(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"r/a/b/f.txt": "1", "out/t/u/g.txt": "1"})
	log := filepath.Join(t.TempDir(), "seen")
	start(t, filepath.Join(dir, "r"), "--no-start", "--", "sh", "-c", `cat "$FLINCH_CHANGES_FILE" >>`+log)
	steps := []struct{ script, seen string }{
		{"mv r/a r/z && echo 2 > r/z/b/f.txt", `"z/b/f.txt"`},
		{"mv out/t r/t", `"t/u/g.txt"`},
		{"echo 3 > r/t/u/h.txt", `"t/u/h.txt"`},
		{"rm -rf r/t && mkdir -p r/t/u && echo 4 > r/t/u/i.txt", `"t/u/i.txt"`},
		{"mv r/z r/y && mkdir r/z && echo 5 > r/z/new.txt && echo 5 > r/y/old.txt", `"z/new.txt"`},
		{"true", `"y/old.txt"`},
	}
	for _, step := range steps {
		sh(t, dir, step.script)
		eventually(t, step.script+" shows "+step.seen, func() bool { return strings.Contains(content(log), step.seen) })
	}
}

// The root itself goes and returns.
func TestRootReturns(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"p/r/f.txt": "1"})
	log := filepath.Join(t.TempDir(), "runs")
	start(t, dir, append([]string{"--no-start", "-w", "p/r", "--"}, stamp(t, log, 0)...)...)
	for i, script := range []string{"rm -rf p/r && mkdir p/r && echo 2 > p/r/f.txt", "mv p q && mkdir -p p/r && echo 3 > p/r/f.txt"} {
		sh(t, dir, script)
		eventually(t, "a run after "+script, func() bool { return len(started(t, log)) > i })
		quiet(t, func() string { return content(log) })
		last := now()
		write(t, filepath.Join(dir, "p/r/g.txt"), fmt.Sprint(i))
		eventually(t, "a run after the root has returned", func() bool { s := started(t, log); return s[len(s)-1] > last })
		quiet(t, func() string { return content(log) })
	}
	if _, err := os.Stat(filepath.Join(dir, "p/r/g.txt")); err != nil {
		t.Fatal(err)
	}
}
