package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flinch-run/flinch/runner/process"
)

func TestMain(m *testing.M) {
	process.Guard()
	testscript.Main(m, map[string]func(){"flinch": main})
}

var only = flag.String("script", "", "run the scripts whose name has this text only")

// Each script in testdata/script is one behaviour of the command line, headed
// by a sentence that says it.
func TestScripts(t *testing.T) {
	params := testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition:           condition,
		Setup: func(env *testscript.Env) error {
			// A program with the race detector waits for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"eventually": eventually,
			"status":     exitStatus,
		},
	}
	if *only != "" {
		params.Dir = ""
		entries, err := os.ReadDir("testdata/script")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), *only) {
				params.Files = append(params.Files, "testdata/script/"+e.Name())
			}
		}
	}
	testscript.Run(t, params)
}

// condition knows [root] and [userns]: whether a new user namespace may be made.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Getuid() == 0, nil
	case "userns":
		return exec.Command("unshare", "-Ur", "true").Run() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// eventually FILE TEXT [COUNT]: waits until the file holds the text (so often).
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually FILE TEXT [COUNT]")
	}
	count := 1
	if len(args) == 3 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		count = n
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	file, data := ts.MkAbs(args[0]), []byte(nil)
	err := until(ctx, filepath.Dir(file), func() bool {
		data, _ = os.ReadFile(file)
		return strings.Count(string(data), args[1]) >= count
	})
	if err != nil {
		ts.Fatalf("%s does not hold %q %d times (%v):\n%s", args[0], args[1], count, err, data)
	}
}

// status N COMMAND...: runs a command, keeps its output in stdout and stderr
// files, and wants this exit status.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		text := err.Error()
		n, convErr := strconv.Atoi(strings.TrimPrefix(text, "exit status "))
		if convErr != nil {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = n
	}
	if got != want {
		ts.Fatalf("%v: exit status %d, want %d", args[1:], got, want)
	}
}
