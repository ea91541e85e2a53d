package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever a record holds, a replay ends, and writes nothing outside of its own folder.
func FuzzReplay(f *testing.F) {
	head := `{"v":1,"began":"2026-01-02T03:04:05Z","roots":["/x"],"config":{"dir":".","text":"[task.a]\nrun='true'\n"},"ignores":[{"root":0,"path":".gitignore","text":"out/"}]}` + "\n"
	f.Add(head + `{"at":5,"in":[{"path":"a.go","op":"write","type":"file","closed":true,"at":4}]}` + "\n" + `{"at":9000000,"out":[{"rule":"a","paths":["a.go"],"why":"quiet 5ms"}]}` + "\n")
	f.Add(head + `{"at":5,"ignore":{"root":0,"path":"../../x","text":"*"}}` + "\n")
	f.Add(head + `{"at":-5,"config":{"command":["x"],"flags":[{"Name":"-f","Key":"files","Values":["["]}]}}` + "\n")
	f.Add(head + `{"at":5,"in":[{"root":-1,"path":"a","op":"write","type":"file"}]}` + "\n")
	f.Fuzz(func(t *testing.T, record string) {
		dir := t.TempDir()
		t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
		for _, sub := range []string{"tmp", "out"} {
			if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(dir, "record")
		if err := os.WriteFile(file, []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		r := &replay{options: &options{stdio: stdio{null, &stdout{File: null}, null}}}
		_ = r.run(file) // an error is an answer
		for sub, want := range map[string]int{"tmp": 0, "out": 0, ".": 3} {
			if entries, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(entries) != want {
				t.Errorf("%s holds %v, %v", sub, entries, err)
			}
		}
	})
}
