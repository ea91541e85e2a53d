package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/flinch-run/flinch/watch/inotify"
)

// until waits until ok says so: it asks at first, and again whenever something
// happens in the folder, which need not exist yet.
func until(ctx context.Context, dir string, ok func() bool) error {
	conn, err := inotify.Init()
	if err != nil {
		return err
	}
	defer conn.Close()
	const mask = inotify.Create | inotify.MovedTo | inotify.Modify | inotify.CloseWrite | inotify.Attrib | inotify.Delete | inotify.DeleteSelf
	for at := ""; ; {
		if now := existing(dir); now != at { // nothing is missed: it is asked after the watch stands
			at = now
			if _, err := conn.Add(at, mask); err != nil && !os.IsNotExist(err) {
				return err
			}
			continue
		}
		if ok() {
			return nil
		}
		if _, err := conn.ReadContext(ctx, nil); err != nil {
			return err
		}
	}
}

// existing is dir, or the nearest folder above that is there.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// What comes into a folder that comes itself is seen.
func TestUntil(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a", "b", "c")
	asked := make(chan struct{}, 1)
	go func() {
		<-asked
		_ = os.MkdirAll(filepath.Dir(file), 0o755)
		_ = os.WriteFile(file, []byte("x"), 0o644)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := until(ctx, filepath.Dir(file), func() bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		data, _ := os.ReadFile(file)
		return string(data) == "x"
	})
	if err != nil {
		t.Error(err)
	}
}
