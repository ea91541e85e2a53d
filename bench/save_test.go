// Package bench measures flinch beside its peers in the same run. Peers that
// are not on the PATH are left out. Nothing here asserts a time.
package bench

import (
	"encoding/binary"
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

// flinchPath is the binary under test, built once by TestMain; stampPath the
// tiny static command whose first instructions read the clock.
var flinchPath, stampPath string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "flinch-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	flinchPath, stampPath = filepath.Join(dir, "flinch"), filepath.Join(dir, "stamp")
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
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", flinchPath, "github.com/flinch-run/flinch/cmd/flinch")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build flinch: %w\n%s", err, out)
	}
	name, source, compile := "stamp.go", stampFallback, []string{"go", "build", "-o", stampPath}
	if _, err := exec.LookPath("gcc"); err == nil {
		name, source, compile = "stamp.c", stampSource, []string{"gcc", "-O2", "-static", "-o", stampPath}
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		return err
	}
	if out, err := exec.Command(compile[0], append(compile[1:], file)...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
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
	var ns int64
	buf := make([]byte, 8)
	if err := s.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(s.file, buf); err != nil {
		return 0, err
	}
	ns = int64(binary.NativeEndian.Uint64(buf))
	return ns, nil
}

// drain waits until no start has come for d.
func (s *starts) drain(d time.Duration) int {
	n := 0
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
}

func peers() []peer {
	sh := func(script string) func(string, ...string) *exec.Cmd {
		return func(dir string, command ...string) *exec.Cmd {
			cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, command...)...)
			cmd.Dir = dir
			return cmd
		}
	}
	flinch := func(flags ...string) func(string, ...string) *exec.Cmd {
		return func(dir string, command ...string) *exec.Cmd {
			cmd := exec.Command(flinchPath, slices.Concat([]string{"-q"}, flags, []string{"--"}, command)...)
			cmd.Dir = dir
			return cmd
		}
	}
	return []peer{
		{"flinch", flinch()},
		{"flinch-leading", flinch("--settle", "leading")},
		{"entr", sh(`find . -type f | exec entr -n "$@"`)},
		{"reflex", sh(`exec reflex -s=false -- "$@"`)},
		{"wgo", sh(`exec wgo -file . "$@"`)},
		{"watchexec", sh(`exec watchexec -- "$@"`)},
		{"nodemon", sh(`exec nodemon -q --ext go --exec "$*"`)},
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

// BenchmarkSaveToStart is the time from a save (before its first system call)
// to the first instruction of the command, 100 folders, default settings.
func BenchmarkSaveToStart(b *testing.B) {
	for _, p := range peers() {
		b.Run(p.name, func(b *testing.B) { saveToStart(b, p) })
	}
}

func saveToStart(b *testing.B, p peer) {
	base, _, _ := strings.Cut(p.name, "-")
	if _, err := exec.LookPath(base); err != nil && base != "flinch" {
		b.Skipf("%s is not installed", base)
	}
	dir, file := tree(b, 100)
	s := newStarts(b)
	stop := startPeer(b, p.args(dir, stampPath, s.path))
	defer stop()
	s.drain(2 * time.Second)
	var took []time.Duration
	for b.Loop() {
		began := now()
		if err := os.WriteFile(file, fmt.Appendf(nil, "package p // %d\n", began), 0o644); err != nil {
			b.Fatal(err)
		}
		at, err := s.next(10 * time.Second)
		if err != nil {
			b.Fatalf("%s: no run after a save: %v", p.name, err)
		}
		took = append(took, time.Duration(at-began))
		b.StopTimer()
		s.drain(300 * time.Millisecond)
		b.StartTimer()
	}
	report(b, took)
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
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(took[len(took)/2]), "ms/median")
	b.ReportMetric(ms(took[len(took)*99/100]), "ms/p99")
	b.ReportMetric(float64(len(took)), "saves")
}
