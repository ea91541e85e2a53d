package command

import (
	"slices"
	"strings"
)

// Environ merges environments of "NAME=value" strings: later ones win, each
// name stays where it first stood. Strings without a name are left out.
func Environ(layers ...[]string) []string {
	var env []string
	at := make(map[string]int)
	for _, layer := range layers {
		for _, v := range layer {
			name, _, ok := strings.Cut(v, "=")
			if !ok || name == "" {
				continue
			}
			if i, ok := at[name]; ok {
				env[i] = v
				continue
			}
			at[name] = len(env)
			env = append(env, v)
		}
	}
	return env
}

// without is env less the variables named.
func without(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}
