package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flinch-run/flinch/config"
)

// readNodemon reads nodemon.json, or nodemonConfig of package.json.
func readNodemon(file string, data []byte, d *draft) error {
	var top map[string]any
	if err := json.Unmarshal(data, &top); err != nil {
		return err
	}
	settings, main := top, ""
	if file == "package.json" {
		found, ok := top["nodemonConfig"].(map[string]any)
		if !ok {
			return errors.New("it has no nodemonConfig")
		}
		settings, main = found, text(top["main"])
	}
	nodemonRule(settings, main, d)
	return nil
}

// nodemonRule makes the one rule that a nodemon is.
func nodemonRule(s map[string]any, main string, d *draft) {
	exec, script := text(s["exec"]), text(s["script"])
	if script == "" {
		script = main
	}
	run := nodemonCommand(s, exec, script)
	r := d.rule(config.Service, commandName(run), run)
	if r == nil {
		return
	}
	r.files(nodemonFiles(s, run))
	r.set("ignore", clearEmpty(append(texts(s["ignore"]), texts(s["ignoreRoot"])...)))
	r.env(variables(s["env"]))
	r.set("dir", text(s["cwd"]))
	r.signal("stop_signal", text(s["signal"]))
	if text(s["signal"]) == "" {
		r.say("nodemon sent SIGUSR2 by default; here it is SIGTERM")
	}
	if quiet := duration(text(s["delay"]), time.Millisecond); quiet != "" {
		r.set("settle", quiet)
	}
	if s["stdin"] == true {
		r.set("input", "terminal")
	}
	nodemonGlobal(s, d)
	nodemonLost(s, r)
}

// nodemonCommand is what nodemon would have run.
func nodemonCommand(s map[string]any, exec, script string) string {
	switch {
	case exec != "" && script == "":
		return exec
	case exec != "":
		return exec + " " + script
	case script == "":
		return "node ."
	}
	ext := strings.TrimPrefix(path.Ext(script), ".")
	if with, ok := s["execMap"].(map[string]any); ok && text(with[ext]) != "" {
		return text(with[ext]) + " " + script
	}
	if ext == "ts" {
		return "ts-node " + script
	}
	return "node " + script
}

// nodemonFiles is each watched folder with the extensions.
func nodemonFiles(s map[string]any, run string) []string {
	exts := strings.Split(text(s["ext"]), ",")
	if text(s["ext"]) == "" {
		exts = []string{"js", "mjs", "cjs", "json"}
		if strings.Contains(run, ".ts") {
			exts = append(exts, "ts")
		}
	}
	glob := extGlob(exts)
	var files []string
	for _, watch := range texts(s["watch"]) {
		not := strings.HasPrefix(watch, "!")
		watch = strings.TrimPrefix(watch, "!")
		if watch != "*.*" && !strings.ContainsAny(watch, "*?[{") && path.Ext(watch) == "" {
			watch = join(watch, glob)
		}
		if watch == "*.*" {
			watch = glob
		}
		if not {
			watch = "!" + watch
		}
		files = append(files, watch)
	}
	if len(files) == 0 {
		return []string{glob}
	}
	return files
}

func nodemonGlobal(s map[string]any, d *draft) {
	if s["legacyWatch"] == true {
		d.set("backend", "poll")
	}
	if poll := duration(text(s["pollingInterval"]), time.Millisecond); poll != "" {
		d.set("poll", poll)
	}
}

// nodemonLost notes what flinch has no key for.
func nodemonLost(s map[string]any, r *ruleDraft) {
	if events, ok := s["events"].(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(events)) {
			r.lost("the event "+name+": "+text(events[name]), "write a task of its own")
		}
	}
	for _, key := range []string{"restartable", "nodeArgs", "spawn", "stdout"} {
		if s[key] != nil {
			r.lost(key, "")
		}
	}
}

// text makes a string of a JSON or TOML scalar; anything else is "".
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// texts makes strings of an array, or of one value.
func texts(value any) []string {
	list, ok := value.([]any)
	if !ok {
		if one := text(value); one != "" {
			return []string{one}
		}
		return nil
	}
	var found []string
	for _, v := range list {
		if one := text(v); one != "" {
			found = append(found, one)
		}
	}
	return found
}

// variables makes an environment of a table, in order of names.
func variables(value any) [][2]string {
	table, _ := value.(map[string]any)
	var vars [][2]string
	for _, name := range slices.Sorted(maps.Keys(table)) {
		vars = append(vars, [2]string{name, text(table[name])})
	}
	return vars
}

// clearEmpty drops what is empty once it is cleaned.
func clearEmpty(list []string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(clean(s)) == "" })
}

// plural is "1 rule", "2 rules".
func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
