// Package convert writes a first flinch.toml: one that fits the project in a
// folder ([Init]), or one made of another tool's config ([From]). What it
// writes always parses; what could not be carried over stands in it as a
// comment and in the notes.
//
// It reads files of the folder only, starts nothing and writes nothing.
package convert

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flinch-run/flinch/config"
)

// Result is a config that was made.
type Result struct {
	TOML  []byte
	Notes []string // one sentence each: what was found, what was left out
}

// Tools lists the tools whose configs From reads.
func Tools() []string {
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = t.name
	}
	return names
}

// tool is another tool's config: where it may be and who reads it.
type tool struct {
	name  string
	files []string // the first that is there is read
	read  func(file string, data []byte, d *draft) error
}

var tools = []tool{
	{"air", []string{".air.toml", ".air.conf", "air.toml"}, readAir},
	{"modd", []string{"modd.conf"}, readModd},
	{"nodemon", []string{"nodemon.json", "package.json"}, readNodemon},
	{"reflex", []string{"reflex.conf", ".reflex.conf", ".reflex"}, readReflex},
}

// Error is a config of another tool that is not there or cannot be read.
type Error struct {
	Msg  string
	Help string
	Err  error
}

// Error names the tool or file and the reason.
func (e *Error) Error() string { return e.Msg }

// Hint is the way out, may be empty.
func (e *Error) Hint() string { return e.Help }

// Unwrap gives the cause, may be nil.
func (e *Error) Unwrap() error { return e.Err }

// From turns the config of another tool in dir into a flinch.toml. The error
// is an [*Error].
func From(name, dir string) (*Result, error) {
	at := slices.IndexFunc(tools, func(t tool) bool { return t.name == name })
	if at < 0 {
		return nil, &Error{Msg: fmt.Sprintf("unknown tool %q", name), Help: "it can be " + strings.Join(Tools(), ", ")}
	}
	for _, file := range tools[at].files {
		data, err := read(filepath.Join(dir, file))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, &Error{Msg: fmt.Sprintf("read %s: %v", filepath.Join(dir, file), err), Err: err}
		default:
			return convert(tools[at], file, data)
		}
	}
	return nil, &Error{
		Msg: fmt.Sprintf("no config of %s in %s (looked for %s)", name, dir, strings.Join(tools[at].files, ", ")),
		Err: fs.ErrNotExist, Help: "call it where that file is, or let flinch init look at the project itself",
	}
}

// convert makes a config of the bytes of another tool's.
func convert(t tool, file string, data []byte) (*Result, error) {
	d := &draft{}
	d.head("Written by flinch init --from " + t.name + " from " + file + ".")
	if err := t.read(file, data, d); err != nil {
		return nil, &Error{Msg: fmt.Sprintf("read %s: %v", file, err), Err: err}
	}
	if len(d.rules) == 0 {
		return nil, &Error{Msg: file + ": nothing in it that runs", Help: "flinch init without --from looks at the project itself"}
	}
	return d.checked(file)
}

// checked is the result, once more read by the one who has to read it.
func (d *draft) checked(source string) (*Result, error) {
	result := d.result()
	if _, err := config.Parse(config.FileName, result.TOML, config.Options{}); err != nil {
		return nil, &Error{Msg: fmt.Sprintf("%s: what comes of it is no valid config: %v", source, err), Err: err}
	}
	return result, nil
}

// maxFile bounds what is read of any one file.
const maxFile = 1 << 20

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile))
}
