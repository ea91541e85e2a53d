package main

import (
	"testing"

	"github.com/flinch-run/flinch/runner"
)

func TestChanged(t *testing.T) {
	for want, c := range map[string]runner.Change{
		"a.go changed":                  {Path: "a.go", Op: "write"},
		"'a b' removed":                 {Path: "a b", Op: "remove"},
		"d/a created":                   {Path: "d/a", Op: "create"},
		"d/a renamed from b":            {Path: "d/a", Op: "rename", From: "d/b"},
		"d/a renamed from a":            {Path: "d/a", Op: "rename", From: "a"},
		"d/a renamed from e/a":          {Path: "d/a", Op: "rename", From: "e/a"},
		"a renamed from 'new folder/a'": {Path: "a", Op: "rename", From: "new folder/a"},
	} {
		if got := changed(c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
