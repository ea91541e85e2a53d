package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkLaunch is the time from the launch to ready on a big tree, and the peak of the memory there.
func BenchmarkLaunch(b *testing.B) {
	dir, _ := tree(b, amount(*folders, 500))
	b.Run("flinch", func(b *testing.B) {
		launch(b, "ready", exec.Command(flinchPath, "--no-start", "-w", dir, "--", "true"))
	})
	b.Run("inotifywait", func(b *testing.B) {
		if _, err := exec.LookPath("inotifywait"); err != nil {
			b.Skip("inotifywait is not installed")
		}
		launch(b, "established", exec.Command("inotifywait", "-mr", dir))
	})
}

func launch(b *testing.B, word string, cmd *exec.Cmd) {
	var took []time.Duration
	var peak float64
	for b.Loop() {
		for range amount(10, 2) {
			again := *cmd
			lap, stop := launched(b, word, &again)
			took = append(took, lap)
			peak = max(peak, status(b, again.Process.Pid, "VmHWM:"))
			stop()
		}
	}
	report(b, took)
	b.ReportMetric(peak/1024, "MB-peak")
}

// launched starts a tool and waits for a word on its standard error.
func launched(b *testing.B, word string, cmd *exec.Cmd) (took time.Duration, stop func()) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	stop = startPeer(b, cmd)
	words := bufio.NewScanner(stderr)
	for words.Scan() {
		if strings.Contains(words.Text(), word) {
			took = time.Since(began)
			go io.Copy(io.Discard, stderr)
			return took, stop
		}
	}
	b.Fatalf("no %q: %v", word, words.Err())
	return 0, nil
}

// status is a number from /proc/PID/status.
func status(b *testing.B, pid int, name string) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), name)
	n, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return n
}

// BenchmarkIdle counts how often an idle flinch and its guardian wake up, and their processor time, on a big tree with nothing going on.
func BenchmarkIdle(b *testing.B) {
	dir, _ := tree(b, amount(*folders, 500))
	_, stop := launched(b, "ready", exec.Command(flinchPath, "--service", "-w", dir, "--", "sleep", "1000"))
	defer stop()
	for b.Loop() {
		time.Sleep(amount(10*time.Second, 2*time.Second)) // until what follows the start is over
		wakes, busy := ofFlinch(b)
		time.Sleep(amount(*idle, time.Second))
		wakesAfter, busyAfter := ofFlinch(b)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(wakesAfter-wakes, "wakeups")
		b.ReportMetric(milliseconds(busyAfter-busy), "ms-cpu")
	}
}

// ofFlinch are the context switches and the processor time of all threads of all flinches that run the binary under test.
func ofFlinch(b *testing.B) (switches float64, busy time.Duration) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range exes {
		if target, _ := os.Readlink(link); target != flinchPath {
			continue
		}
		tasks, _ := filepath.Glob(filepath.Join(filepath.Dir(link), "task/*/status"))
		for _, task := range tasks {
			data, _ := os.ReadFile(task)
			for _, name := range []string{"\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_switches:"} {
				_, rest, _ := bytes.Cut(data, []byte(name))
				n, _ := strconv.ParseFloat(string(bytes.Fields(append(rest, " 0"...))[0]), 64)
				switches += n
			}
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		busy += processorTime(b, pid)
	}
	return switches, busy
}

// processorTime is what a process has used so far, without its children.
func processorTime(b *testing.B, pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on all of Linux
}

// storm is something that writes many files.
type storm struct{ name, prepare, script string }

func storms() []storm {
	folders, untarred := amount(1000, 50), amount(1500, 50)
	return []storm{
		{"checkout", fmt.Sprintf(`git init -q -b one . && git config gc.auto 0 && git config advice.detachedHead false
			awk -v folders=%d '
				function commit(branch, from, text) {
					print "commit refs/heads/" branch "\ncommitter n <a@b> " ++day " +0000\ndata <<E\n" branch "\nE" from
					for (i = 1; i <= folders; i++) for (j = 1; j <= 20; j++)
						print "M 644 inline d" i "/f" j ".txt\ndata <<E\n" text "\nE"
				}
				BEGIN { commit("one", "", "one"); commit("two", "\nfrom refs/heads/one", "two two") }' | git fast-import --quiet
			git checkout -q -f two`, folders), "git checkout -q one"},
		{"untar", fmt.Sprintf(`mkdir ../t && cd ../t && for i in $(seq %d); do mkdir -p p/d$i; for j in $(seq 20); do echo $i.$j > p/d$i/f$j; done; done
			tar cf ../t.tar p`, untarred), "tar xf ../t.tar"},
	}
}

// BenchmarkStorm is the processor time that a tool itself uses for a checkout of 20,000 files in 1,000 folders, and for the untar of 30,000.
func BenchmarkStorm(b *testing.B) {
	for _, s := range storms() {
		b.Run(s.name, func(b *testing.B) {
			each(b, []peer{peers()[0], {name: "reflex", args: script(`exec reflex -- "$@"`)}}, func(b *testing.B, p peer) { s.measure(b, p) })
		})
	}
}

func (s *storm) measure(b *testing.B, p peer) {
	var busy time.Duration
	n := 0
	for b.Loop() {
		busy += s.cost(b, p)
		n++
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(busy)/float64(n), "ms-cpu")
}

func (s *storm) cost(b *testing.B, p peer) time.Duration {
	dir := filepath.Join(b.TempDir(), "work")
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	shell(b, dir, s.prepare)
	starts := newStarts(b)
	cmd := p.args(dir, stampPath, starts.path)
	stop := startPeer(b, cmd)
	defer stop()
	starts.drain(amount(3*time.Second, time.Second))
	before := processorTime(b, cmd.Process.Pid)
	shell(b, dir, s.script)
	if n := starts.drain(amount(3*time.Second, time.Second)); n == 0 {
		b.Fatal("no run")
	}
	return processorTime(b, cmd.Process.Pid) - before
}

func shell(b *testing.B, dir, text string) {
	cmd := exec.Command("sh", "-ec", text)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", text, err, out)
	}
}

// BenchmarkBinary is the size of the binary.
func BenchmarkBinary(b *testing.B) {
	info, err := os.Stat(flinchPath)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.ReportMetric(0, "ns/op")
	}
	b.ReportMetric(float64(info.Size())/(1<<20), "MB")
}
