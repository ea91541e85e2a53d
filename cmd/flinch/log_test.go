package main

import "testing"

func TestPlural(t *testing.T) {
	for _, tt := range []struct {
		n          int
		what, want string
	}{
		{1, "rule", "1 rule"}, {0, "rule", "0 rules"}, {2, "watch", "2 watches"}, {2, "batch", "2 batches"}, {3, "process", "3 processes"},
	} {
		if got := plural(tt.n, tt.what); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
