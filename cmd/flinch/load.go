package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/runner/command"
)

// notYet are keys that this version knows and cannot do.
var notYet = []string{"proxy"}

// load reads the config that the command line asks for: the file, or what
// stands after --. Its errors have exit status 2.
func (o *options) load(args []string, adHoc bool) (*config.Config, error) {
	if adHoc {
		return o.loadAdHoc(args)
	}
	if o.service {
		return nil, exit(exitUsage, errors.New("--service: is for a command without a config file; write a [service.NAME] table instead"))
	}
	path := o.config
	if path == "" {
		found, err := config.Find(".")
		if err != nil {
			return nil, exit(exitUsage, err)
		}
		path = fromHere(found)
	}
	return o.loadFile(path)
}

// loadFile reads a config file, and the flags that go before it.
func (o *options) loadFile(path string) (*config.Config, error) {
	opt := o.configOptions()
	opt.Flags = o.flags
	cfg, err := config.Load(path, opt)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return cfg, nil
}

// fromHere is a path as a user in the current folder would write it.
func fromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil {
		return path
	}
	return rel
}

func (o *options) configOptions() config.Options {
	return config.Options{Glob: checkGlob, Ignore: checkIgnore, Run: checkRun, NotYet: notYet}
}

func (o *options) loadAdHoc(args []string) (*config.Config, error) {
	if o.config != "" {
		return nil, exit(exitUsage, errors.New("--config: a command after -- needs no config file; leave one of the two out"))
	}
	cfg, err := config.AdHoc(config.Invocation{Dir: ".", Command: args, Service: o.service, Flags: o.flags}, o.configOptions())
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return cfg, nil
}

// checkGlob says what is wrong with one element of files.
func checkGlob(text string) error {
	_, err := rule.New(rule.Options{Files: rule.Patterns(text)})
	return patternProblem(err)
}

// checkIgnore says what is wrong with one element of ignore.
func checkIgnore(text string) error {
	_, err := rule.New(rule.Options{Ignore: rule.Patterns(text)})
	return patternProblem(err)
}

func patternProblem(err error) error {
	var wrong *rule.Error
	if !errors.As(err, &wrong) {
		return err
	}
	return &config.Problem{Msg: wrong.Msg, Char: wrong.Char, Help: wrong.Hint()}
}

// checkRun says what is wrong with a command.
func checkRun(c config.Command, shell string) error {
	_, err := compileCommand(c, shell)
	var wrong *command.Error
	if !errors.As(err, &wrong) {
		return err
	}
	return &config.Problem{Msg: wrong.Msg, Elem: max(wrong.Elem, 0), Char: wrong.Pos + 1, Help: wrong.Hint()}
}

// compileCommand makes of what the config says what the runner starts.
func compileCommand(c config.Command, shell string) (command.Command, error) {
	if c.Argv != nil {
		return command.New(c.Argv)
	}
	return command.Parse(c.Line, shell)
}

// oneLine makes a text fit for a log line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
