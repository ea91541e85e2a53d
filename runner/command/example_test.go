package command_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/flinch-run/flinch/runner/command"
)

func ExampleCommand_Build() {
	root, err := os.MkdirTemp("", "example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(root)
	for _, name := range []string{"a.go", "-b.go"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			panic(err)
		}
	}
	changes := []command.Change{
		{Path: "a.go", Op: "write", Type: "file"},
		{Path: "-b.go", Op: "create", Type: "file"},
		{Path: "c.go", Op: "remove", Type: "file"},
	}
	for _, s := range []string{"gofmt -l {files}", "gofmt -l {files} | grep ."} {
		c, err := command.Parse(s, "sh")
		if err != nil {
			panic(err)
		}
		res, err := c.Build(command.Request{Root: root, Changes: changes})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%q\n", res.Argv)
		res.Close()
	}
	// Output:
	// ["gofmt" "-l" "./a.go" "./-b.go"]
	// ["sh" "-c" "gofmt -l \"$@\" | grep ." "sh" "./a.go" "./-b.go"]
}
