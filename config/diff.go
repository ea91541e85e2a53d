package config

import (
	"reflect"
	"slices"
)

// Diff is what a new config changes.
type Diff struct {
	Added, Removed, Changed []string // names of rules, in file order of the config that has them
	// Watch: roots, ignores, following or the backend differ, so the watch
	// must be set up anew.
	Watch bool
	// Limits: jobs or history differ.
	Limits bool
}

// IsZero reports whether nothing differs.
func (d Diff) IsZero() bool {
	return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 && !d.Watch && !d.Limits
}

// Diff tells what differs between c, the config in force, and next. A rule
// has changed when its effective values have: also by a global default or the
// global env. A rule that turned from task to service has changed.
func (c *Config) Diff(next *Config) Diff {
	var d Diff
	env := !slices.Equal(sortedEnv(c.Env), sortedEnv(next.Env))
	for _, r := range next.Rules {
		switch old := c.Rule(r.Name); {
		case old == nil:
			d.Added = append(d.Added, r.Name)
		case env || !old.Equal(r):
			d.Changed = append(d.Changed, r.Name)
		}
	}
	for _, r := range c.Rules {
		if next.Rule(r.Name) == nil {
			d.Removed = append(d.Removed, r.Name)
		}
	}
	d.Watch = !reflect.DeepEqual(c.watch(), next.watch())
	d.Limits = c.Jobs != next.Jobs || c.History != next.History
	return d
}

// watch is what the watch depends on.
func (c *Config) watch() []any {
	roots := make([]string, len(c.Roots))
	for i, root := range c.Roots {
		roots[i] = c.Abs(root)
	}
	return []any{roots, append([]string{}, c.Ignore...), c.Gitignore, c.DefaultIgnores, c.Follow, c.Backend, c.Poll, c.WaitRoots}
}
