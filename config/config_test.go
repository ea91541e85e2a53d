package config_test

import (
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/config"
)

// contract is the example that users are shown.
const contract = `
roots = ["."]                 # relative to this file
ignore = ["*.log", "dist/"]

[env]
APP_ENV = "dev"

[task.generate]
files = ["api/**/*.proto"]
run = ["buf", "generate"]              # an array is executed as it is

[task.build]
files = ["**/*.go", "go.mod", "!**/*_test.go"]
run = "go build -o bin/app ./cmd/app"  # a string may use the shell
needs = ["generate"]

[task.test]
files = ["**/*.go"]
run = "go test {dirs}"
busy = "restart"

[service.app]
run = ["bin/app", "--port", "8080"]
needs = ["build"]                      # starts after a build that succeeded, restarts after each
ready = { http = "http://127.0.0.1:8080/health", timeout = "10s" }
stop_signal = "SIGINT"
`

func TestParseContractExample(t *testing.T) {
	cfg, err := config.Parse("flinch.toml", []byte(contract), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.Names(), []string{"generate", "build", "test", "app"}; !reflect.DeepEqual(got, want) {
		t.Errorf("rules: got %v, want %v", got, want)
	}
	if got, want := cfg.Ignore, []string{"*.log", "dist/"}; !reflect.DeepEqual(got, want) {
		t.Errorf("ignore: got %v, want %v", got, want)
	}
	if got, want := cfg.Env, []config.Var{{Name: "APP_ENV", Value: "dev"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("env: got %v, want %v", got, want)
	}
	app := cfg.Rule("app")
	if app.Kind != config.Service || app.StopSignal != syscall.SIGINT || app.StopTimeout != 5*time.Second {
		t.Errorf("app: got %v %v %v", app.Kind, app.StopSignal, app.StopTimeout)
	}
	if len(app.Files) != 0 {
		t.Errorf("app has needs and no files: got files %v, want none", app.Files)
	}
	if app.Ready.HTTP.Path != "/health" || app.Ready.Timeout != 10*time.Second {
		t.Errorf("ready: got %+v", app.Ready)
	}
	if got := cfg.Rule("build").Run; got.Line != "go build -o bin/app ./cmd/app" || got.Argv != nil {
		t.Errorf("run: got %+v", got)
	}
}

func TestDefaults(t *testing.T) {
	cfg, err := config.Parse("flinch.toml", []byte("[task.a]\nrun='x'\n[service.b]\nrun='y'\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := cfg.Rules[0], cfg.Rules[1]
	for _, r := range cfg.Rules {
		if !reflect.DeepEqual(r.Files, []string{"**"}) || r.On != config.Create|config.Write|config.Remove|config.Rename ||
			r.Dir != "." || !r.AtStart || r.Content != config.ContentAuto || r.Each || r.Settle != (config.Settle{Auto: true}) ||
			r.MaxWait != 2*time.Second || r.Timeout != 0 || r.Clear || r.Shell != "sh" || r.StopSignal != syscall.SIGTERM ||
			r.StopTimeout != 5*time.Second || r.Input != config.InputNone || r.Output != (config.Output{}) {
			t.Errorf("%s: got %+v", r.Name, r)
		}
	}
	if a.Busy.Policy != config.Queue || b.Busy.Policy != config.RestartRun {
		t.Errorf("busy: got %v and %v", a.Busy, b.Busy)
	}
	if a.Leftovers != config.LeftoversSession || b.Leftovers != config.LeftoversKill {
		t.Errorf("leftovers: got %v and %v", a.Leftovers, b.Leftovers)
	}
	if b.Restart != config.RestartOnFailure || b.Ready != nil || b.Overlap {
		t.Errorf("service: got %+v", b)
	}
	if !reflect.DeepEqual(cfg.Roots, []string{"."}) || !cfg.Gitignore || !cfg.DefaultIgnores || cfg.Follow || cfg.WaitRoots ||
		cfg.Backend != config.BackendAuto || cfg.Poll != 250*time.Millisecond || cfg.Jobs < 1 || cfg.History != 200 {
		t.Errorf("global: got %+v", cfg)
	}
}
