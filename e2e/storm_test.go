package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Programs that write many files are one run, after their last write.
func TestManyFilesAreOneRun(t *testing.T) {
	for _, op := range []operation{
		{"untar 3,000 files", `mkdir ../t && cd ../t && for i in $(seq 150); do mkdir -p p/d$i; for j in $(seq 20); do echo $i.$j > p/d$i/f$j; done; done && tar cf ../t.tar p`, "tar xf ../t.tar"},
		{"copy a tree", `mkdir ../t && for i in $(seq 100); do mkdir -p ../t/d$i; for j in $(seq 10); do echo $i.$j > ../t/d$i/f$j; done; done`, "cp -r ../t here"},
		{"remove a tree", `for i in $(seq 100); do mkdir -p t/d$i; for j in $(seq 10); do echo $i.$j > t/d$i/f$j; done; done`, "rm -r t"},
		{"move a tree", `for i in $(seq 100); do mkdir -p t/d$i; for j in $(seq 10); do echo $i.$j > t/d$i/f$j; done; done`, "mv t moved"},
		{"sed -i over 300 files", `for i in $(seq 300); do echo one > f$i; done`, "sed -i s/one/two/ f*"},
		{"save all of 12 files", "true", "for i in $(seq 12); do echo saved > f$i; done"},
	} {
		t.Run(op.name, op.isOneRun)
	}
}

// every writes a file of a watched folder in a rhythm, until all are written.
func every(t *testing.T, gap time.Duration, times int, write func(i int)) {
	t.Helper()
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for i := range times {
		write(i)
		<-tick.C
	}
}

// A hundred and fifty files, one every 10 ms, are at most two runs.
func TestSlowStorm(t *testing.T) {
	dir, log := project(t, nil), filepath.Join(t.TempDir(), "runs")
	s := start(t, dir, append([]string{"--no-start", "--"}, self(t, "forest", log)...)...)
	every(t, 10*time.Millisecond, 150, func(i int) { write(t, filepath.Join(dir, fmt.Sprintf("f%d", i)), "x") })
	eventually(t, "a run that saw everything", func() bool { return strings.Contains(content(log), hashTree(dir)) })
	s.settled(func() string { return content(log) })
	if n := count(log, "START"); n > 2 {
		t.Errorf("%d runs, want at most 2", n)
	}
}

// npm writes in bursts with pauses that no quiet time bridges: few runs, and the last one sees everything.
func TestNpmLikeTree(t *testing.T) {
	dir, log := project(t, nil), filepath.Join(t.TempDir(), "runs")
	s := start(t, dir, append([]string{"--no-start", "--no-gitignore", "--"}, self(t, "forest", log)...)...)
	every(t, 800*time.Millisecond, 3, func(burst int) {
		for i := range 300 {
			write(t, filepath.Join(dir, fmt.Sprintf("modules/p%d-%d/lib/index.js", burst, i)), "module")
		}
	})
	eventually(t, "a run that saw everything", func() bool { return strings.Contains(content(log), hashTree(dir)) })
	s.settled(func() string { return content(log) })
	if n := count(log, "START"); n > 3 {
		t.Errorf("%d runs for 3 bursts", n)
	}
}

// Someone who never stops writing starves no rule and drives none: at least
// one run in two seconds, at most one a second.
func TestEndlessWriter(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": ""}), filepath.Join(t.TempDir(), "runs")
	start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0)...)...)
	began := now()
	every(t, 40*time.Millisecond, 200, func(i int) { write(t, filepath.Join(dir, "a.txt"), fmt.Sprint(i)) })
	seconds := float64(now()-began) / 1e9
	runs := count(log, "START")
	if least := int(seconds/2) - 1; runs < least {
		t.Errorf("%d runs in %.1f s of writing, want at least %d", runs, seconds, least)
	}
	if most := int(seconds) + 1; runs > most {
		t.Errorf("%d runs in %.1f s of writing, want at most %d", runs, seconds, most)
	}
}

// A log that is never closed is reacted to again and again all the same.
func TestLogThatIsNeverClosed(t *testing.T) {
	t.Parallel()
	dir, log := project(t, nil), filepath.Join(t.TempDir(), "runs")
	start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0)...)...)
	f, err := os.Create(filepath.Join(dir, "server.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; count(log, "START") < 2; i++ {
		every(t, 50*time.Millisecond, 1, func(int) { fmt.Fprintln(f, i) })
		if i > int(patience/(50*time.Millisecond)) {
			t.Fatalf("%d runs", count(log, "START"))
		}
	}
}

// An artefact that is written slowly, with pauses, is one run: after its close.
func TestSlowArtefact(t *testing.T) {
	t.Parallel()
	dir, log := project(t, nil), filepath.Join(t.TempDir(), "runs")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0)...)...)
	f, err := os.Create(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	every(t, 80*time.Millisecond, 11, func(i int) { fmt.Fprintln(f, i) })
	closing := now()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a run", func() bool { return count(log, "START") > 0 })
	s.settled(func() string { return content(log) })
	if starts := started(t, log); len(starts) != 1 || starts[0] < closing {
		t.Errorf("%d runs, the first %d ns after the close, want one after it", len(starts), starts[0]-closing)
	}
}

// A save in two writes, with the file open in between, is never seen by half.
func TestSaveInTwoWrites(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "begin end"}), filepath.Join(t.TempDir(), "runs")
	file := filepath.Join(dir, "a.txt")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0, "read="+file)...)...)
	for i := range 10 {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		every(t, 20*time.Millisecond, 1, func(int) { fmt.Fprint(f, "begin ") })
		fmt.Fprintf(f, "end %d", i)
		f.Close()
		eventually(t, "a run for the save", func() bool { return count(log, "START") > i })
		s.settled(func() string { return content(log) })
	}
	for i, e := range entries(log, "START") {
		if !strings.HasSuffix(e.text, fmt.Sprintf("begin end %d", i)) {
			t.Errorf("run %d saw %q", i, e.text)
		}
	}
}

// A file that is away for a moment is not missed by the run: nobody sees the gap.
func TestFileAwayForAMoment(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.txt": "0"}), filepath.Join(t.TempDir(), "runs")
	file := filepath.Join(dir, "a.txt")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0, "read="+file)...)...)
	for i := range 5 {
		if err := os.Rename(file, file+"~"); err != nil {
			t.Fatal(err)
		}
		every(t, 10*time.Millisecond, 1, func(int) {})
		write(t, file, fmt.Sprint(i))
		os.Remove(file + "~")
		eventually(t, "a run", func() bool { return count(log, "START") > i })
		s.settled(func() string { return content(log) })
	}
	for i, e := range entries(log, "START") {
		if !strings.HasSuffix(e.text, fmt.Sprintf(" %d", i)) {
			t.Errorf("run %d saw %q", i, e.text)
		}
	}
}

// A formatter that follows the save 60 ms later: at most two runs, and the last one sees what it made.
func TestFormatterAfterTheSave(t *testing.T) {
	t.Parallel()
	dir, log := project(t, map[string]string{"a.go": "0"}), filepath.Join(t.TempDir(), "runs")
	file := filepath.Join(dir, "a.go")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0, "read="+file)...)...)
	every(t, 60*time.Millisecond, 1, func(int) { write(t, file, "saved") })
	write(t, file, "formatted")
	eventually(t, "a run that sees the formatted file", func() bool { return strings.Contains(content(log), "formatted") })
	s.settled(func() string { return content(log) })
	if n := count(log, "START"); n > 2 {
		t.Errorf("%d runs, want at most 2", n)
	}
}
