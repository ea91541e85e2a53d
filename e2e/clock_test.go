package e2e

import "golang.org/x/sys/unix"

// now is CLOCK_MONOTONIC in nanoseconds, the same for all processes.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return ts.Nano()
}
