package rule_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/flinch-run/flinch/rule"
)

// A rule alone: its globs and which folders it needs to be watched.
func ExampleRule() {
	r, err := rule.New(rule.Options{Files: rule.Patterns("src/**/*.go", "!**/*_test.go")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Match("src/a/b.go"), r.Match("src/a/b_test.go"), r.Prune("vendor"))
	fmt.Println(r.Explain("src/a/b_test.go", false).Text)
	// Output:
	// true false true
	// excluded by "!**/*_test.go"
}

// Many rules of a root, with its ignore files.
func ExampleSet() {
	root, err := os.MkdirTemp("", "rule")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	if err := os.WriteFile(filepath.Join(root, ".gitignore"), []byte("# built\n/dist/\n"), 0o666); err != nil {
		fmt.Println(err)
		return
	}
	var rules []*rule.Rule
	var named []string
	for _, files := range []string{"**/*.go", "**/*.{css,js}"} {
		r, err := rule.New(rule.Options{Files: rule.Patterns(files)})
		if err != nil {
			fmt.Println(err)
			return
		}
		rules, named = append(rules, r), append(named, r.Literals()...)
	}
	ignore, err := rule.NewIgnore(root, rule.IgnoreOptions{Gitignore: true, Defaults: true, Named: named})
	if err != nil {
		fmt.Println(err)
		return
	}
	set := rule.NewSet(rule.SetOptions{Rules: rules, Ignore: ignore})
	fmt.Println(set.Match(nil, "main.go", false), set.Match(nil, "web/app.js", false), set.Match(nil, "dist/app.js", false))
	fmt.Println(set.Prune("dist"), set.Explain("dist/app.js", false).Rules[1].Text)
	// Output:
	// [0] [1] []
	// true the folder dist is ignored by "/dist/" (.gitignore:2)
}
