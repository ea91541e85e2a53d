package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/config/convert"
)

// The small commands: init, schema, version.

func (o *options) initCommand() *cobra.Command {
	var from string
	var force, stdout bool
	cmd := &cobra.Command{
		Use:   "init [--from air|modd|nodemon|reflex]",
		Short: "write a commented flinch.toml that fits this project",
		Args:  atMost(0),
		RunE: func(*cobra.Command, []string) error {
			made, err := makeConfig(from)
			if err != nil {
				return exit(exitUsage, err)
			}
			for _, note := range made.Notes {
				fmt.Fprintf(o.err, "flinch: %s\n", note)
			}
			if stdout {
				_, err := o.out.Write(made.TOML)
				return err
			}
			return o.writeConfig(made.TOML, force)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "translate the config of `air|modd|nodemon|reflex`")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a flinch.toml that is there")
	cmd.Flags().BoolVar(&stdout, "stdout", false, "print it instead of writing it")
	return cmd
}

// makeConfig looks at the project in the current folder, or translates.
func makeConfig(from string) (*convert.Result, error) {
	if from == "" {
		return convert.Init(".")
	}
	return convert.From(from, ".")
}

// writeConfig writes flinch.toml and never over one that is there, unless forced.
func (o *options) writeConfig(text []byte, force bool) error {
	path := config.FileName
	if o.config != "" {
		path = o.config
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_EXCL
	if force {
		flags = os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644)
	if errors.Is(err, os.ErrExist) {
		return exit(exitUsage, &hinted{fmt.Errorf("%s is there already", path), "look at it with --stdout, or overwrite it with --force"})
	}
	if err != nil {
		return exit(exitUsage, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return exit(exitUsage, err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	fmt.Fprintf(o.err, "flinch: wrote %s; try: flinch check\n", abs)
	return nil
}

func (o *options) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON schema of flinch.toml, for editors",
		Args:  atMost(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := o.out.Write(config.Schema())
			return err
		},
	}
}

func (o *options) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  atMost(0),
		RunE:  func(*cobra.Command, []string) error { return o.printVersion() },
	}
}

func (o *options) printVersion() error {
	_, err := fmt.Fprintln(o.out, "flinch", version())
	return err
}

// completionCommand prints what makes a shell complete flinch's command line.
func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "print the script that makes a shell complete flinch",
		Long: `Print the script that makes a shell complete flinch's commands and flags.

  bash   flinch completion bash > ~/.local/share/bash-completion/completions/flinch
  zsh    flinch completion zsh > "${fpath[1]}/_flinch"
  fish   flinch completion fish > ~/.config/fish/completions/flinch.fish`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args:      cobra.MatchAll(needs("a shell: bash, zsh, fish or powershell"), atMost(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usageError(cmd, fmt.Errorf("completion: unknown shell %q, want bash, zsh, fish or powershell", args[0]))
		},
	}
}

// helpCommand is cobra's, but for a command that does not exist: that is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "explain a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usageError(cmd.Root(), fmt.Errorf("help: unknown command %q", strings.Join(args, " ")))
			}
			target.InitDefaultHelpFlag()
			return target.Help()
		},
	}
}

// version is what the Go toolchain recorded: the module's version, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel " + s.Value[:12]
		}
	}
	return "devel"
}
