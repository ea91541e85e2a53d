package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A replay of a random session decides what the session decided, although the
// session's folder has changed since.
func TestReplayDecidesTheSame(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { replaySession(t, seed) })
	}
}

func replaySession(t *testing.T, seed uint64) {
	record := filepath.Join(t.TempDir(), "record")
	toml := `
ignore = ["*.log"]
[task.go]
files = ["**/*.go", "!**/*_gen.go"]
run = "true"
[task.all]
files = ["**"]
settle = "20ms"
run = "true"
[task.after]
files = ["a/**"]
needs = ["go"]
on = "create,rename"
run = "true"
`
	r := &running{t: t, dir: t.TempDir(), errLog: filepath.Join(t.TempDir(), "err"), args: []string{"--record", record}}
	t.Setenv("XDG_RUNTIME_DIR", privateDir(t))
	write(t, filepath.Join(r.dir, "flinch.toml"), toml)
	write(t, filepath.Join(r.dir, ".gitignore"), "out/\n")
	r.start()
	disturb(t, r, rand.New(rand.NewPCG(seed, 1)))
	if _, err := r.client.Wait(t.Context(), nil, patience); err != nil {
		t.Fatal(err)
	}
	if err := stopAll(t.Context(), r.client); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	out, err := replayIt(t, record)
	if err != nil {
		t.Fatalf("replay: %v\n%s", err, out)
	}
	if n := strings.Count(out, "\n"); n < 10 {
		t.Errorf("only %d decisions:\n%s", n, out)
	}
	tamper(t, record)
	if out, err := replayIt(t, record); err == nil {
		t.Errorf("a record without its first decision is replayed as if it were whole:\n%s", out)
	}
}

func replayIt(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("flinch", append([]string{"replay"}, args...)...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// disturb changes files at random, with pauses around those that flinch waits.
func disturb(t *testing.T, r *running, rng *rand.Rand) {
	t.Helper()
	names := []string{"x.go", "y_gen.go", "a/z.go", "a/b/c.txt", "out/o.go", "n.log", "d.txt", ".gitignore"}
	for i := range 120 {
		path := filepath.Join(r.dir, names[rng.IntN(len(names))])
		switch {
		case rng.IntN(5) == 0:
			_ = os.Rename(path, filepath.Join(r.dir, fmt.Sprintf("moved%d.go", rng.IntN(4))))
		case rng.IntN(6) == 0:
			_ = os.RemoveAll(path)
		case filepath.Base(path) == ".gitignore":
			write(t, path, []string{"out/\n", "*.txt\n", "a/\n"}[rng.IntN(3)])
		default:
			write(t, path, fmt.Sprint(i))
		}
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(40 * time.Millisecond))))
		}
	}
}

// tamper takes out of a record what led to its first decision.
func tamper(t *testing.T, record string) {
	t.Helper()
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	var first recordLine
	for i := 0; first.Out == nil; i++ {
		if err := json.Unmarshal(lines[i], &first); err != nil {
			t.Fatal(err)
		}
	}
	path, err := json.Marshal(first.Out[0].Paths[0])
	if err != nil {
		t.Fatal(err)
	}
	lines = slices.DeleteFunc(lines, func(line []byte) bool {
		return bytes.Contains(line, []byte(`"in":`)) && bytes.Contains(line, append([]byte(`"path":`), path...))
	})
	if err := os.WriteFile(record, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}
