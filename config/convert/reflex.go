package convert

import (
	"fmt"
	"strings"
	"time"

	"github.com/flinch-run/flinch/config"
)

// reflexLine is one line of a reflex.conf: flags and a command.
type reflexLine struct {
	files      []string
	lost       []string // what no glob can say
	service    bool
	substitute string // stands for the changed file
	stop       string // how long a service may take to end
	command    []string
}

// readReflex makes a rule of each line.
func readReflex(_ string, data []byte, d *draft) error {
	for number, text := range strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") {
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		args, ok := words(text)
		if !ok {
			return fmt.Errorf("line %d: a quote without its end", number+1)
		}
		line := &reflexLine{substitute: "{}", stop: "500ms"}
		if err := line.read(args, d); err != nil {
			return fmt.Errorf("line %d: %w", number+1, err)
		}
		line.write(d)
	}
	return nil
}

// read takes the flags; what is after them, or after --, is the command.
func (l *reflexLine) read(args []string, d *draft) error {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--":
			l.command = args[1:]
			return nil
		case len(arg) < 2 || arg[0] != '-':
			l.command = args
			return nil
		}
		rest, err := l.flag(arg, args[1:], d)
		if err != nil {
			return err
		}
		args = rest
	}
	return nil
}

// flag reads one flag, "--name=value", "--name value", "-xvalue" or several
// letters at once, and gives the arguments after it.
func (l *reflexLine) flag(arg string, rest []string, d *draft) ([]string, error) {
	if name, found := strings.CutPrefix(arg, "--"); found {
		name, value, given := strings.Cut(name, "=")
		return l.named(name, value, given, rest, d)
	}
	for letters := arg[1:]; letters != ""; letters = letters[1:] {
		name := reflexLetters[letters[0]]
		if reflexSwitch(name) {
			if _, err := l.named(name, "", false, nil, d); err != nil {
				return nil, err
			}
			continue
		}
		value := strings.TrimPrefix(letters[1:], "=")
		return l.named(name, value, letters[1:] != "", rest, d)
	}
	return rest, nil
}

var reflexLetters = map[byte]string{
	'r': "regex", 'R': "inverse-regex", 'g': "glob", 'G': "inverse-glob", 's': "start-service",
	't': "shutdown-timeout", 'd': "decoration", 'e': "sequential", 'v': "verbose", 'c': "config",
}

func reflexSwitch(name string) bool {
	switch name {
	case "start-service", "sequential", "verbose", "all", "only-files", "only-dirs":
		return true
	}
	return false
}

// named reads a flag by its long name.
func (l *reflexLine) named(name, value string, given bool, rest []string, d *draft) ([]string, error) {
	if !reflexSwitch(name) && !given {
		if len(rest) == 0 {
			return nil, fmt.Errorf("a value is missing after %q", name)
		}
		value, rest = rest[0], rest[1:]
	}
	switch name {
	case "regex":
		l.regex(value)
	case "inverse-regex":
		l.inverse(value)
	case "glob":
		l.files = append(l.files, value)
	case "inverse-glob":
		l.files = append(l.files, "!"+value)
	case "start-service":
		l.service = value != "false"
	case "shutdown-timeout":
		l.stop = value
	case "substitute":
		l.substitute = value
	case "sequential":
		d.set("jobs", 1)
	case "all":
		d.set("default_ignores", false)
	case "verbose", "decoration", "config":
	default:
		l.lost = append(l.lost, "--"+name)
	}
	return rest, nil
}

func (l *reflexLine) regex(re string) {
	if glob := globOf(re); glob != "" {
		l.files = append(l.files, glob)
		return
	}
	l.lost = append(l.lost, "the regexp "+re)
}

func (l *reflexLine) inverse(re string) {
	if glob := globOf(re); glob != "" {
		l.files = append(l.files, "!"+glob)
		return
	}
	l.lost = append(l.lost, "the excluding regexp "+re)
}

// write adds the rule of a line.
func (l *reflexLine) write(d *draft) {
	kind := config.Task
	if l.service {
		kind = config.Service
	}
	each := false
	argv := make([]string, len(l.command))
	for i, word := range l.command {
		argv[i] = word
		if l.substitute != "" && strings.Contains(word, l.substitute) {
			argv[i] = strings.ReplaceAll(word, l.substitute, "{file}")
			each = true
		}
	}
	run := any(argv)
	if len(argv) == 3 && argv[1] == "-c" && (argv[0] == "sh" || argv[0] == "/bin/sh") {
		run = argv[2]
	}
	r := d.rule(kind, commandName(strings.Join(argv, " ")), run)
	if r == nil {
		return
	}
	if each {
		r.set("each", true)
	}
	r.files(l.files)
	if stop := duration(l.stop, time.Second); l.service && stop != "" {
		r.set("stop_timeout", stop)
	}
	for _, what := range l.lost {
		r.lost(what, "say it in files, as a glob")
	}
}
