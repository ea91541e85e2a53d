package watch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/flinch-run/flinch/watch"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	w, err := watch.New(ctx, watch.Options{
		Roots: []string{dir},
		Prune: func(_ int, dir string) bool { return filepath.Base(dir) == "node_modules" },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	// A folder that was made a moment ago is no blind spot.
	os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755)
	os.WriteFile(filepath.Join(dir, "a", "b", "file"), []byte("hello"), 0o644)
	os.MkdirAll(filepath.Join(dir, "node_modules", "left-pad"), 0o755)

	w.Mark(1) // comes back when all of the above has been handed over
	var changes watch.Set
	for done := false; !done; {
		batch, err := w.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range batch.Changes {
			changes.Add(c)
		}
		done = len(batch.Marks) > 0
	}
	for _, c := range changes.Changes() {
		fmt.Println(c.Op, c.Type, c.Path)
	}
	// Output:
	// create dir a
	// create dir a/b
	// create file a/b/file
}
