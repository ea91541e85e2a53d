package ready

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"READY=1", "STATUS=a=b\nMAINPID=1", "=\n=\n", "READY=1\x00", "EXTEND_TIMEOUT_USEC=99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := parse(data)
		if m.MainPID < 0 || m.Extend < 0 || strings.Contains(m.Status, "\n") {
			t.Errorf("got %+v", m)
		}
	})
}
