package config_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/config"
)

func parse(t *testing.T, source string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("/p/flinch.toml", []byte(source), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestEveryKey(t *testing.T) {
	cfg := parse(t, `
roots = ["a", "b"]
ignore = ["*.o"]
gitignore = false
default_ignores = false
follow = true
wait_roots = true
backend = "poll"
poll = "1s"
jobs = 2
history = 0
env = { A = "1", B = "" }
[service.s]
files = ["x", "!y"]
ignore = ["z"]
on = ["attrib"]
run = ["x", "", "y z"]
dir = "sub"
env = { C = "3" }
env_file = ["a.env", "b.env"]
needs = []
busy = "skip"
at_start = false
content = "always"
each = true
settle = "leading"
max_wait = "10s"
timeout = "1h"
clear = true
shell = "bash -eu"
stop_signal = "quit"
stop_timeout = "0s"
leftovers = "keep"
input = "paths"
output = { file = "o.log", max = "1MiB" }
ready = { exec = ["true"], timeout = "1s" }
reload_signal = "USR1"
restart = "always"
listen = [":80", "unix:/run/x", { name = "n", address = "[::1]:0" }]
overlap = true
proxy = ":3000"
`)
	s := cfg.Rule("s")
	wantEnv := []config.Var{{Name: "A", Value: "1"}, {Name: "B"}}
	if !reflect.DeepEqual(cfg.Roots, []string{"a", "b"}) || !reflect.DeepEqual(cfg.Ignore, []string{"*.o"}) || cfg.Gitignore || cfg.DefaultIgnores ||
		!cfg.Follow || !cfg.WaitRoots || cfg.Backend != config.BackendPoll || cfg.Poll != time.Second || cfg.Jobs != 2 || cfg.History != 0 ||
		!reflect.DeepEqual(cfg.Env, wantEnv) {
		t.Errorf("global: got %+v", cfg)
	}
	if !reflect.DeepEqual(s.Files, []string{"x", "!y"}) || !reflect.DeepEqual(s.Ignore, []string{"z"}) || s.On != config.Attrib ||
		!reflect.DeepEqual(s.Run.Argv, []string{"x", "", "y z"}) || s.Run.String() != `x "" "y z"` || s.Dir != "sub" ||
		!slices.Equal(config.Environ(s.Env), []string{"C=3"}) || !reflect.DeepEqual(s.EnvFile, []string{"a.env", "b.env"}) ||
		s.Busy.Policy != config.Skip || s.AtStart || s.Content != config.ContentAlways || !s.Each || !s.Settle.Leading ||
		s.MaxWait != 10*time.Second || s.Timeout != time.Hour || !s.Clear || s.Shell != "bash -eu" {
		t.Errorf("got %+v", s)
	}
	wantListen := []config.Listen{{Name: "s", Network: "tcp", Address: ":80"}, {Name: "s", Network: "unix", Address: "/run/x"}, {Name: "n", Network: "tcp", Address: "[::1]:0"}}
	wantReady := &config.Ready{Exec: config.Command{Argv: []string{"true"}}, Timeout: time.Second}
	if s.StopSignal != syscall.SIGQUIT || s.StopTimeout != 0 || s.Leftovers != config.LeftoversKeep || s.Input != config.InputPaths ||
		s.Output != (config.Output{File: "o.log", Max: 1 << 20}) || !reflect.DeepEqual(s.Ready, wantReady) || s.ReloadSignal != syscall.SIGUSR1 ||
		s.Restart != config.RestartAlways || !reflect.DeepEqual(s.Listen, wantListen) || !s.Overlap || s.Proxy != ":3000" {
		t.Errorf("got %+v", s)
	}
}

func TestForms(t *testing.T) {
	rule := func(lines string) *config.Rule { return parse(t, "[service.s]\nrun='x'\n"+lines).Rules[0] }
	for line, ok := range map[string]func(r *config.Rule) bool{
		`ready = { port = 80 }`: func(r *config.Rule) bool {
			return r.Ready.Port == 80 && !r.Ready.AnyPort && r.Ready.Timeout == 30*time.Second
		},
		`ready = { port = 1, log = "x" }`: func(r *config.Rule) bool { return r.Ready.Port == 1 && r.Ready.Log == "x" },
		`ready = { port = true }`:         func(r *config.Rule) bool { return r.Ready.Port == 0 && r.Ready.AnyPort },
		`ready = { tcp = ":80" }`:         func(r *config.Rule) bool { return r.Ready.TCP == ":80" },
		`ready = { log = "up.*" }`:        func(r *config.Rule) bool { return r.Ready.Log == "up.*" },
		`ready = { exec = "a b" }`:        func(r *config.Rule) bool { return r.Ready.Exec.Line == "a b" },
		`ready = { notify = true }`:       func(r *config.Rule) bool { return r.Ready.Notify },
		"ready.http = 'http://x/y'":       func(r *config.Rule) bool { return r.Ready.HTTP.String() == "http://x/y" },
		`listen = ":80"`:                  func(r *config.Rule) bool { return len(r.Listen) == 1 && r.Listen[0].String() == ":80" },
		`listen = "unix:@x"`:              func(r *config.Rule) bool { return r.Listen[0].Address == "@x" && r.Listen[0].String() == "unix:@x" },
		`listen={address=":1"}`: func(r *config.Rule) bool {
			return r.Listen[0] == config.Listen{Name: "s", Network: "tcp", Address: ":1"}
		},
		"[[service.s.listen]]\naddress=':1'\n[[service.s.listen]]\naddress=':2'\nname='b'": func(r *config.Rule) bool { return len(r.Listen) == 2 && r.Listen[1].Name == "b" },
		`output = "o"`:            func(r *config.Rule) bool { return r.Output == config.Output{File: "o", Max: 10_000_000} },
		`output.file = "o"`:       func(r *config.Rule) bool { return r.Output.Max == 10_000_000 },
		`on = "write, attrib"`:    func(r *config.Rule) bool { return r.On.String() == "write,attrib" },
		`on = ["write", "write"]`: func(r *config.Rule) bool { return r.On == config.Write },
		`env_file = ".env"`:       func(r *config.Rule) bool { return slices.Equal(r.EnvFile, []string{".env"}) },
		`busy = "signal:1"`:       func(r *config.Rule) bool { return r.Busy.String() == "signal:SIGHUP" },
		`busy = "signal:40"`:      func(r *config.Rule) bool { return r.Busy.String() == "signal:40" },
		`settle = "0"`:            func(r *config.Rule) bool { return r.Settle == config.Settle{} },
		`settle = "3s"`:           func(r *config.Rule) bool { return r.MaxWait == 3*time.Second && r.Settle.String() == "3s" },
		`files = []`:              func(r *config.Rule) bool { return len(r.Files) == 0 && r.IsSet("files") },
	} {
		if r := rule(line); !ok(r) {
			t.Errorf("%s: got %+v %+v", line, r, r.Ready)
		}
	}
}

func TestGlobalDefaultsOfRules(t *testing.T) {
	cfg := parse(t, "settle='100ms'\nclear=true\non=['write']\nstop_signal='INT'\n[task.a]\nrun='x'\nsettle='auto'\n[service.b]\nrun='x'\n[env]\nA='1'\n")
	a, b := cfg.Rule("a"), cfg.Rule("b")
	if !a.Settle.Auto || b.Settle.Duration != 100*time.Millisecond || !a.Clear || !b.Clear || a.On != config.Write || b.StopSignal != syscall.SIGINT {
		t.Errorf("got %+v and %+v", a, b)
	}
	if got := b.Pos("settle"); got.Line != 1 || got.Col != 8 {
		t.Errorf("an inherited key stands where it was written: got %v", got)
	}
	if a.IsSet("busy") || a.Pos("busy").IsSet() {
		t.Errorf("busy was never written")
	}
	if got := cfg.Pos("env.A").String(); got != "11:3" {
		t.Errorf("got %s, want 11:3", got)
	}
}

func TestRulesInFileOrder(t *testing.T) {
	cfg := parse(t, "[service.z]\nrun='x'\n[task.b]\nrun='x'\n[service.a]\nrun='x'\n[task.a-1]\nrun='x'\n")
	if got, want := cfg.Names(), []string{"z", "b", "a", "a-1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := cfg.Nearest("a_1"); got != "a-1" {
		t.Errorf("got %q, want a-1", got)
	}
}

func TestEqualAndDiff(t *testing.T) {
	const base = "[task.a]\nrun='x'\n[task.b]\nrun='x'\nneeds=['a']\n[service.c]\nrun='x'\nready={http='http://h/'}\n"
	for _, c := range []struct {
		what, next string
		want       config.Diff
	}{
		{"nothing", base, config.Diff{}},
		{"form only", "# c\n[service.c]\nready.http='http://h/'\nrun=\"x\"\nbusy='restart'\n[task]\nb={needs=['a'],run='x'}\na.run='x'\na.on='create,write,remove,rename'\n", config.Diff{}},
		{"a command", strings.Replace(base, "run='x'", "run='y'", 1), config.Diff{Changed: []string{"a"}}},
		{"string to array", strings.Replace(base, "run='x'", "run=['x']", 1), config.Diff{Changed: []string{"a"}}},
		{"global env", "env={A='1'}\n" + base, config.Diff{Changed: []string{"a", "b", "c"}}},
		{"global default", "settle='1s'\n" + base, config.Diff{Changed: []string{"a", "b", "c"}}},
		{"the ready URL", strings.Replace(base, "//h", "//i", 1), config.Diff{Changed: []string{"c"}}},
		{"one more, one less", strings.NewReplacer("service.c", "service.d").Replace(base), config.Diff{Added: []string{"d"}, Removed: []string{"c"}}},
		{"task to service", strings.Replace(base, "[task.a]", "[service.a]", 1), config.Diff{Changed: []string{"a"}}},
		{"roots", "roots=['x']\n" + base, config.Diff{Watch: true}},
		{"the same root", "roots=['./']\n" + base, config.Diff{}},
		{"ignore", "ignore=['x']\n" + base, config.Diff{Watch: true}},
		{"jobs", "jobs=77\n" + base, config.Diff{Limits: true}},
	} {
		got := parse(t, base).Diff(parse(t, c.next))
		if !reflect.DeepEqual(got, c.want) || got.IsZero() != reflect.DeepEqual(c.want, config.Diff{}) {
			t.Errorf("%s: got %+v, want %+v", c.what, got, c.want)
		}
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]syscall.Signal{"HUP": 1, "SIGHUP": 1, "sighup": 1, "hup": 1, "9": 9, "64": 64, "WINCH": syscall.SIGWINCH} {
		if got, err := config.ParseSignal(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "65", "-1", "SIG", "SIGSIGHUP", "HUP "} {
		if got, err := config.ParseSignal(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "10MB": 10_000_000, "512KiB": 512 << 10, "1.5 gb": 1_500_000_000, "1GiB": 1 << 30} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "MB", "-1MB", "1XB", "NaNB", "infB", "1e400B", "99999999999GB", "0x1MB "} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestSchema(t *testing.T) {
	var root struct {
		Schema     string `json:"$schema"`
		Additional *bool  `json:"additionalProperties"`
		Properties map[string]struct {
			Description string
			Default     any
			Raw         json.RawMessage `json:"additionalProperties"`
		}
	}
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	if root.Schema != "https://json-schema.org/draft/2020-12/schema" || root.Additional == nil || *root.Additional {
		t.Errorf("got %q, %v", root.Schema, root.Additional)
	}
	rules := map[string]map[string]struct{ Default any }{}
	for _, kind := range []string{"task", "service"} {
		var rule struct {
			Properties           map[string]struct{ Default any }
			Required             []string
			AdditionalProperties *bool
		}
		if err := json.Unmarshal(root.Properties[kind].Raw, &rule); err != nil {
			t.Fatal(err)
		}
		if rule.AdditionalProperties == nil || *rule.AdditionalProperties || !slices.Equal(rule.Required, []string{"run"}) {
			t.Errorf("%s: got %+v", kind, rule)
		}
		rules[kind] = rule.Properties
	}
	for _, k := range config.Keys() {
		global, inGlobal := root.Properties[k.Name]
		_, inTask := rules["task"][k.Name]
		_, inService := rules["service"][k.Name]
		if inGlobal != k.Where.Has(config.Global) || inTask != k.Where.Has(config.Rules) || inService != k.Where.Has(config.Rules|config.Services) {
			t.Errorf("%s: global %v, task %v, service %v", k.Name, inGlobal, inTask, inService)
		}
		if inGlobal && global.Description != k.Doc {
			t.Errorf("%s: got %q, want %q", k.Name, global.Description, k.Doc)
		}
	}
	if got := rules["service"]["busy"].Default; got != "restart" {
		t.Errorf("busy of a service: got %v, want restart", got)
	}
	if got := root.Properties["history"].Default; got != 200.0 {
		t.Errorf("history: got %v, want 200", got)
	}
}

// TestStringsAreWhatIsWritten: the String of each typed value is the text
// that gives it.
func TestStringsAreWhatIsWritten(t *testing.T) {
	for _, k := range config.Keys() {
		for _, word := range k.Values {
			source := "[service.x]\nrun = 'x'\n" + k.Name + " = '" + word + "'\n"
			if k.Where == config.Global {
				source = k.Name + " = '" + word + "'\n[service.x]\nrun = 'x'\n"
			}
			cfg := parse(t, source)
			r := cfg.Rules[0]
			got := map[string]string{
				"backend": cfg.Backend.String(), "on": r.On.String(), "busy": r.Busy.String(), "content": r.Content.String(),
				"settle": r.Settle.String(), "leftovers": r.Leftovers.String(), "input": r.Input.String(), "restart": r.Restart.String(),
			}[k.Name]
			if got != word {
				t.Errorf("%s: got %q, want %q", k.Name, got, word)
			}
		}
	}
}
