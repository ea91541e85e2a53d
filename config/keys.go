package config

import (
	"math"
	"slices"
	"time"
)

// Where says in which tables a key may stand; the values add up.
type Where uint8

// The places of keys.
const (
	Global   Where = 1 << iota // above the first table
	Rules                      // in [task.NAME] and [service.NAME]
	Services                   // in [service.NAME] only
	// Inherit is a global key that is the default of the rules' key of the
	// same name. Without it a key that is Global and Rules adds up: ignore,
	// env.
	Inherit
)

// Has reports whether w holds a place.
func (w Where) Has(place Where) bool { return w&place != 0 }

// Type is the form of a key's value.
type Type uint8

// The forms of values.
const (
	TypeBool     Type = iota
	TypeInt           // whole number
	TypeString        // any text that is not empty
	TypeStrings       // array of strings
	TypeLines         // string or array of strings
	TypeDuration      // "250ms"
	TypeSize          // "10MB"
	TypeEnum          // one of Key.Values
	TypeOps           // array or comma list of Key.Values
	TypeSignal        // "SIGTERM" or "term"
	TypeBusy          // one of Key.Values or "signal:SIG"
	TypeSettle        // one of Key.Values or a duration
	TypeCommand       // string for the shell or array of words
	TypeEnv           // table of strings
	TypePort          // port number or true
	TypeURL           // "http://..."
	TypeAddress       // "host:port"
	TypeRegexp        // Go regexp
	TypeListen        // array of addresses or tables of Key.Sub
	TypeTable         // table of Key.Sub
	TypeOutput        // file name or table of Key.Sub
)

// Key describes one key of flinch.toml.
type Key struct {
	Name    string
	Where   Where
	Type    Type
	Values  []string // the words of an enum
	Default string   // as TOML text; empty: none, or found out (jobs)
	// ServiceDefault is the default in a service where it differs.
	ServiceDefault string
	Example        string // as TOML text, where there is no default to show
	Doc            string // one sentence
	Sub            []Key  // keys of a table

	set func(v value)
}

// Keys lists all keys, global ones first. Every other list of keys (schema,
// near-miss names, example) is made from it.
func Keys() []Key { return slices.Clone(keys) }

// defaultFor is the default's TOML text in rules of a kind.
func (k Key) defaultFor(kind Kind) string {
	if kind == Service && k.ServiceDefault != "" {
		return k.ServiceDefault
	}
	return k.Default
}

var keys = []Key{
	{Name: "roots", Where: Global, Type: TypeStrings, Default: `["."]`,
		Doc: "Folders (or single files) that are watched, relative to this file; the first is the root that FLINCH_ROOT names.",
		set: func(v value) { v.strings(&v.cfg.Roots, nil); v.filled(len(v.cfg.Roots)); v.distinct() }},
	{Name: "ignore", Where: Global | Rules, Type: TypeStrings, Default: `[]`,
		Doc: "What is ignored, in gitignore syntax: globally for all rules, in a rule for this rule in addition.",
		set: func(v value) { v.strings(v.ignore(), v.r.opt.Ignore) }},
	{Name: "gitignore", Where: Global, Type: TypeBool, Default: "true",
		Doc: "Whether .gitignore, .ignore, .git/info/exclude and core.excludesFile are obeyed.",
		set: func(v value) { v.bool(&v.cfg.Gitignore) }},
	{Name: "default_ignores", Where: Global, Type: TypeBool, Default: "true",
		Doc: "Whether VCS folders and the litter of editors are ignored.",
		set: func(v value) { v.bool(&v.cfg.DefaultIgnores) }},
	{Name: "follow", Where: Global, Type: TypeBool, Default: "false",
		Doc: "Whether symlinked folders are followed.",
		set: func(v value) { v.bool(&v.cfg.Follow) }},
	{Name: "wait_roots", Where: Global, Type: TypeBool, Default: "false",
		Doc: "Whether a root that does not exist yet is waited for instead of being an error.",
		set: func(v value) { v.bool(&v.cfg.WaitRoots) }},
	{Name: "backend", Where: Global, Type: TypeEnum, Values: backendNames, Default: `"auto"`,
		Doc: "How changes are seen.",
		set: func(v value) { enum(v, &v.cfg.Backend, backendNames) }},
	{Name: "poll", Where: Global, Type: TypeDuration, Default: `"250ms"`,
		Doc: "Shortest interval of polling, where polling is needed.",
		set: func(v value) { v.duration(&v.cfg.Poll, 1) }},
	{Name: "jobs", Where: Global, Type: TypeInt, Example: "4",
		Doc: "How many tasks may run at once; the number of CPUs if not set.",
		set: func(v value) { v.int(&v.cfg.Jobs, 1, 1<<16) }},
	{Name: "history", Where: Global, Type: TypeInt, Default: "200",
		Doc: "How many of the last runs are remembered with the end of their output.",
		set: func(v value) { v.int(&v.cfg.History, 0, 1<<20) }},

	{Name: "files", Where: Rules, Type: TypeStrings, Default: `["**"]`,
		Doc: "Globs of the files that the rule reacts to, relative to a root; a leading ! excludes. A rule with needs and no files reacts to its needs only.",
		set: func(v value) { v.strings(&v.rule.Files, v.r.opt.Glob) }},
	{Name: "on", Where: Global | Rules | Inherit, Type: TypeOps, Values: opNames, Default: `["create", "write", "remove", "rename"]`,
		Doc: "Kinds of change that count.",
		set: func(v value) { v.ops(&v.rule.On) }},
	{Name: "run", Where: Rules, Type: TypeCommand, Example: `["go", "build", "./..."]`,
		Doc: "The command: an array is executed as it is, a string may use the shell. {files}, {dirs} and {file} stand for what has changed.",
		set: func(v value) { v.command(&v.rule.Run) }},
	{Name: "dir", Where: Rules, Type: TypeString, Default: `"."`,
		Doc: "The folder that the command runs in, relative to this file.",
		set: func(v value) { v.string(&v.rule.Dir) }},
	{Name: "env", Where: Global | Rules, Type: TypeEnv, Example: `{ APP_ENV = "dev" }`,
		Doc: "Environment variables: globally for all rules, in a rule for this rule, where they win.",
		set: func(v value) { v.env() }},
	{Name: "env_file", Where: Rules, Type: TypeLines, Example: `".env"`,
		Doc: "Files of NAME=VALUE lines, relative to this file; they win over the global env and lose against the rule's own.",
		set: func(v value) { v.lines(&v.rule.EnvFile); v.filled(len(v.rule.EnvFile)) }},
	{Name: "needs", Where: Rules, Type: TypeStrings, Default: `[]`,
		Doc: "Rules that must have succeeded (services: be ready) first; a success of theirs triggers this rule.",
		set: func(v value) { v.strings(&v.rule.Needs, nil); v.distinct() }},
	{Name: "busy", Where: Rules, Type: TypeBusy, Values: []string{"queue", "restart", "skip"}, Default: `"queue"`, ServiceDefault: `"restart"`,
		Doc: "What a change does while the rule runs: run once more after it, stop and rerun, drop it, or send a signal.",
		set: func(v value) { v.busy(&v.rule.Busy) }},
	{Name: "at_start", Where: Global | Rules | Inherit, Type: TypeBool, Default: "true",
		Doc: "Whether the rule runs before the first change.",
		set: func(v value) { v.bool(&v.rule.AtStart) }},
	{Name: "content", Where: Global | Rules | Inherit, Type: TypeEnum, Values: contentNames, Default: `"auto"`,
		Doc: "When identical bytes are no change: if written while the rule itself ran, always, or never.",
		set: func(v value) { enum(v, &v.rule.Content, contentNames) }},
	{Name: "each", Where: Rules, Type: TypeBool, Default: "false",
		Doc: "Whether there is one run for each changed file instead of one for the batch.",
		set: func(v value) { v.bool(&v.rule.Each) }},
	{Name: "settle", Where: Global | Rules | Inherit, Type: TypeSettle, Values: []string{"auto", "leading"}, Default: `"auto"`,
		Doc: "The quiet time that ends a batch: found out, fire first and be quiet then, or fixed.",
		set: func(v value) { v.settle(&v.rule.Settle) }},
	{Name: "max_wait", Where: Global | Rules | Inherit, Type: TypeDuration, Default: `"2s"`,
		Doc: "The longest wait under endless writing; if not set, never shorter than a fixed settle.",
		set: func(v value) { v.duration(&v.rule.MaxWait, 1) }},
	{Name: "timeout", Where: Rules, Type: TypeDuration, Example: `"10m"`,
		Doc: "A run that takes longer is stopped and has failed; no limit if not set.",
		set: func(v value) { v.duration(&v.rule.Timeout, 1) }},
	{Name: "clear", Where: Global | Rules | Inherit, Type: TypeBool, Default: "false",
		Doc: "Whether the terminal is cleared before a run.",
		set: func(v value) { v.bool(&v.rule.Clear) }},
	{Name: "shell", Where: Global | Rules | Inherit, Type: TypeString, Default: `"sh"`,
		Doc: "The shell that runs a command string.",
		set: func(v value) { v.string(&v.rule.Shell) }},
	{Name: "stop_signal", Where: Global | Rules | Inherit, Type: TypeSignal, Default: `"SIGTERM"`,
		Doc: "The first signal to the whole run when it is stopped.",
		set: func(v value) { v.signal(&v.rule.StopSignal) }},
	{Name: "stop_timeout", Where: Global | Rules | Inherit, Type: TypeDuration, Default: `"5s"`,
		Doc: "After which SIGKILL follows; 0s kills at once.",
		set: func(v value) { v.duration(&v.rule.StopTimeout, 0) }},
	{Name: "leftovers", Where: Rules, Type: TypeEnum, Values: leftoversNames, Default: `"session"`, ServiceDefault: `"kill"`,
		Doc: "What happens to processes that outlive a run that ended by itself: all killed, those of its session killed, or kept.",
		set: func(v value) { enum(v, &v.rule.Leftovers, leftoversNames) }},
	{Name: "input", Where: Rules, Type: TypeEnum, Values: inputNames, Default: `"none"`,
		Doc: "The command's stdin: nothing, the terminal (one rule at most), the changed paths, or the changes as JSON.",
		set: func(v value) { enum(v, &v.rule.Input, inputNames) }},
	{Name: "output", Where: Rules, Type: TypeOutput, Example: `{ file = "build.log", max = "10MB" }`, Sub: outputKeys,
		Doc: "A file that gets a copy of all output, relative to this file.",
		set: func(v value) { v.output() }},

	{Name: "ready", Where: Services, Type: TypeTable, Example: `{ http = "http://127.0.0.1:8080/health", timeout = "10s" }`, Sub: readyKeys,
		Doc: "When the service counts as ready: all that is given must hold; as soon as it runs if not set.",
		set: func(v value) { v.ready() }},
	{Name: "reload_signal", Where: Services, Type: TypeSignal, Example: `"SIGHUP"`,
		Doc: "A signal that is sent on a change instead of a restart.",
		set: func(v value) { v.signal(&v.rule.ReloadSignal) }},
	{Name: "restart", Where: Services, Type: TypeEnum, Values: restartNames, Default: `"on-failure"`, ServiceDefault: `"on-failure"`,
		Doc: "Whether it is started again after an end that nobody asked for.",
		set: func(v value) { enum(v, &v.rule.Restart, restartNames) }},
	{Name: "listen", Where: Services, Type: TypeListen, Example: `["127.0.0.1:8080"]`, Sub: listenKeys,
		Doc: "Sockets that flinch opens once and hands down as LISTEN_FDS.",
		set: func(v value) { v.listen() }},
	{Name: "overlap", Where: Services, Type: TypeBool, Default: "false",
		Doc: "Whether the old one serves until the new one is ready.",
		set: func(v value) { v.bool(&v.rule.Overlap) }},
	{Name: "proxy", Where: Services, Type: TypeAddress, Example: `"127.0.0.1:3000"`,
		Doc: "An address where flinch holds connections while the service restarts.",
		set: func(v value) { v.address(&v.rule.Proxy) }},
}

// readyKeys are the keys of ready = { ... }.
var readyKeys = []Key{
	{Name: "port", Type: TypePort, Doc: "A port that the run listens on; true for any.",
		set: func(v value) { v.port(&v.rule.Ready.Port, &v.rule.Ready.AnyPort) }},
	{Name: "tcp", Type: TypeAddress, Doc: "An address that accepts connections.",
		set: func(v value) { v.address(&v.rule.Ready.TCP) }},
	{Name: "http", Type: TypeURL, Doc: "A URL that answers with success.",
		set: func(v value) { v.url(&v.rule.Ready.HTTP) }},
	{Name: "log", Type: TypeRegexp, Doc: "A regexp that a line of the output matches.",
		set: func(v value) { v.regexp(&v.rule.Ready.Log) }},
	{Name: "exec", Type: TypeCommand, Doc: "A command that ends with 0.",
		set: func(v value) { v.command(&v.rule.Ready.Exec) }},
	{Name: "notify", Type: TypeBool, Doc: "Whether the service says READY=1 by sd_notify.",
		set: func(v value) { v.bool(&v.rule.Ready.Notify) }},
	{Name: "timeout", Type: TypeDuration, Default: `"30s"`, Doc: "After which it has failed to become ready.",
		set: func(v value) { v.duration(&v.rule.Ready.Timeout, 1) }},
}

// readyTimeout is the default of ready.timeout.
const readyTimeout = 30 * time.Second

// listenKeys are the keys of an element of listen.
var listenKeys = []Key{
	{Name: "name", Type: TypeString, Doc: "Its name in LISTEN_FDNAMES; the rule's name if not set.",
		set: func(v value) { v.listenName() }},
	{Name: "address", Type: TypeString, Doc: "host:port, or unix: and a path.",
		set: func(v value) { v.listenAddress() }},
}

// outputKeys are the keys of output = { ... }.
var outputKeys = []Key{
	{Name: "file", Type: TypeString, Doc: "The file, relative to this one.",
		set: func(v value) { v.string(&v.rule.Output.File) }},
	{Name: "max", Type: TypeSize, Default: `"10MB"`, Doc: "The size after which it is rotated.",
		set: func(v value) { v.size(&v.rule.Output.Max, 1, math.MaxInt64) }},
}

// outputMax is the default of output.max, in bytes.
const outputMax = 10_000_000
