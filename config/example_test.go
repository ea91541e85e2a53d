package config_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/flinch-run/flinch/config"
)

const example = "../config.example.toml"

var commented = regexp.MustCompile(`(?m)^# ([a-z_]+ = )`)

func TestExampleLoads(t *testing.T) {
	plain, err := config.Load(example, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse(example, commented.ReplaceAll(data, []byte("$1")), config.Options{}); err != nil {
		t.Errorf("with the commented keys: %v", err)
	}

	bare, err := config.Parse(example, []byte(`
[task.NAME]
run = ["go", "build", "./..."]
[service.OTHER]
run = ["bin/app", "--port", "8080"]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bare.Dir = plain.Dir
	if d := bare.Diff(plain); !d.IsZero() {
		t.Errorf("the example's values are not the defaults: %+v", d)
	}
}

// TestExampleIsWhole compares the keys of the example, table by table, with
// those that the code knows, and the values with the defaults.
func TestExampleIsWhole(t *testing.T) {
	data, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var all, set tables
	if _, err := toml.Decode(commented.ReplaceAllString(string(data), "$1"), &all.root); err != nil {
		t.Fatal(err)
	}
	if _, err := toml.Decode(string(data), &set.root); err != nil {
		t.Fatal(err)
	}
	compareTable(t, "the whole file", config.Global, config.Task, all.root, set.root)
	compareTable(t, "[task.NAME]", config.Rules, config.Task, all.rule("task", "NAME"), set.rule("task", "NAME"))
	compareTable(t, "[service.OTHER]", config.Services, config.Service, all.rule("service", "OTHER"), set.rule("service", "OTHER"))
}

type tables struct{ root map[string]any }

func (t tables) rule(kind, name string) map[string]any {
	return t.root[kind].(map[string]any)[name].(map[string]any)
}

func compareTable(t *testing.T, where string, place config.Where, kind config.Kind, all, set map[string]any) {
	t.Helper()
	var known []string
	for _, k := range config.Keys() {
		known = append(known, k.Name)
		text := k.Default
		if kind == config.Service && k.ServiceDefault != "" {
			text = k.ServiceDefault
		}
		value, plain := set[k.Name]
		switch _, there := all[k.Name]; {
		case k.Where.Has(place) && !there:
			t.Errorf("%s: %s is missing", where, k.Name)
		case plain && text != "" && !reflect.DeepEqual(value, tomlValue(t, text)):
			t.Errorf("%s: %s is %v, and its default %s", where, k.Name, value, text)
		case plain && text == "" && k.Name != "run":
			t.Errorf("%s: %s has no default and is not commented out", where, k.Name)
		}
	}
	for name := range all {
		if name != "task" && name != "service" && !slices.Contains(known, name) {
			t.Errorf("%s: unknown key %s", where, name)
		}
	}
}

func tomlValue(t *testing.T, text string) any {
	t.Helper()
	var v map[string]any
	if _, err := toml.Decode("v = "+text, &v); err != nil {
		t.Fatalf("default %s: %v", text, err)
	}
	return v["v"]
}

func TestKeysAreWhole(t *testing.T) {
	for _, k := range config.Keys() {
		if k.Doc == "" || (k.Default == "" && k.Example == "") {
			t.Errorf("%s: no sentence, or neither default nor example", k.Name)
		}
		if k.Example == "" {
			continue
		}
		source := "[service.x]\n" + k.Name + " = " + k.Example + "\n"
		if !k.Where.Has(config.Rules | config.Services) {
			source = k.Name + " = " + k.Example + "\n[service.x]\n"
		}
		if k.Name != "run" {
			source += "run = 'x'\n"
		}
		if k.Where.Has(config.Global) && !k.Where.Has(config.Rules) {
			source = k.Name + " = " + k.Example + "\n[service.x]\nrun = 'x'\n"
		}
		if _, err := config.Parse("flinch.toml", []byte(source), config.Options{}); err != nil {
			t.Errorf("the example of %s: %v", k.Name, err)
		}
	}
}
