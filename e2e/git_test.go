package e2e

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// forest is a task that logs the state of all files below the current folder
// when it starts: STATE and a hash. What a run saw is compared with what was there in the end.
func forest(log journal, _ options) int {
	log.add("START", os.Getenv("FLINCH_REASON"))
	log.add("STATE", hashTree("."))
	return 0
}

// hashTree is a hash of the names and contents of all files but git's own.
func hashTree(dir string) string {
	h := fnv.New64a()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s\x00%s\x00", rel, data)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", h.Sum64())
}

// operation is something that writes many files; it is one run, after its last write.
type operation struct{ name, prepare, script string }

// gitSetUp makes a repository whose branches one and two differ in all of its
// folders times files files; two is checked out.
const gitSetUp = `git init -q -b one . && git config user.email a@b && git config user.name n
	git config gc.auto 0 && git config advice.detachedHead false
	awk -v folders=%[1]d -v files=%[2]d '
		function commit(branch, from, text) {
			print "commit refs/heads/" branch "\ncommitter n <a@b> " ++day " +0000\ndata <<E\n" branch "\nE" from
			for (i = 1; i <= folders; i++) for (j = 1; j <= files; j++)
				print "M 644 inline d" i "/f" j ".txt\ndata <<E\n" text "\nE"
		}
		BEGIN { commit("one", "", "one"); commit("two", "\nfrom refs/heads/one", "two two") }' | git fast-import --quiet
	git checkout -q -f two`

// commits makes five commits on a branch of one's own that touch many files each.
const commits = `git checkout -q one && git checkout -qb topic
	for c in 1 2 3 4 5; do for i in 1 2 3 4 5; do echo topic $c > d$i/new$c.txt; done; git add . && git commit -qm "topic $c"; done
	git checkout -q one && echo x > base.txt && git add . && git commit -qm base && git checkout -q topic`

// Whatever git does to the files of the work tree is one run, and it sees the whole of it.
func TestGitIsOneRun(t *testing.T) {
	needs(t, "git")
	for _, op := range []operation{
		{"checkout of 2,400 files", fmt.Sprintf(gitSetUp, 100, 24), "git checkout -q one"},
		{"checkout of 20,000 files", fmt.Sprintf(gitSetUp, 1000, 20), "git checkout -q one"},
		{"switch back and forth", fmt.Sprintf(gitSetUp, 20, 20), "git checkout -q one && git checkout -q two && git checkout -q one"},
		{"rebase of five", fmt.Sprintf(gitSetUp, 20, 20) + "\n" + commits, "git rebase -q one"},
		{"stash and pop", fmt.Sprintf(gitSetUp, 20, 20) + "\nfor i in $(seq 20); do echo mine > d$i/f1.txt; done", "git stash -q && git stash pop -q"},
		{"merge", fmt.Sprintf(gitSetUp, 20, 20) + "\n" + commits, "git merge -q -m merged one && git merge -q -m other -s recursive -X theirs two"},
		{"bisect", fmt.Sprintf(gitSetUp, 20, 20) + "\n" + commits, "git bisect start -q && git bisect bad topic >/dev/null && git bisect good topic~5 >/dev/null"},
		{"pull", fmt.Sprintf(gitSetUp, 20, 20) + "\n" + commits + "\ngit clone -q --bare . ../up.git && git reset -q --hard topic~5", "git pull -q ../up.git topic"},
		{"reset --hard", fmt.Sprintf(gitSetUp, 20, 20), "git reset -q --hard one"},
		{"clean", fmt.Sprintf(gitSetUp, 20, 20) + "\nfor i in $(seq 20); do echo x > d$i/litter.txt; mkdir -p more$i; echo x > more$i/x.txt; done", "git clean -qfd"},
	} {
		t.Run(op.name, op.isOneRun)
	}
}

// isOneRun prepares, then does the operation under flinch.
func (op *operation) isOneRun(t *testing.T) {
	undisturbed(t, func() string { return op.attempt(t) })
}

func (op *operation) attempt(t *testing.T) (complaint string) {
	dir := filepath.Join(project(t, nil), "work")
	write(t, filepath.Join(dir, "seed.txt"), "seed")
	sh(t, dir, op.prepare)
	log := filepath.Join(t.TempDir(), "runs")
	s := start(t, dir, append([]string{"--no-start", "--"}, self(t, "forest", log)...)...)
	defer s.end(syscall.SIGTERM)
	sh(t, dir, op.script)
	want := hashTree(dir)
	eventually(t, "a run that saw what there is in the end", func() bool { return strings.Contains(content(log), "STATE") && strings.Contains(content(log), want) })
	s.settled(func() string { return content(log) })
	if n := count(log, "STATE"); n != 1 {
		return fmt.Sprintf("%d runs, want 1", n)
	}
	return ""
}
