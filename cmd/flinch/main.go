// Command flinch runs your commands the moment your files change.
//
// main maps what happened to an exit status and ends by the signal that ended
// flinch; root.go has the command line; run.go shows the path of an event.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/runner/output"
	"github.com/flinch-run/flinch/runner/process"
)

// Exit statuses, as the contract with users and scripts has them.
const (
	exitOK       = 0
	exitFailed   = 1   // --once with a failed rule, explain of a path to which nothing reacts, no flinch to talk to
	exitUsage    = 2   // bad usage or config, a root that does not exist
	exitWatch    = 3   // the watch could not be set up or was lost for good
	exitTimeout  = 124 // wait --timeout ran out
	exitPipeGone = 141 // the reader of the output has gone
)

// stdio are the files that flinch reads and writes.
type stdio struct {
	in  *os.File
	out *stdout
	err *os.File
}

// stdout is standard output with the first error of a write to it, so that
// nobody takes a cut output for a whole one. Commands write to it, the printer
// of runs to its file.
type stdout struct {
	*os.File
	err error
}

// Write implements [io.Writer].
func (s *stdout) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// WriteString implements [io.StringWriter].
func (s *stdout) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

// whileRead is a context that ends when the reader of the output has gone, for
// commands that may have nothing to write for long. The function has to be called
// at the end.
func (s *stdout) whileRead(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := output.WatchReaders(cancel, s.File)
	return ctx, func() {
		stop()
		if cause := context.Cause(ctx); s.err == nil && errors.Is(cause, unix.EPIPE) {
			s.err = cause
		}
		cancel(nil)
	}
}

// outcome is what a command has come to if what it printed could not be written.
func (s *stdout) outcome(err error) error {
	var ended *signalled
	switch {
	case s.err == nil, errors.As(err, &ended):
		return err
	case errors.Is(s.err, unix.EPIPE), errors.Is(s.err, unix.ECONNRESET):
		return exit(exitPipeGone, nil)
	}
	return exit(exitFailed, s.err)
}

func main() {
	process.Guard()
	os.Exit(run(os.Args[1:], stdio{in: os.Stdin, out: &stdout{File: os.Stdout}, err: os.Stderr}))
}

// run executes one command line and returns its exit status.
func run(args []string, io stdio) int {
	cmd := newRoot(io)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.Background())
	return status(io.out.outcome(err), io.err)
}

// exitError is an error that knows the exit status it leads to. With a nil
// err nothing is printed: what was to be said has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit wraps err so that flinch ends with the given status.
func exit(code int, err error) error { return &exitError{code: code, err: err} }

// status prints err, with its hint on a second line, and returns the exit
// status it stands for: 2 unless the error knows better.
func status(err error, w io.Writer) int {
	if err == nil {
		return exitOK
	}
	var ended *signalled
	if errors.As(err, &ended) {
		return dieBy(ended.sig)
	}
	code := exitUsage
	var coded *exitError
	if errors.As(err, &coded) {
		code = coded.code
		err = coded.err
	}
	if err != nil {
		reportErrors(w, err)
	}
	return code
}

// printError writes "flinch: ERROR" and, where there is one, a "hint: ..." line.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "flinch: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}
