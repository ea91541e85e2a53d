package process

import (
	"encoding/binary"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// compile builds a C program of testdata, statically.
func compile(b testing.TB, name string) string {
	b.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		b.Skip("no C compiler")
	}
	out := b.TempDir() + "/" + name
	if text, err := exec.Command(cc, "-O2", "-static", "-pthread", "-o", out, "testdata/"+name+".c").CombinedOutput(); err != nil {
		b.Skipf("compile: %v\n%s", err, text)
	}
	return out
}

func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

// stamp reads when a program of the test was at its first instructions.
func stamp(b testing.TB, r *os.File) int64 {
	var buf [8]byte
	if n, err := r.Read(buf[:]); n != len(buf) || err != nil {
		b.Fatal(n, err)
	}
	return int64(binary.NativeEndian.Uint64(buf[:]))
}

func report(b *testing.B, took []int64, name string) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e3, name+"p50-µs")
	b.ReportMetric(float64(took[len(took)*9/10])/1e3, name+"p90-µs")
}

// drain takes events until a run is over.
func drain(h *Host, tree *Tree) {
	for e := range h.Events() {
		if e.Kind == Over && e.Tree == tree {
			return
		}
	}
}

// BenchmarkStart is the time from the decision to the first instruction of the program, beside that of a bare vfork and exec
// in C in the same run.
func BenchmarkStart(b *testing.B) {
	for name, opt := range map[string]Options{"plain": {NoCgroup: true}, "cgroup": {}} {
		b.Run(name, func(b *testing.B) {
			prog, floor := compile(b, "stamp"), compile(b, "vfork")
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			var ours, bare []int64
			for range 10 {
				bare = append(bare, floors(b, floor, prog)...)
				ours = append(ours, starts(b, opt, Spec{Argv: []string{prog}, Stdout: w}, r)...)
			}
			report(b, ours, "")
			report(b, bare, "vfork-")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// pace is how long a developer would at least pause between two saves: long enough for caches to cool a little and for
// what is done while idle to be done.
const pace = 15 * time.Millisecond

func starts(b *testing.B, opt Options, spec Spec, r *os.File) (took []int64) {
	h, err := NewHost(opt)
	if err != nil {
		b.Fatal(err)
	}
	defer closeHost(b, h)
	for range 50 {
		time.Sleep(pace)
		began := monotonic()
		tree, err := h.Start(spec)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, stamp(b, r)-began)
		drain(h, tree)
	}
	return took
}

func floors(b *testing.B, floor, prog string) (took []int64) {
	text, err := exec.Command(floor, prog, "50").Output()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, ns)
	}
	return took
}

// BenchmarkRestart is the time from the decision to kill a server to the first instruction of the next.
func BenchmarkRestart(b *testing.B) {
	for name, opt := range map[string]Options{"plain": {NoCgroup: true}, "cgroup": {}, "guardian": {Guardian: true}} {
		b.Run(name, func(b *testing.B) {
			prog := compile(b, "stamp")
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			h := newTestHost(b, opt)
			spec := Spec{Argv: []string{prog, "wait"}, Stdout: w}
			var took, stopped []int64
			tree := start(b, h, spec)
			stamp(b, r)
			for range 300 {
				time.Sleep(pace)
				began := monotonic()
				tree.Stop(unix.SIGTERM, time.Second)
				drain(h, tree)
				over := monotonic()
				tree = start(b, h, spec)
				took = append(took, stamp(b, r)-began)
				stopped = append(stopped, over-began)
			}
			report(b, took, "")
			report(b, stopped, "stop-")
			b.ReportMetric(0, "ns/op")
		})
	}
}
