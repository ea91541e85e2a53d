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

// A branch switch that changes two thousand files is one run, after the last write.
func TestCheckoutIsOneRun(t *testing.T) {
	needs(t, "git")
	dir := project(t, nil)
	sh(t, dir, `git init -q . && git config user.email a@b && git config user.name n
		for i in $(seq 100); do mkdir -p d$i; for j in $(seq 20); do echo one > d$i/f$j.txt; done; done
		git add . && git commit -qm one && git checkout -qb two
		for i in $(seq 100); do for j in $(seq 20); do echo two two > d$i/f$j.txt; done; done
		git commit -qam two`)
	log := filepath.Join(t.TempDir(), "runs")
	state := filepath.Join(t.TempDir(), "state")
	start(t, dir, "--no-start", "--", "sh", "-c", fmt.Sprintf(
		`echo START >>%s; cat d*/*.txt | sort | uniq -c >%s; ls .git/index.lock >>%s 2>/dev/null; echo END >>%s`, log, state, state, log))
	for i, branch := range []string{"master", "two", "master"} {
		sh(t, dir, `git checkout -q "$1" 2>/dev/null || git checkout -q main`, branch)
		eventually(t, "the run of the checkout", func() bool { return strings.Count(content(log), "END") > i })
		quiet(t, func() string { return content(log) })
		if n := strings.Count(content(log), "START"); n != i+1 {
			t.Fatalf("%d runs after %d checkouts", n, i+1)
		}
		if lines := strings.Count(content(state), "\n"); lines != 1 {
			t.Errorf("the run saw a half-written tree:\n%s", content(state))
		}
	}
}

// However an editor saves, a save is one run.
func TestOneSaveIsOneRun(t *testing.T) {
	saves := []struct {
		name, program, script string
	}{
		{"shell", "sh", `echo "$2" > "$1"`},
		{"append", "sh", `echo "$2" >> "$1"`},
		{"touch", "touch", `touch "$1"`},
		{"atomic rename", "mv", `echo "$2" > "$1.tmp" && mv "$1.tmp" "$1"`},
		{"backup, then rename", "mv", `cp "$1" "$1~" && echo "$2" > new && mv new "$1" && rm "$1~"`},
		{"away and back, as JetBrains", "mv", `echo "$2" > "$1___jb_tmp___" && mv "$1" "$1___jb_old___" && mv "$1___jb_tmp___" "$1" && rm "$1___jb_old___"`},
		{"copy", "cp", `echo "$2" > ../other-"$$" && cp ../other-"$$" "$1" && rm ../other-"$$"`},
		{"sed -i", "sed", `sed -i "s/.*/$2/" "$1"`},
		{"perl -i", "perl", `perl -pi -e "s/.*/$2/" "$1"`},
		{"vim", "vim", `vim -u NONE -N -n -es -c "%s/.*/$2/" -c wq "$1" </dev/null`},
		{"vim with backup and swap", "vim", `vim -u NONE -N -es -c "set backup writebackup swapfile backupcopy=no" -c "%s/.*/$2/" -c wq "$1" </dev/null`},
		{"vim with backupcopy", "vim", `vim -u NONE -N -es -c "set writebackup backupcopy=yes" -c "%s/.*/$2/" -c wq "$1" </dev/null`},
		{"neovim", "nvim", `nvim --headless -u NONE -c "%s/.*/$2/" -c wq "$1" </dev/null >/dev/null 2>&1`},
		{"emacs", "emacs", `emacs --batch -Q "$1" --eval "(progn (erase-buffer) (insert \"$2\n\") (save-buffer))" >/dev/null 2>&1`},
		{"nano", "nano", `printf '%s' "$2" > /dev/null; script -qec "nano -Q x $1" /dev/null </dev/null >/dev/null 2>&1; ex -sc "%s/.*/$2/|x" "$1"`},
		{"ed", "ed", `printf '%s\n' "1s/.*/$2/" w q | ed -s "$1" >/dev/null`},
		{"kakoune", "kak", `kak -n -ui dummy -e "execute-keys '%c$2<ret><esc>'; write; quit" "$1" </dev/null >/dev/null 2>&1`},
		{"rsync", "rsync", `mkdir -p ../r-$$ && echo "$2" > "../r-$$/$1" && rsync -a --checksum "../r-$$/$1" "$1" && rm -r ../r-$$`},
		{"patch", "patch", `cp "$1" ../old-$$ && echo "$2" > ../new-$$; (diff -u ../old-$$ ../new-$$ || true) | patch -s "$1"; rm ../old-$$ ../new-$$`},
	}
	for _, save := range saves {
		t.Run(save.name, func(t *testing.T) {
			needs(t, save.program)
			dir := project(t, map[string]string{"work/main.go": "package main\n"})
			work := filepath.Join(dir, "work")
			log := filepath.Join(t.TempDir(), "runs")
			start(t, work, append([]string{"--no-start", "-e", "go", "--"}, stamp(t, log, 0)...)...)
			for i := range 3 {
				before := len(started(t, log))
				sh(t, work, save.script, "main.go", fmt.Sprintf("package main // %d", i))
				eventually(t, "a run for the save", func() bool { return len(started(t, log)) > before })
				quiet(t, func() string { return content(log) })
				if got := len(started(t, log)) - before; got != 1 {
					t.Fatalf("save %d: %d runs, want 1", i+1, got)
				}
			}
		})
	}
}

// Nothing runs for what is ignored, and a run for what is not.
func TestGitignoredFilesAreSilent(t *testing.T) {
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
