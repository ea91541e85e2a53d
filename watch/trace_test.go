package watch

import (
	"fmt"
	"os"
)

// tracing: WATCH_TRACE=1 keeps the batches and operations of a round and prints them when it fails.
var traced []string

func trace(format string, args ...any) {
	if os.Getenv("WATCH_TRACE") != "" {
		traced = append(traced, fmt.Sprintf(format, args...))
	}
}
