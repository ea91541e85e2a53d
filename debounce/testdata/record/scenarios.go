package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const goFile = "package a\n\nfunc  f( ) {\n}\n"

// scenarios are all that can be recorded.
func scenarios() []scenario {
	var all []scenario
	all = append(all, editors()...)
	all = append(all, saves()...)
	all = append(all, gits()...)
	all = append(all, storms()...)
	return append(all, writers()...)
}

func editors() []scenario {
	keys := func(name, version, edit, save string, argv ...string) scenario {
		return scenario{
			name: "save-" + name, needs: argv[0], version: version,
			prepare: func(s *scene) error {
				if err := s.write("a.go", goFile); err != nil {
					return err
				}
				if err := s.edit(argv[0], append(argv[1:], "a.go")...); err != nil {
					return err
				}
				return s.keys(edit)
			},
			act: func(s *scene) error {
				if err := s.keys(save); err != nil {
					return err
				}
				if text, _ := os.ReadFile(s.path("a.go")); !strings.Contains(string(text), "hello") {
					return errors.New("nothing was saved")
				}
				return nil
			},
		}
	}
	return []scenario{
		keys("vim", "vim --version", "Ohello\x1b", ":w\r", "vim", "-N", "-u", "DEFAULTS", "-i", "NONE"),
		keys("vim-copy", "vim --version", "Ohello\x1b", ":w\r", "vim", "-N", "-u", "DEFAULTS", "-i", "NONE", "-c", "set backupcopy=yes backup"),
		keys("nvim", "nvim --version", "Ohello\x1b", ":w\r", "nvim", "--clean", "-i", "NONE"),
		keys("emacs", "emacs --version", "", "hello\x18\x13", "emacs", "-nw", "-Q"),
		keys("nano", "nano --version", "", "hello\x13", "nano", "--ignorercfiles"),
		keys("nano-backup", "nano --version", "", "hello\x13", "nano", "--ignorercfiles", "-B"),
		keys("kak", "kak -version 2>&1", "ihello\x1b", ":w\r", "kak", "-n"),
		keys("micro", "micro -version", "", "hello\x13", "micro"),
		keys("mg", "", "", "hello\x18\x13", "mg"),
		keys("joe", "", "", "hello\x0bD\r", "joe"),
	}
}

func saves() []scenario {
	sh := func(name, needs, script string) scenario {
		return scenario{
			name: "save-" + name, needs: needs, version: needs + " --version",
			prepare: func(s *scene) error { return before(s) },
			act:     func(s *scene) error { return s.sh(script) },
		}
	}
	code := func(name string, act func(*scene) error) scenario {
		return scenario{name: "save-" + name, prepare: before, act: act}
	}
	return []scenario{
		sh("ed", "ed", `printf '1i\nhello\n.\nw\nq\n' | ed -s a.go`),
		sh("sed", "sed", `sed -i s/f/g/ a.go`),
		sh("perl", "perl", `perl -pi -e s/f/g/ a.go`),
		sh("perl-backup", "perl", `perl -pi.bak -e s/f/g/ a.go`),
		sh("gofmt", "gofmt", `gofmt -w a.go`),
		sh("patch", "patch", `patch -s -p0 < ../a.patch`),
		sh("cp", "cp", `cp ../b.go a.go`),
		sh("install", "install", `install -m 644 ../b.go a.go`),
		sh("rsync", "rsync", `rsync ../b.go a.go`),
		sh("echo", "", `echo hello > a.go`),
		sh("touch", "", `touch a.go`),
		sh("git-restore", "git", `git checkout -q -- a.go`),
		code("jetbrains", jetbrains),
		code("fsync-rename", func(s *scene) error { return replace(s, "a.go", "hello\n") }),
		code("in-place-fsync", func(s *scene) error {
			f, err := os.OpenFile(s.path("a.go"), os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.WriteString("hello\n"); err != nil {
				return err
			}
			return f.Sync()
		}),
	}
}

// before makes what the scenarios of one save work on.
func before(s *scene) error {
	diff := "--- a.go\n+++ a.go\n@@ -1,4 +1,4 @@\n package a\n \n-func  f( ) {\n+func  g( ) {\n }\n"
	for name, text := range map[string]string{"a.go": goFile, "../b.go": "package b\n", "../a.patch": diff} {
		if err := s.write(name, text); err != nil {
			return err
		}
	}
	return s.sh("git init -q; git add .; git commit -qm 1; echo >> a.go")
}

// jetbrains saves as the IDEs of that maker do.
func jetbrains(s *scene) error {
	if err := s.write("a.go___jb_tmp___", "hello\n"); err != nil {
		return err
	}
	if err := os.Rename(s.path("a.go"), s.path("a.go___jb_old___")); err != nil {
		return err
	}
	if err := os.Rename(s.path("a.go___jb_tmp___"), s.path("a.go")); err != nil {
		return err
	}
	return os.Remove(s.path("a.go___jb_old___"))
}

// replace saves the safe way: a synced file renamed over the old one.
func replace(s *scene, name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(s.path(name)), "tmp")
	if err != nil {
		return err
	}
	f.WriteString(text)
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(name))
}

func gits() []scenario {
	git := func(name, prepare, script string) scenario {
		return scenario{
			name: "git-" + name, needs: "git", version: "git --version",
			prepare: func(s *scene) error { return repository(s, prepare) },
			act:     func(s *scene) error { return s.sh(script) },
		}
	}
	step := func(branch, files string) string {
		return fmt.Sprintf("for f in %s; do echo %s >> $f; done; git commit -qam %s;", files, branch, branch)
	}
	var five strings.Builder
	for i := range 5 {
		five.WriteString(step(fmt.Sprint("mine", i), fmt.Sprintf("d%d/*", i)))
	}
	onTop := "git checkout -qb top;" + step("top", "d9/*") + "git checkout -qb mine main;" + five.String()
	return []scenario{
		git("checkout", "git checkout -qb other; "+step("other", "*/*")+" git checkout -q main", "git checkout -q other"),
		git("checkout-removes", "git checkout -qb other; git rm -rq d1* ; git commit -qm other; git checkout -q main", "git checkout -q other"),
		git("rebase", onTop, "git rebase -q top"),
		git("rebase-interactive", onTop, "GIT_SEQUENCE_EDITOR=true git rebase -qi top"),
		git("stash-pop", "for f in d1/* d2/*; do echo dirty >> $f; done", "git stash -q && git stash pop -q"),
		git("merge", "git checkout -qb other; "+step("other", "d1*/*")+" git checkout -q main; "+step("more", "d2*/*"), "git merge -q -m merge other"),
		git("pull", "git clone -q . ../origin; cd ../origin; "+step("theirs", "d1*/*")+" cd ../tree; git remote add origin ../origin; git config pull.ff only",
			"git pull -q origin main"),
		git("reset", "for f in d1*/*; do echo dirty >> $f; done", "git reset -q --hard"),
		git("cherry-pick", onTop+"git checkout -q top", "git cherry-pick main..mine >/dev/null"),
		git("bisect", five.String()+"echo > d0/f0.go; git commit -qam broken", "git bisect start main main~6; git bisect run grep -q line d0/f0.go; git bisect reset"),
		git("commit", "for f in d1/*; do echo dirty >> $f; done", "git commit -qam dirty"),
		git("status", "touch d1/*", "git status -s"),
	}
}

// repository makes 2,400 files in 60 folders, commits them on main and runs script.
func repository(s *scene, script string) error {
	for d := range 60 {
		for f := range 40 {
			if err := s.write(fmt.Sprintf("d%d/f%d.go", d, f), strings.Repeat(fmt.Sprintln("line of file", d, f), 40)); err != nil {
				return err
			}
		}
	}
	return s.sh("git init -q -b main; git config gc.auto 0; git config maintenance.auto false; git add .; git commit -qm first; " + script)
}

func storms() []scenario {
	sh := func(name, needs, prepare, script string) scenario {
		return scenario{
			name: name, needs: needs, version: needs + " --version",
			prepare: func(s *scene) error { return s.sh(prepare) },
			act:     func(s *scene) error { return s.sh(script) },
		}
	}
	tree := "mkdir -p ../src; cd ../src; for d in $(seq 100); do mkdir d$d; for f in $(seq 30); do seq 200 > d$d/f$f.go; done; done; cd ../tree;"
	many := "for f in $(seq 500); do seq 20 > f$f.go; done;"
	dozen := func(save func(*scene, string, string) error) func(*scene) error {
		return func(s *scene) error {
			for i := range 12 {
				if err := save(s, fmt.Sprintf("f%d.go", i), "hello\n"); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []scenario{
		{name: "save-all", prepare: dozen((*scene).write), act: dozen((*scene).write)},
		{name: "save-all-fsync", prepare: dozen((*scene).write), act: dozen(replace)},
		sh("tar", "tar", tree+"tar cf ../src.tar -C ../src .", "tar xf ../src.tar"),
		sh("cp-tree", "cp", tree, "cp -r ../src ."),
		sh("rsync-tree", "rsync", tree, "rsync -a ../src/ ."),
		sh("rm-tree", "", tree+"cp -r ../src .", "rm -r src"),
		sh("sed-500", "sed", many, "sed -i s/1/2/ *.go"),
		sh("sed-500-forks", "sed", many, "for f in *.go; do sed -i s/1/2/ $f; done"),
		sh("gofmt-tree", "gofmt", "for f in $(seq 60); do printf 'package a\n\nfunc  f( ) {\n}\n' > f$f.go; done", "gofmt -w ."),
		sh("npm", "npm", "echo '{\"name\":\"a\",\"version\":\"1.0.0\"}' > package.json", "npm install --no-audit --no-fund express@4.21.2 >/dev/null"),
		sh("go-build", "go", `printf 'module a\n\ngo 1.26\n' > go.mod; printf 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":0", nil) }\n' > main.go
			GOCACHE=$HOME/cache go build -o ../warm .; mkdir bin`, `GOCACHE=$HOME/cache go build -o bin/app .`),
	}
}

func writers() []scenario {
	code := func(name string, act func(*scene) error) scenario {
		return scenario{name: name, prepare: func(s *scene) error { return s.write("a.go", goFile) }, act: act}
	}
	return []scenario{
		code("150-files", func(s *scene) error {
			return every(10300*time.Microsecond, 150, func(i int) error { return s.write(fmt.Sprintf("f%d.go", i), "hello\n") })
		}),
		code("endless", func(s *scene) error {
			return every(40*time.Millisecond, 200, func(int) error { return s.write("a.go", "hello\n") })
		}),
		code("endless-open", func(s *scene) error {
			return open(s, "a.go", func(f *os.File) error {
				return every(40*time.Millisecond, 200, func(int) error { _, err := f.WriteString("hello\n"); return err })
			})
		}),
		code("artefact", func(s *scene) error {
			return open(s, "app", func(f *os.File) error {
				return every(80*time.Millisecond, 12, func(int) error { _, err := f.WriteString("hello\n"); return err })
			})
		}),
		code("artefact-30MB", func(s *scene) error {
			return open(s, "app", func(f *os.File) error {
				return every(time.Millisecond, 480, func(int) error { _, err := f.Write(make([]byte, 64<<10)); return err })
			})
		}),
		code("slow-save", func(s *scene) error {
			return open(s, "a.go", func(f *os.File) error {
				return every(20*time.Millisecond, 2, func(int) error { _, err := f.WriteString("hello\n"); return err })
			})
		}),
		code("formatter", func(s *scene) error {
			return every(60*time.Millisecond, 2, func(int) error { return s.write("a.go", "hello\n") })
		}),
		code("ten-saves", func(s *scene) error {
			return every(350*time.Millisecond, 10, func(int) error { return s.write("a.go", "hello\n") })
		}),
		code("slow-tool", func(s *scene) error { // a formatter of a tree, a file in 25 ms
			return every(25*time.Millisecond, 60, func(i int) error { return s.write(fmt.Sprintf("f%d.go", i), "hello\n") })
		}),
	}
}

// every calls f n times, the first time at once.
func every(pause time.Duration, n int, f func(i int) error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range n {
		if i > 0 {
			<-tick.C
		}
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// open calls f with a truncated file.
func open(s *scene, name string, f func(*os.File) error) error {
	file, err := os.Create(s.path(name))
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}
