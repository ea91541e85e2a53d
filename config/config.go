// Package config reads flinch.toml, or the flags of the ad hoc form, into a
// Config: typed, checked, with every default filled in.
//
// All that is wrong with a file is reported at once, each as an [*Error] with
// its line and column, the source line, the nearest valid name and a hint.
// Nothing is corrected silently: a value is right or it is an error.
//
// One table, [Keys], says which keys there are, where they may stand, their
// defaults and their meaning; the parser, the flags, the JSON schema and the
// near-miss names are made from it.
//
// The package knows nothing of globs or ignore patterns: their checks are
// handed in ([Options]), or made afterwards with [Config.Errorf] and the
// places that a Config keeps. It starts no goroutine and writes no file.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// FileName is the config's name in a project.
const FileName = "flinch.toml"

// Config is what flinch.toml or the flags say.
type Config struct {
	Path string // the file as it was named; empty: ad hoc
	Dir  string // the folder that relative paths start from; absolute for Load and AdHoc

	Roots          []string // never empty
	Ignore         []string // gitignore patterns for every root
	Gitignore      bool
	DefaultIgnores bool
	Follow         bool
	Backend        Backend
	Poll           time.Duration // > 0
	WaitRoots      bool
	Jobs           int   // tasks at once, >= 1
	History        int   // runs whose output is remembered, >= 0
	Env            []Var // of every rule, in file order

	Rules []*Rule // in file order

	at  places
	doc *document // nil for the ad hoc form
}

// Backend is how changes are seen.
type Backend uint8

// The choices of backend.
const (
	BackendAuto Backend = iota
	BackendInotify
	BackendFanotify
	BackendPoll
)

// String is the text that gives this Backend.
func (b Backend) String() string { return backendNames[b] }

var backendNames = []string{"auto", "inotify", "fanotify", "poll"}

// Options change how a config is read. The zero Options are fine.
type Options struct {
	// Glob and Ignore check one element of files, one of ignore, and Run a
	// command with the shell of its rule; nil: not checked. Where the error is
	// or wraps a [*Problem] the caret stands at its place; one with Hint()
	// string brings its hint.
	Glob, Ignore func(string) error
	Run          func(c Command, shell string) error
	// NotYet names keys that this version knows but cannot do: using one is
	// an error that says so.
	NotYet []string
	// Flags are laid over the file: they win over its global keys and over
	// those of its rules. Only keys that may stand globally are allowed.
	Flags []Flag
}

// Problem is what a check of [Options] says about a text.
type Problem struct {
	Msg  string // what is wrong; the key is put before it
	Elem int    // which word of a command's array, from 0
	Char int    // at which character of the text, from 1; 0: all of it
	Help string // what to do, may be empty
}

// Error is the message.
func (p *Problem) Error() string { return p.Msg }

// Hint says what to do.
func (p *Problem) Hint() string { return p.Help }

// Find looks for flinch.toml in dir, then upwards, and gives its path. Where
// there is none the error is a [*FileError] that is fs.ErrNotExist.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", &FileError{Path: dir, Err: err, Msg: fmt.Sprintf("look for %s in %s: %v", FileName, dir, err)}
	}
	for at := start; ; at = filepath.Dir(at) {
		path := filepath.Join(at, FileName)
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", unreadable(path, err)
		case at == filepath.Dir(at):
			return "", &FileError{Path: start, Err: fs.ErrNotExist,
				Msg:  fmt.Sprintf("no %s in %s or above", FileName, start),
				Help: wayOut}
		}
	}
}

const wayOut = "write one with: flinch init; or run one command without it: flinch -- COMMAND"

// Load reads the config at path. The error is a [*FileError] where the file
// cannot be read, else [Errors].
func Load(path string, opt Options) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return parse(path, filepath.Dir(abs), data, opt)
}

// Parse reads a config from memory; name is its path for errors, and its
// folder is the Config's Dir. The error is of type [Errors].
func Parse(name string, data []byte, opt Options) (*Config, error) {
	return parse(name, filepath.Dir(name), data, opt)
}

// read is os.ReadFile with a bound, so that -c /dev/zero ends.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxSize+1))
}

// unreadable says why a file cannot be read, and what to do.
func unreadable(path string, err error) error {
	cause := err
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		cause = pathErr.Err
	}
	e := &FileError{Path: path, Err: cause}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Help = wayOut
	case errors.Is(err, fs.ErrPermission):
		e.Help = "look at: ls -ld " + path
	}
	return e
}

// Abs makes a path of the config absolute: relative ones start from its
// folder.
func (c *Config) Abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.Dir, path)
}

// Rule finds a rule by name, or gives nil.
func (c *Config) Rule(name string) *Rule {
	at := slices.IndexFunc(c.Rules, func(r *Rule) bool { return r.Name == name })
	if at < 0 {
		return nil
	}
	return c.Rules[at]
}

// Names lists the rules in file order.
func (c *Config) Names() []string {
	names := make([]string, len(c.Rules))
	for i, r := range c.Rules {
		names[i] = r.Name
	}
	return names
}

// Nearest is the rule's name that a misspelt one most likely means, or "".
func (c *Config) Nearest(name string) string { return nearest(name, c.Names()) }

// Pos is where a global key stands; with an index, where that element of its
// array stands. A key of an inner table is written "env.PORT". What nobody
// set has the zero Pos.
func (c *Config) Pos(key string, index ...int) Pos { return c.at.find(key, index...) }

// Errorf makes an error of this config for a check made elsewhere: of a root
// that is not there, say. A %w is kept, and its Hint() becomes the hint.
func (c *Config) Errorf(pos Pos, format string, args ...any) *Error {
	cause := fmt.Errorf(format, args...)
	e := &Error{File: c.Path, Pos: pos, Msg: cause.Error(), Err: errors.Unwrap(cause), Help: hintOf(cause)}
	if c.doc != nil {
		e.Line = c.doc.line(pos.Line)
	}
	return e
}

// hintOf finds the hint of an error or of one that it wraps.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Sorted puts errors of one config into file order, as Load gives them, and
// drops nil; nil where none is left.
func Sorted(list []*Error) error {
	list = slices.DeleteFunc(slices.Clone(list), func(e *Error) bool { return e == nil })
	if len(list) == 0 {
		return nil
	}
	sortErrors(list)
	return Errors(list)
}
