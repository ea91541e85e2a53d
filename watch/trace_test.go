package watch

import (
	"fmt"
	"os"
	"sync"
)

// tracing keeps what happened in a random test, to be shown when it fails; WATCH_TRACE=1 turns it on.
type tracing struct {
	mu    sync.Mutex
	lines []string
}

var traced tracing

func trace(format string, args ...any) {
	if os.Getenv("WATCH_TRACE") == "" {
		return
	}
	traced.mu.Lock()
	defer traced.mu.Unlock()
	traced.lines = append(traced.lines, fmt.Sprintf(format, args...))
	traced.lines = traced.lines[max(0, len(traced.lines)-4000):]
}

func (t *tracing) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}
