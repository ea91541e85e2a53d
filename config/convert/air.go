package convert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/flinch-run/flinch/config"
)

// table is a TOML table, leniently read: a missing or wrong value is empty.
type table map[string]any

func (t table) table(key string) table {
	found, _ := t[key].(map[string]any)
	return found
}

// readAir makes tasks of what air builds and a service of what it starts.
func readAir(_ string, data []byte, d *draft) (err error) {
	defer func() {
		// The library panics with a string on what it thinks its own bugs.
		if r := recover(); r != nil {
			err = fmt.Errorf("not valid TOML: %v", r)
		}
	}()
	var top table
	if _, err := toml.Decode(string(data), &top); err != nil {
		return err
	}
	a := &air{d: d, top: top, build: top.table("build")}
	a.globals()
	a.rules()
	return nil
}

// air is a .air.toml on its way into a draft.
type air struct {
	d          *draft
	top, build table
}

// value gives a key of [build], or air's default for it.
func (a *air) value(key, fallback string) string {
	if found := text(a.build[key]); found != "" {
		return found
	}
	return fallback
}

func (a *air) list(key string, fallback ...string) []string {
	if _, given := a.build[key]; given {
		return texts(a.build[key])
	}
	return fallback
}

// globals sets what holds for the whole file.
func (a *air) globals() {
	if root := text(a.top["root"]); root != "" && root != "." {
		a.d.set("roots", []string{root})
	}
	if a.build["follow_symlink"] == true {
		a.d.set("follow", true)
	}
	if a.build["poll"] == true {
		a.d.set("backend", "poll")
		if poll := duration(text(a.build["poll_interval"]), time.Millisecond); poll != "" {
			a.d.set("poll", poll)
		}
	}
	if a.top.table("screen")["clear_on_rebuild"] == true {
		a.d.set("clear", true)
	}
	a.d.set("ignore", a.ignore())
	for _, key := range []string{"proxy", "misc", "color", "log"} {
		if a.top[key] != nil {
			a.d.lost("["+key+"]", "")
		}
	}
}

// ignore is the folders that air does not look at.
func (a *air) ignore() []string {
	dirs := a.list("exclude_dir", "assets", "tmp", "vendor", "testdata")
	if tmp := text(a.top["tmp_dir"]); tmp != "" {
		dirs = append(dirs, tmp)
	}
	var lines []string
	for _, dir := range append(dirs, a.list("exclude_file")...) {
		dir = strings.Trim(strings.TrimPrefix(clean(dir), "./"), "/ ")
		if dir != "" && !slices.Contains(lines, "/"+dir) {
			lines = append(lines, "/"+dir)
		}
	}
	return lines
}

// rules adds the chain: pre_cmd, the build, the further rules, the app.
func (a *air) rules() {
	last, files := "", a.files()
	for _, command := range a.list("pre_cmd") {
		if r := a.task("pre-"+commandName(command), command, last); r != nil {
			r.files(files)
			last = r.name
		}
	}
	if r := a.task("build", a.value("cmd", "go build -o ./tmp/main ."), last); r != nil {
		a.buildKeys(r, files)
		last = r.name
	}
	a.further()
	a.app(last)
}

// task adds a task that needs the one before it.
func (a *air) task(name, command, last string) *ruleDraft {
	r := a.d.rule(config.Task, name, command)
	if r != nil && last != "" {
		r.set("needs", []string{last})
	}
	return r
}

// files is what air rebuilds for, as globs.
func (a *air) files() []string {
	glob := extGlob(a.list("include_ext", "go", "tpl", "tmpl", "html"))
	var files []string
	for _, dir := range a.list("include_dir") {
		files = append(files, join(dir, glob))
	}
	if len(files) == 0 {
		files = append(files, glob)
	}
	return append(files, a.list("include_file")...)
}

// buildKeys sets what belongs to the build.
func (a *air) buildKeys(r *ruleDraft, files []string) {
	for _, re := range a.list("exclude_regex", `_test\.go`) {
		glob := globOf(strings.TrimSuffix(re, "$") + "$")
		if glob == "" {
			r.lost("exclude_regex "+re, "say it in files, as a glob with ! in front")
			continue
		}
		files = append(files, "!"+glob)
	}
	r.files(files)
	r.set("busy", "restart")
	if a.build["exclude_unchanged"] == true {
		r.set("content", "always")
	}
	for _, key := range []string{"delay", "post_cmd", "stop_on_error"} {
		if a.build[key] != nil {
			r.lost(key, map[string]string{
				"delay":         "flinch finds the end of a save out by itself; settle fixes a time",
				"post_cmd":      "flinch runs nothing at its end",
				"stop_on_error": "after a failed build the old program keeps running",
			}[key])
		}
	}
}

// further adds the tasks of [[build.rules]].
func (a *air) further() {
	rules, _ := a.build["rules"].([]map[string]any)
	for _, raw := range rules {
		rule := table(raw)
		r := a.d.rule(config.Task, text(rule["name"]), text(rule["cmd"]))
		if r == nil {
			continue
		}
		sub := &air{build: rule}
		r.files(sub.files())
		for _, re := range sub.list("exclude_regex") {
			r.lost("exclude_regex "+re, "say it in files, as a glob with ! in front")
		}
	}
}

// app adds the service that runs what was built.
func (a *air) app(last string) {
	r := a.d.rule(config.Service, "app", a.command())
	if r == nil {
		return
	}
	if last != "" {
		r.set("needs", []string{last})
	}
	r.set("env_file", clearEmpty(texts(a.top["env_files"])))
	if a.build["send_interrupt"] == true {
		r.set("stop_signal", "SIGINT")
	} else {
		r.say("air killed the program at once; here it is asked first")
	}
	if grace := duration(text(a.build["kill_delay"]), time.Nanosecond); grace != "" {
		r.set("stop_timeout", grace)
	}
	if a.build["rerun"] == true {
		r.set("restart", "always")
	}
}

// command is the program: full_bin is a string for the shell, the others are
// words.
func (a *air) command() any {
	if full := text(a.build["full_bin"]); full != "" {
		return full
	}
	argv := texts(a.build["entrypoint"])
	if len(argv) == 0 {
		argv = []string{a.value("bin", "./tmp/main")}
	}
	return append(argv, texts(a.build["args_bin"])...)
}
