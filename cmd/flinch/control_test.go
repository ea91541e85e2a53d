package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flinch-run/flinch/control"
)

const patience = 30 * time.Second

// running is a flinch in a process of its own, with a client.
type running struct {
	t      *testing.T
	dir    string
	args   []string
	cmd    *exec.Cmd
	errLog string
	client *control.Client
}

// runFlinch starts flinch in a new folder with this config, and waits until its
// socket answers.
func runFlinch(t *testing.T, toml string, files ...string) *running {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", privateDir(t))
	write(t, filepath.Join(dir, "flinch.toml"), toml)
	for i := 0; i+1 < len(files); i += 2 {
		write(t, filepath.Join(dir, files[i]), files[i+1])
	}
	r := &running{t: t, dir: dir, errLog: filepath.Join(privateDir(t), "err")}
	r.start()
	return r
}

func (r *running) start() {
	r.t.Helper()
	log, err := os.Create(r.errLog)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.cmd = exec.Command("flinch", r.args...) // testscript puts this test binary there under that name
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, log, log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.cmd.Wait() }()
	r.t.Cleanup(func() {
		_ = r.cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = r.cmd.Process.Kill()
			<-ended
			r.t.Error("flinch did not end")
		}
		if r.t.Failed() {
			r.t.Log(r.log())
		}
	})
	r.client = r.connect(ended)
}

// connect waits for the socket.
func (r *running) connect(ended <-chan struct{}) (c *control.Client) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := until(ctx, filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "flinch"), func() (served bool) {
		var err error
		if c, err = control.Find(r.dir); err == nil && c.PID == r.cmd.Process.Pid {
			_, err = c.Status(ctx)
			served = err == nil
		}
		return served
	})
	if err != nil {
		r.t.Fatalf("no socket (%v): %s", err, r.log())
	}
	r.t.Cleanup(c.Close)
	return c
}

func (r *running) log() string {
	data, _ := os.ReadFile(r.errLog)
	return string(data)
}

func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A verdict is never that of an older state, whatever the moment of the edit: as
// soon as the wait is over, the last run has seen the last edit.
func TestWaitIsNeverEarly(t *testing.T) {
	edits := 150
	if !testing.Short() && os.Getenv("FLINCH_LONG") != "" {
		edits = 1000
	}
	r := runFlinch(t, `
[task.copy]
files = ["in"]
run = ["cp", "in", "out"]
[task.judge]
files = ["never"]
needs = ["copy"]
run = "! grep -q bad out"
`, "in", "0\n")
	rng := rand.New(rand.NewPCG(6, uint64(edits)))
	for i := range edits {
		text := fmt.Sprintf("%d good\n", i)
		if rng.IntN(3) == 0 {
			text = fmt.Sprintf("%d bad\n", i)
		}
		pause(rng)
		r.edit(rng, text)
		v, err := r.client.Wait(t.Context(), nil, patience)
		if err != nil {
			t.Fatalf("edit %d: %v", i, err)
		}
		if got, _ := os.ReadFile(filepath.Join(r.dir, "out")); string(got) != text {
			t.Fatalf("edit %d: the verdict is about %q, want %q", i, got, text)
		}
		if want := !strings.Contains(text, "bad"); v.Green != want {
			t.Fatalf("edit %d: green is %v, want %v for %q: %+v", i, v.Green, want, text, v.Rules)
		}
	}
}

// pause is a delay that the edit falls into at random: none, or around those
// that flinch itself waits.
func pause(rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond))))
	}
}

// edit writes the input in one of the ways that editors have.
func (r *running) edit(rng *rand.Rand, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, "in")
	if rng.IntN(2) == 0 {
		write(r.t, path, text)
		return
	}
	write(r.t, path+".tmp", text)
	if err := os.Rename(path+".tmp", path); err != nil {
		r.t.Fatal(err)
	}
}

// A thousand clients at once are all answered, and flinch still works.
func TestThousandClients(t *testing.T) {
	r := runFlinch(t, "[task.a]\nfiles = [\"in\"]\nrun = \"cp in out\"\n", "in", "1")
	var all sync.WaitGroup
	errs := make(chan error, 1000)
	start := make(chan struct{})
	for range 1000 {
		all.Go(func() {
			c := control.NewClient(r.client.Place)
			defer c.Close()
			<-start
			s, err := c.Status(t.Context())
			if err == nil && len(s.Rules) != 1 {
				err = fmt.Errorf("status has %d rules", len(s.Rules))
			}
			errs <- err
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	t.Logf("1000 clients in %v", time.Since(began))
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(r.dir, "in"), "2")
	if v, err := r.client.Wait(t.Context(), nil, patience); err != nil || !v.Green {
		t.Errorf("wait: %+v, %v", v, err)
	}
}

// A client that follows the events and reads none does not hold up a run; one
// that is merely slow is told how many it has missed.
func TestFollowerThatReadsNothing(t *testing.T) {
	r := runFlinch(t, "[task.noise]\nfiles = [\"in\"]\nrun = \"seq 200000\"\n", "in", "1")
	if _, err := r.client.Wait(t.Context(), nil, patience); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", r.client.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	slow := make(chan control.Event, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan struct{})
	var once sync.Once
	go func() {
		_ = r.client.Follow(ctx, 0, func(e control.Event) error {
			once.Do(func() { close(begun) })
			if e.Kind == "missed" {
				slow <- e
				return context.Canceled
			}
			time.Sleep(time.Millisecond) // it is the slow one
			return nil
		})
	}()
	<-begun
	write(t, filepath.Join(r.dir, "in"), "2")
	began := time.Now()
	v, err := r.client.Wait(t.Context(), nil, patience)
	if err != nil || !v.Green {
		t.Fatalf("wait: %+v, %v", v, err)
	}
	t.Logf("a run of 200000 lines beside a deaf client took %v", time.Since(began))
	select {
	case e := <-slow:
		if e.Missed == 0 {
			t.Errorf("missed: got %+v", e)
		}
	case <-time.After(patience):
		t.Error("the slow client was not told what it missed")
	}
}

// The end of the output of a failed run is remembered, however much there was.
func TestTailOfALongOutput(t *testing.T) {
	r := runFlinch(t, "[task.noise]\nfiles = [\"in\"]\nrun = \"seq 300000; echo the end; exit 3\"\n", "in", "1")
	v, err := r.client.Wait(t.Context(), nil, patience)
	if err != nil || v.Green {
		t.Fatalf("wait: %+v, %v", v, err)
	}
	tail := v.Rules[0].Tail
	if len(tail) != tailLines || tail[len(tail)-1] != "the end" || tail[0] != "299982" {
		t.Errorf("tail: got %q", tail)
	}
	out, err := r.client.Output(t.Context(), v.Rules[0].Last.Run)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, l := range out.Lines {
		size += len(l.Text) + 1
	}
	whole := 0
	for i := 1; i <= 300000; i++ {
		whole += len(fmt.Sprint(i)) + 1
	}
	whole += len("the end\n")
	if size > outputMax || int64(size)+out.Missed != int64(whole) {
		t.Errorf("%d bytes remembered and %d missed, want %d in all", size, out.Missed, whole)
	}
}

// What nobody wants is remembered with its reason.
func TestSilenceHasAReason(t *testing.T) {
	r := runFlinch(t, "[task.a]\nfiles = [\"*.go\", \"!x.go\"]\nrun = \"true\"\n", "a.go", "1", "sub/b.txt", "1")
	if _, err := r.client.Wait(t.Context(), nil, patience); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.dir, "x.go"), "1")
	if _, err := r.client.Wait(t.Context(), nil, patience); err != nil {
		t.Fatal(err)
	}
	batches, err := r.client.Batches(t.Context()) // whoever has waited for a change finds it there
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if b.Batch == 0 && len(b.Changes) == 1 && b.Changes[0].Path == "x.go" && strings.Contains(b.Changes[0].Why, "!x.go") {
			return
		}
	}
	t.Errorf("batches: %+v", batches)
}
