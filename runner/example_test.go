package runner_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/flinch-run/flinch/runner"
	"github.com/flinch-run/flinch/runner/command"
	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
)

// Two rules, the second of which needs the first, are run once. Without Once, the
// waves of a watcher would make them run again.
func Example() {
	host, err := process.NewHost(process.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	printer := output.New(output.Options{Stdout: os.Stderr, Stderr: os.Stderr})
	defer printer.Close(time.Second)
	build, _ := command.Parse("true", "")
	test, _ := command.New([]string{"sh", "-c", "exit 3"})
	r := runner.New(runner.Options{
		Rules: []runner.Rule{
			{Name: "test", Command: test, Needs: []string{"build"}},
			{Name: "build", Command: build},
		},
		Host: runner.NewProcesses(runner.ProcessOptions{Host: host, Printer: printer}),
		Once: true,
		Events: func(e runner.Event) {
			if e.Kind == runner.EventOver {
				fmt.Println(e.Rule, e.Outcome, e.Exit)
			}
		},
	})
	res := r.Run(context.Background(), nil)
	fmt.Println("failed:", res.Failed().Name)
	// Output:
	// build succeeded 0
	// test failed 3
	// failed: test
}
