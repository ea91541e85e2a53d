package watch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkUntar is the CPU time that watching costs while files are unpacked, and what "inotifywait -m -r" takes for the
// same, where it is installed.
func BenchmarkUntar(b *testing.B) {
	dir := b.TempDir()
	files := stormFiles()
	tar := pack(b, dir, files)
	for b.Loop() {
		b.ReportMetric(watchUntar(b, dir, tar, files).Seconds()*1000, "cpu-ms")
		if _, err := exec.LookPath("inotifywait"); err == nil {
			b.ReportMetric(inotifywaitUntar(b, dir, tar).Seconds()*1000, "inotifywait-cpu-ms")
		}
	}
}

// pack packs files into a tar.
func pack(b *testing.B, dir string, files int) string {
	b.Helper()
	for i := range files {
		if i%50 == 0 {
			if err := os.MkdirAll(fmt.Sprintf("%s/src/%d/%d", dir, i/2500, i/50), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/src/%d/%d/file%d.c", dir, i/2500, i/50, i), []byte("int x;\n"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	run(b, "tar", "-C", dir, "-cf", dir+"/src.tar", "src")
	return dir + "/src.tar"
}

func run(b *testing.B, argv ...string) {
	b.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

func watchUntar(b *testing.B, dir, tar string, files int) time.Duration {
	root := filepath.Join(dir, "root")
	run(b, "rm", "-rf", root)
	if err := os.Mkdir(root, 0o755); err != nil {
		b.Fatal(err)
	}
	w, err := New(b.Context(), Options{Roots: []string{root}})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	var net Set
	done := make(chan error)
	go func() {
		for {
			batch, err := w.Next(b.Context())
			for _, c := range batch.Changes {
				net.Add(c)
			}
			if err != nil || len(batch.Marks) > 0 {
				done <- err
				return
			}
		}
	}()
	before := usage(b, unix.RUSAGE_SELF)
	run(b, "tar", "-C", root, "-xf", tar)
	w.Mark(1)
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	took := usage(b, unix.RUSAGE_SELF) - before
	created := 0
	for _, c := range net.Changes() {
		if c.Op == Create && c.Type == File {
			created++
		}
	}
	if created != files {
		b.Fatalf("%d files, want %d", created, files)
	}
	return took
}

func usage(b *testing.B, who int) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func inotifywaitUntar(b *testing.B, dir, tar string) time.Duration {
	root := filepath.Join(dir, "root")
	run(b, "rm", "-rf", root)
	if err := os.Mkdir(root, 0o755); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("inotifywait", "-m", "-r", "-q", "-o", dir+"/log", root)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	inotify := func() bool {
		data, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/wchan")
		return !strings.Contains(string(data), "inotify_read") && len(data) > 1
	}
	for i := 0; inotify() && i < 1e6; i++ { // until it waits for events
	}
	run(b, "tar", "-C", root, "-xf", tar)
	run(b, "touch", root+"/the-last")
	for !strings.Contains(tail(b, dir+"/log"), "the-last") { // until it has read all
		time.Sleep(time.Millisecond)
	}
	cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// tail is the end of a file.
func tail(b *testing.B, name string) string {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 4096)
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	n, _ := f.ReadAt(buf, max(0, st.Size()-int64(len(buf))))
	return string(buf[:n])
}

// stormFiles is 5,000, or WATCH_STORM_FILES.
func stormFiles() int {
	if n, err := strconv.Atoi(os.Getenv("WATCH_STORM_FILES")); err == nil {
		return n
	}
	return 5000
}
