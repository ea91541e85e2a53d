package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var howMany = flag.Int("saves", 32, "saves of TestSaves")

// Every way to save a file is one run that starts after the last write of it. Only where the machine held up the writer in
// the middle of a save may it be two.
func TestSaves(t *testing.T) {
	dir, log := project(t, map[string]string{"src/f": "0", "src/g": "0"}), filepath.Join(t.TempDir(), "log")
	s := start(t, dir, append([]string{"--no-start", "--"}, stamp(t, log, 0)...)...)
	random := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(dir, "src/f")
	runs := 0
	for i := range *howMany {
		kind := saveKinds[random.IntN(len(saveKinds))]
		began := now()
		if err := kind.save(path, fmt.Sprintln("text", i)); err != nil {
			t.Fatal(err)
		}
		last := now()
		eventually(t, "a run after: "+kind.name, func() bool { starts := started(t, log); return len(starts) > runs && starts[len(starts)-1] > last })
		every(t, time.Duration(100+random.IntN(300))*time.Millisecond, 1, func(int) {})
		starts := started(t, log)
		if held := time.Duration(last-began) - kind.takes; held < 3*time.Millisecond && len(starts) != runs+1 {
			t.Fatalf("%s: %d runs too many", kind.name, len(starts)-runs-1)
		}
		runs = len(starts)
	}
	s.settled(func() string { return content(log) })
	if n := count(log, "START"); n != runs {
		t.Errorf("%d runs after the last save", n-runs)
	}
}

var saveKinds = []struct {
	name  string
	takes time.Duration // its pauses
	save  func(path, text string) error
}{
	{"truncate and write", 0, func(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }},
	{"write over it", 0, func(path, text string) error { return pieces(path, os.O_WRONLY, 0, text) }},
	{"append", 0, func(path, text string) error { return pieces(path, os.O_WRONLY|os.O_APPEND, 0, text) }},
	{"pieces", 16 * time.Millisecond, func(path, text string) error {
		return pieces(path, os.O_WRONLY|os.O_TRUNC, 8*time.Millisecond, text, text, text)
	}},
	{"slow pieces", 25 * time.Millisecond, func(path, text string) error {
		return pieces(path, os.O_WRONLY|os.O_TRUNC, 25*time.Millisecond, text, text)
	}},
	{"a new file over it", 0, func(path, text string) error {
		return first(os.WriteFile(path+".tmp", []byte(text), 0o644), os.Rename(path+".tmp", path))
	}},
	{"a backup, then a new file", 0, func(path, text string) error {
		return first(os.Rename(path, path+"~"), os.WriteFile(path, []byte(text), 0o644), os.Remove(path+"~"))
	}},
	{"a backup copy that stays", 0, func(path, text string) error {
		return first(os.WriteFile(path+".bak", []byte(text), 0o644), os.WriteFile(path, []byte(text), 0o644))
	}},
	{"removed and made again", 0, func(path, text string) error {
		return first(os.Remove(path), os.WriteFile(path, []byte(text), 0o644))
	}},
	{"written, then its mode set", 0, func(path, text string) error {
		return first(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o600), os.Chmod(path, 0o644))
	}},
	{"written, then its time set", 0, func(path, text string) error {
		return first(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, time.Now(), time.Now()))
	}},
	{"in a new folder", 0, func(path, text string) error {
		deep := filepath.Join(filepath.Dir(path), fmt.Sprint("new", now()), "a", "b")
		return first(os.MkdirAll(deep, 0o755), os.WriteFile(filepath.Join(deep, "f"), []byte(text), 0o644))
	}},
	{"two files", 0, func(path, text string) error {
		return first(os.WriteFile(path, []byte(text), 0o644), os.WriteFile(filepath.Join(filepath.Dir(path), "g"), []byte(text), 0o644))
	}},
	{"mapped or sparse: grown first", 0, func(path, text string) error {
		return first(os.Truncate(path, 4096), pieces(path, os.O_WRONLY, 0, text), os.Truncate(path, int64(len(text))))
	}},
}

// pieces writes with pauses between.
func pieces(path string, how int, pause time.Duration, texts ...string) error {
	f, err := os.OpenFile(path, how, 0o644)
	if err != nil {
		return err
	}
	for i, text := range texts {
		if i > 0 && pause > 0 {
			<-time.After(pause)
		}
		if _, err := f.WriteString(text); err != nil {
			return err
		}
	}
	return f.Close()
}

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
