package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// A program that stands still between two writes for longer than any quiet
// time makes two batches of one save, and rightly so. On a machine that is
// busy with other things that happens to every program. The kernel tells how
// long tasks have waited: only what was disturbed so is tried again.
const (
	disturbance = 20 * time.Millisecond
	tries       = 6
)

// pressure is how long tasks of this machine have waited for a CPU or a disk so
// far; nothing where the kernel does not tell.
func pressure() (waited time.Duration) {
	for _, what := range []string{"cpu", "io"} {
		some, _, _ := strings.Cut(content("/proc/pressure/"+what), "\n")
		_, total, _ := strings.Cut(some, "total=")
		us, _ := strconv.ParseInt(total, 10, 64)
		waited += time.Duration(us) * time.Microsecond
	}
	return waited
}

// undisturbed does something until it says that all is well; it fails the test where it
// does not although no task of this machine had to wait meanwhile.
func undisturbed(t *testing.T, attempt func() (complaint string)) {
	t.Helper()
	for try := 1; ; try++ {
		before := pressure()
		complaint := attempt()
		waited := pressure() - before
		switch {
		case complaint == "":
			return
		case waited < disturbance || try == tries:
			t.Fatalf("%s (try %d, tasks waited %v)", complaint, try, waited)
		}
		t.Logf("tried again: %s, tasks waited %v", complaint, waited)
	}
}
