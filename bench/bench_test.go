// Package bench measures flinch beside its peers in the same run. Peers that
// are not on the PATH are left out. Nothing here asserts a time.
//
//	go test -run '^$' -bench . -benchtime 1x ./bench
//	go test -run '^$' -bench SaveToStart -benchtime 1x ./bench -saves 500
//	go test -run '^$' -bench . -benchtime 1x -short ./bench
//	TMPDIR=/dev/shm go test -run '^$' -bench Storm -benchtime 1x ./bench
//
// The last in memory: where files were removed a moment ago, ext4 is long in finding free inodes, and a storm that lasts
// longer costs everybody more who watches it. A save on a disk may wait for its journal, too: SaveToStart tells beside the
// figures how long the saves themselves took, which no tool can help.
package bench

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The programs of the benchmarks, built once by TestMain: flinch, the tiny static command whose first instructions read
// the clock, and a small server.
var flinchPath, stampPath, serverPath string

// How much is measured. With -short it is little: enough to see that it works.
var (
	saves   = flag.Int("saves", 100, "saves that are measured, each alone")
	folders = flag.Int("folders", 10_000, "folders of the big tree")
	idle    = flag.Duration("idle", 30*time.Second, "how long an idle flinch is watched")
)

// amount is a measure, or a small one with -short.
func amount[T any](full, short T) T {
	if testing.Short() {
		return short
	}
	return full
}

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "flinch-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	flinchPath, stampPath, serverPath = filepath.Join(dir, "flinch"), filepath.Join(dir, "stamp"), filepath.Join(dir, "server")
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// stampSource writes CLOCK_MONOTONIC, read first, to the FIFO in its argument.
const stampSource = `
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	long long ns = t.tv_sec * 1000000000LL + t.tv_nsec;
	int fd = open(argv[1], O_WRONLY);
	return fd < 0 || write(fd, &ns, sizeof ns) != sizeof ns;
}
`

// stampFallback is the same in Go, for machines without a C compiler.
const stampFallback = `package main

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"
)

func main() {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	f, err := os.OpenFile(os.Args[1], os.O_WRONLY, 0)
	if err != nil {
		os.Exit(1)
	}
	binary.Write(f, binary.NativeEndian, ts.Nano())
}
`

func build(dir string) error {
	flinch := []string{"go", "build", "-trimpath", "-ldflags=-s -w", "-o", flinchPath, "github.com/flinch-run/flinch/cmd/flinch"}
	if err := compile(flinch...); err != nil {
		return err
	}
	if err := compileSource(dir, "server.go", serverSource, "go", "build", "-ldflags=-s -w", "-o", serverPath); err != nil {
		return err
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		return compileSource(dir, "stamp.c", stampSource, "gcc", "-O2", "-static", "-o", stampPath)
	}
	return compileSource(dir, "stamp.go", stampFallback, "go", "build", "-o", stampPath)
}

func compileSource(dir, name, source string, command ...string) error {
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		return err
	}
	return compile(append(command, file)...)
}

func compile(command ...string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}

// now is CLOCK_MONOTONIC in nanoseconds, the same for all processes.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}

// starts is the FIFO on which each started command reports its first instruction.
type starts struct {
	path string
	file *os.File
}

func newStarts(b *testing.B) *starts {
	path := filepath.Join(b.TempDir(), "starts")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return &starts{path: path, file: f}
}

// next waits for a start, at most for d, and returns its time.
func (s *starts) next(d time.Duration) (int64, error) {
	buf := make([]byte, 8)
	if err := s.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(s.file, buf); err != nil {
		return 0, err
	}
	return int64(binary.NativeEndian.Uint64(buf)), nil
}

// drain waits until no start has come for d, and counts those that came.
func (s *starts) drain(d time.Duration) (n int) {
	for {
		if _, err := s.next(d); err != nil {
			return n
		}
		n++
	}
}

// peer is a tool under test: how it is told to run command when the files
// below dir change.
type peer struct {
	name string
	args func(dir string, command ...string) *exec.Cmd
	rest time.Duration // between two saves, for each to be a lone one to this tool; 0: lone
}

// peers are the tools that run a task.
func peers() []peer {
	return []peer{
		{name: "flinch", args: flinch()},
		{name: "flinch-leading", args: flinch("--settle", "leading"), rest: 1100 * time.Millisecond}, // it leads after a second of rest
		{name: "entr", args: script(`find . -type f | exec entr -n "$@"`)},
		{name: "reflex", args: script(`exec reflex -- "$@"`)},
		{name: "wgo", args: script(`exec wgo -file . "$@"`)},
		{name: "watchexec", args: script(`exec watchexec -- "$@"`)},
		{name: "nodemon", args: script(`exec nodemon -q --ext go --exec "$*"`)},
	}
}

// keepers are the tools that keep a server running.
func keepers() []peer {
	return []peer{
		{name: "flinch", args: flinch("--service")},
		{name: "entr", args: script(`find . -type f | exec entr -rn "$@"`)},
		{name: "reflex", args: script(`exec reflex -s -- "$@"`)},
	}
}

func script(text string) func(string, ...string) *exec.Cmd {
	return func(dir string, command ...string) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{"-c", text, "sh"}, command...)...)
		cmd.Dir = dir
		return cmd
	}
}

func flinch(flags ...string) func(string, ...string) *exec.Cmd {
	return func(dir string, command ...string) *exec.Cmd {
		cmd := exec.Command(flinchPath, slices.Concat([]string{"-q"}, flags, []string{"--"}, command)...)
		cmd.Dir = dir
		return cmd
	}
}

// each runs a benchmark for each tool that is there.
func each(b *testing.B, tools []peer, bench func(*testing.B, peer)) {
	for _, p := range tools {
		b.Run(p.name, func(b *testing.B) {
			base, _, _ := strings.Cut(p.name, "-")
			if _, err := exec.LookPath(base); err != nil && base != "flinch" {
				b.Skipf("%s is not installed", base)
			}
			bench(b, p)
		})
	}
}

// tree makes a project of n folders with two files each and returns it with the file that is saved.
func tree(b *testing.B, n int) (dir, file string) {
	dir = b.TempDir()
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i/100), fmt.Sprintf("p%d", i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for _, f := range []string{"a.go", "b.go"} {
			if err := os.WriteFile(filepath.Join(sub, f), []byte("package p\n"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		file = filepath.Join(sub, "a.go")
	}
	return dir, file
}

// startPeer starts a tool in its own process group; stop kills the group.
func startPeer(b *testing.B, cmd *exec.Cmd) (stop func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

// report adds the median and the 99th percentile, in milliseconds, and the number of samples.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	if len(took) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(took[len(took)/2]), "ms-median")
	b.ReportMetric(milliseconds(took[len(took)*99/100]), "ms-p99")
	b.ReportMetric(float64(len(took)), "samples")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
