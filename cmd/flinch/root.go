package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flinch-run/flinch/config"
)

// options are the flags that all commands share, and those of a run.
type options struct {
	stdio
	config    string // -c
	logFormat string
	quiet     bool
	verbose   bool
	color     string

	version bool
	once    bool
	record  string   // the file to record to
	words   []string // the command after --
	service bool
	flags   []config.Flag // flags that stand for a key of the config, in the order given
}

const longHelp = `flinch runs your commands the moment your files change.

  flinch                        run the rules of flinch.toml
  flinch -- go test ./...       run one command now and after each change
  flinch -s -e py -- ./app.py   keep a server running, restart it on change
  flinch init                   write a flinch.toml that fits this project

Everything after -- is the command, untouched: several words are executed as
they are, a single word with spaces or shell syntax is run by the shell.
{files}, {dirs} and {file} in it stand for what has changed.`

// newRoot is the whole command line.
func newRoot(files stdio) *cobra.Command {
	o := &options{stdio: files}
	root := &cobra.Command{
		Use:           "flinch [flags] [-- COMMAND [ARG...]]",
		Short:         "run commands the moment files change",
		Long:          longHelp,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, args []string) error { return o.runRoot(cmd, args) },

		PersistentPreRunE: func(*cobra.Command, []string) error { return o.checkCommon() },
	}
	root.SetHelpCommand(helpCommand())
	root.SetIn(files.in)
	root.SetOut(files.out)
	root.SetErr(files.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	o.commonFlags(root.PersistentFlags())
	o.runFlags(root.Flags())
	root.AddCommand(o.checkCommand(), o.initCommand(), o.eventsCommand(), o.explainCommand(),
		o.schemaCommand(), o.versionCommand(), completionCommand())
	root.AddCommand(o.controlCommands()...)
	root.AddCommand(o.doctorCommand(), o.recordCommand(), o.replayCommand())
	root.AddCommand(laterCommands()...)
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}

func (o *options) commonFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.config, "config", "c", "", "config `FILE` (default: flinch.toml here or above)")
	f.StringVar(&o.logFormat, "log-format", "text", "flinch's own words as `text|json|logfmt`")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say only what went wrong")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say also what was seen and what nothing reacted to")
	f.StringVar(&o.color, "color", "auto", "`auto|always|never`; NO_COLOR is obeyed")
}

// checkCommon finds what is wrong with the flags that all commands share, also where
// a command has no use for them.
func (o *options) checkCommon() error {
	if _, err := o.colored(o.out); err != nil {
		return err
	}
	_, err := o.logger(io.Discard)
	return err
}

func (o *options) runFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	o.watchFlags(f)
	o.keyFlags(f, ruleFlags)
	f.BoolVarP(&o.service, "service", "s", false, "keep COMMAND running; restart it on change")
	f.BoolVar(&o.version, "version", false, "print the version")
	f.BoolVar(&o.once, "once", false, "run every rule once in dependency order, stop the services, exit")
	f.StringVar(&o.record, "record", "", "write what is seen and decided to `FILE`, for flinch replay")
}

// watchFlags are the flags that say what is seen; commands that watch share them.
func (o *options) watchFlags(f *pflag.FlagSet) {
	o.keyFlags(f, seeFlags)
	f.VarP(&keyFlag{o: o, name: "--ext", key: "files", convert: config.Ext}, "ext", "e", "react to files with these `EXTENSIONS`, such as go,html")
}

// flagSpec ties a flag to the key of the config that means the same.
type flagSpec struct {
	name, short, key, usage string
	off                     bool // the flag takes no value and sets the key to false
	on                      bool // the flag takes no value and sets the key to true
}

var seeFlags = []flagSpec{
	{name: "root", short: "w", key: "roots", usage: "watch `DIR`, or one FILE (repeatable; default: the current folder)"},
	{name: "files", short: "f", key: "files", usage: "react to these: `GLOB` with **, a leading ! excludes (repeatable)"},
	{name: "ignore", short: "i", key: "ignore", usage: "ignore `PATTERN`, in gitignore syntax (repeatable)"},
	{name: "no-gitignore", key: "gitignore", off: true, usage: "do not read .gitignore and its like"},
	{name: "no-default-ignores", key: "default_ignores", off: true, usage: "see VCS folders and editors' litter too"},
	{name: "follow", key: "follow", on: true, usage: "follow symlinked folders"},
	{name: "wait-roots", key: "wait_roots", on: true, usage: "wait for roots that do not exist yet"},
	{name: "backend", key: "backend", usage: "how changes are seen: `auto|inotify|fanotify|poll`"},
	{name: "poll", key: "poll", usage: "shortest interval of polling, a `DURATION` (default 250ms)"},
}

var ruleFlags = []flagSpec{
	{name: "on", key: "on", usage: "`KINDS` of change that count (default create,write,remove,rename; also attrib)"},
	{name: "busy", key: "busy", usage: "a change while it runs: `queue|restart|skip|signal:SIG` (default queue; service: restart)"},
	{name: "settle", key: "settle", usage: "quiet time that ends a batch: `auto|leading|DURATION`"},
	{name: "max-wait", key: "max_wait", usage: "longest wait under endless writing, a `DURATION` (default 2s)"},
	{name: "no-start", key: "at_start", off: true, usage: "do not run before the first change"},
	{name: "content", key: "content", usage: "identical bytes are no change: `auto|always|never`"},
	{name: "each", key: "each", on: true, usage: "one run for each changed file"},
	{name: "stop-signal", key: "stop_signal", usage: "first `SIGNAL` to the whole run (default SIGTERM)"},
	{name: "stop-timeout", key: "stop_timeout", usage: "SIGKILL follows after this `DURATION` (default 5s)"},
	{name: "timeout", key: "timeout", usage: "a task that runs longer than `DURATION` is stopped and has failed"},
	{name: "leftovers", key: "leftovers", usage: "processes that outlive a run that ended by itself: `kill|session|keep`"},
	{name: "jobs", short: "j", key: "jobs", usage: "tasks at once, a `NUMBER` (default: the number of CPUs)"},
	{name: "shell", key: "shell", usage: "the `SHELL` of shell strings (default sh)"},
	{name: "input", key: "input", usage: "the command's stdin: `none|terminal|paths|json`"},
	{name: "clear", key: "clear", on: true, usage: "clear the terminal before a run"},
}

func (o *options) keyFlags(f *pflag.FlagSet, specs []flagSpec) {
	for _, s := range specs {
		v := &keyFlag{o: o, name: "--" + s.name, key: s.key, negate: s.off, isBool: s.on || s.off}
		flag := f.VarPF(v, s.name, s.short, s.usage)
		if v.isBool {
			flag.NoOptDefVal = "true"
		}
	}
}

// keyFlag is a flag that stands for a key of the config: its text is kept, and
// read by the code that reads the file.
type keyFlag struct {
	o       *options
	name    string
	key     string
	isBool  bool
	negate  bool
	convert func(string) (string, error)
}

func (k *keyFlag) String() string   { return "" }
func (k *keyFlag) IsBoolFlag() bool { return k.isBool }

func (k *keyFlag) Type() string {
	if k.isBool {
		return "bool"
	}
	return "string"
}

func (k *keyFlag) Set(text string) error {
	if k.convert != nil {
		converted, err := k.convert(text)
		if err != nil {
			return err
		}
		text = converted
	}
	if k.negate {
		switch text {
		case "true":
			text = "false"
		case "false":
			text = "true"
		}
	}
	k.o.flags = append(k.o.flags, config.Flag{Name: k.name, Key: k.key, Values: []string{text}})
	return nil
}

// runRoot is `flinch` and `flinch -- COMMAND`.
func (o *options) runRoot(cmd *cobra.Command, args []string) error {
	if o.version {
		return o.printVersion()
	}
	dash := cmd.ArgsLenAtDash()
	if dash < 0 && len(args) > 0 || dash > 0 {
		return wrongCall(cmd, args)
	}
	cfg, err := o.load(args, dash == 0)
	if err != nil {
		return err
	}
	o.words = args
	return o.runConfig(cmd.Context(), cfg)
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Hint() string  { return h.hint }
func (h *hinted) Unwrap() error { return h.error }

// wrongCall answers `flinch COMMAND` without --: it shows the right call.
func wrongCall(cmd *cobra.Command, args []string) error {
	err := fmt.Errorf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("unknown command %q, did you mean flinch %s?", args[0], near[0])
	}
	return exit(exitUsage, &hinted{err, "to run a command on changes, put -- before it: flinch -- " + strings.Join(args, " ")})
}

// usageError is a flag that is wrong.
func usageError(cmd *cobra.Command, err error) error {
	return exit(exitUsage, &hinted{err, "see " + cmd.CommandPath() + " --help"})
}

// needs wants at least one argument.
func needs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usageError(cmd, fmt.Errorf("%s: name %s", cmd.Name(), what))
	}
}

// atMost wants no more than so many arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return usageError(cmd, fmt.Errorf("%s: one argument too many: %q", cmd.Name(), args[n]))
	}
}

// laterCommands are commands of the contract that this version does not have:
// they say so rather than be taken for something else.
func laterCommands() []*cobra.Command {
	names := []string{"attach", "man"}
	var commands []*cobra.Command
	for _, name := range names {
		commands = append(commands, &cobra.Command{
			Use: name, Hidden: true, DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return exit(exitUsage, fmt.Errorf("%s: not yet in this version", name))
			},
		})
	}
	return commands
}
