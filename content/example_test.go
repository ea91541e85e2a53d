package content_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/flinch-run/flinch/content"
)

// A formatter that has nothing to do writes the same bytes again.
func Example() {
	dir, err := os.MkdirTemp("", "content")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "a.go")
	rule := content.NewIndex(content.NewReader(content.Options{}), 0)

	save := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			panic(err)
		}
		same, known := rule.Same(file)
		fmt.Printf("same %v, known %v\n", same, known)
	}
	save("package a\n") // somebody's save: the rule runs
	save("package a\n") // the rule's own write while it runs: no news
	save("package b\n") // somebody's next save
	// Output:
	// same false, known false
	// same true, known true
	// same false, known true
}
