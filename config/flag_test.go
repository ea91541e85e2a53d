package config_test

import (
	"errors"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/config"
)

func flag(name, key string, values ...string) config.Flag {
	return config.Flag{Name: name, Key: key, Values: values}
}

func TestAdHoc(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.AdHoc(config.Invocation{
		Dir: dir, Command: []string{"/usr/bin/go", "test", "./..."}, Service: true,
		Flags: []config.Flag{
			flag("-w", "roots", "src", "lib"),
			flag("-f", "files", "**/*.go"), flag("-e", "files", "**/*.{html,css}"),
			flag("-i", "ignore", "*.log"),
			flag("--no-gitignore", "gitignore", "false"),
			flag("--busy", "busy", "skip"), flag("--busy", "busy", "signal:sighup"),
			flag("--on", "on", "write,remove"),
			flag("--settle", "settle", "50ms"),
			flag("--no-start", "at_start", "false"),
			flag("--each", "each", "true"),
			flag("-j", "jobs", "3"),
			flag("--stop-signal", "stop_signal", "int"),
			flag("--input", "input", "json"),
		},
	}, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := cfg.Rules[0]
	if cfg.Dir != dir || cfg.Path != "" || cfg.Gitignore || cfg.Jobs != 3 ||
		!reflect.DeepEqual(cfg.Roots, []string{"src", "lib"}) || !reflect.DeepEqual(cfg.Ignore, []string{"*.log"}) {
		t.Errorf("got %+v", cfg)
	}
	if r.Name != "go" || r.Kind != config.Service || !reflect.DeepEqual(r.Run.Argv, []string{"/usr/bin/go", "test", "./..."}) ||
		!reflect.DeepEqual(r.Files, []string{"**/*.go", "**/*.{html,css}"}) || r.Busy != (config.Busy{Policy: config.SendSignal, Signal: syscall.SIGHUP}) ||
		r.On != config.Write|config.Remove || r.Settle.Duration != 50*time.Millisecond || r.AtStart || !r.Each ||
		r.StopSignal != syscall.SIGINT || r.Input != config.InputJSON || r.Leftovers != config.LeftoversKill {
		t.Errorf("got %+v", r)
	}
	if got := r.Pos("busy").String(); got != "--busy" {
		t.Errorf("the place of busy: got %q, want --busy", got)
	}
	if got := cfg.Errorf(cfg.Pos("roots", 1), "no such folder").Error(); got != "-w: no such folder" {
		t.Errorf("got %q", got)
	}
}

func TestAdHocErrors(t *testing.T) {
	for _, c := range []struct {
		flag config.Flag
		want string
		hint string
	}{
		{flag("--busy", "busy", "signal:HUPP"), `--busy: unknown signal "HUPP", did you mean HUP?`, "kill -l lists them"},
		{flag("--busy", "busy", "que"), `--busy: unknown value "que"`, "it can be queue, restart, skip or signal:SIG"},
		{flag("--settle", "settle", "5"), `--settle: "5" has no unit`, `write "5s" or "5ms"`},
		{flag("--settle", "settle", "audo"), `--settle: unknown value "audo", did you mean auto?`, "it can be auto, leading or a duration"},
		{flag("-j", "jobs", "x"), `-j: "x" is not an integer`, ""},
		{flag("-j", "jobs", "0"), `-j: 0 is not between 1 and 65536`, ""},
		{flag("--follow", "follow", "maybe"), `--follow: "maybe" is not true or false`, ""},
		{flag("--on", "on", "write,delete"), `--on: unknown value "delete"`, "it can be create, write, remove, rename, attrib"},
		{flag("--backend", "backend", "pol"), `--backend: unknown value "pol", did you mean poll?`, "it can be auto, inotify, fanotify, poll"},
		{flag("-w", "roots", ""), `-w: is empty`, ""},
		{flag("--max-wait", "max_wait", "0s"), `--max-wait: must be more than 0`, ""},
		{flag("--nothing", "nothing", "x"), `--nothing: no key "nothing", or no value`, ""},
	} {
		_, err := config.AdHoc(config.Invocation{Dir: ".", Command: []string{"x"}, Flags: []config.Flag{c.flag}}, config.Options{})
		var e *config.Error
		if !errors.As(err, &e) {
			t.Errorf("%v: got %v, want an error", c.flag, err)
			continue
		}
		if err.Error() != c.want || e.Hint() != c.hint || e.Excerpt() != "" {
			t.Errorf("got %q, %q, want %q, %q", err, e.Hint(), c.want, c.hint)
		}
	}
	for _, words := range [][]string{nil, {""}, {" ", "x"}} {
		if _, err := config.AdHoc(config.Invocation{Dir: ".", Command: words}, config.Options{}); err == nil || err.Error() != "--: no command after it" {
			t.Errorf("%q: got %v", words, err)
		}
	}
}

func TestCommandOf(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  config.Command
		name  string
	}{
		{[]string{"make"}, config.Command{Argv: []string{"make"}}, "make"},
		{[]string{"go", "vet"}, config.Command{Argv: []string{"go", "vet"}}, "go"},
		{[]string{"echo", "a b", "$x"}, config.Command{Argv: []string{"echo", "a b", "$x"}}, "echo"},
		{[]string{"go vet ./..."}, config.Command{Line: "go vet ./..."}, "go"},
		{[]string{"make;true"}, config.Command{Line: "make;true"}, "command"},
		{[]string{"./run.sh"}, config.Command{Argv: []string{"./run.sh"}}, "run.sh"},
		{[]string{"$EDITOR"}, config.Command{Line: "$EDITOR"}, "command"},
	} {
		if got := config.CommandOf(c.words); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.words, got, c.want)
		}
		cfg, err := config.AdHoc(config.Invocation{Dir: ".", Command: c.words}, config.Options{})
		if err != nil || cfg.Rules[0].Name != c.name {
			t.Errorf("%q: got %v, %v, want the name %s", c.words, cfg, err, c.name)
		}
	}
}

func TestExt(t *testing.T) {
	for list, want := range map[string]string{"go": "**/*.go", ".go": "**/*.go", "go, .html,css": "**/*.{go,html,css}", "tar.gz": "**/*.tar.gz"} {
		if got, err := config.Ext(list); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", list, got, err, want)
		}
	}
	for _, list := range []string{"", ",", "go,", "*.go", "a/b", "{a}", "!go"} {
		if got, err := config.Ext(list); err == nil {
			t.Errorf("%q: got %q, want an error", list, got)
		}
	}
}

func TestFlagsOverFile(t *testing.T) {
	source := []byte("ignore = ['a']\nroots = ['x']\n[task.a]\nrun = 'x'\nsettle = '1s'\n[task.b]\nrun = 'y'\n")
	cfg, err := config.Parse("flinch.toml", source, config.Options{Flags: []config.Flag{
		flag("--settle", "settle", "3s"), flag("-i", "ignore", "b"), flag("-w", "roots", "y"), flag("--no-start", "at_start", "false"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg.Ignore, []string{"a", "b"}) || !reflect.DeepEqual(cfg.Roots, []string{"y"}) {
		t.Errorf("got ignore %q, roots %q", cfg.Ignore, cfg.Roots)
	}
	if from, to := cfg.Pos("ignore", 0).String(), cfg.Pos("ignore", 1).String(); from != "1:11" || to != "-i" {
		t.Errorf("places: got %s and %s", from, to)
	}
	for _, r := range cfg.Rules {
		if r.Settle.Duration != 3*time.Second || r.AtStart || r.MaxWait != 3*time.Second {
			t.Errorf("%s: got %v, %v, %v", r.Name, r.Settle, r.AtStart, r.MaxWait)
		}
	}
	_, err = config.Parse("flinch.toml", source, config.Options{Flags: []config.Flag{flag("-f", "files", "*.go"), flag("--settle", "settle", "x")}})
	want := "-f: is for a command without a config file\n--settle: \"x\" is not a duration"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
