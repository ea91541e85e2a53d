package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// lone is the time between two saves: no tool's storm lasts longer, each save is a lone one.
const lone = 350 * time.Millisecond

// BenchmarkSaveToStart is the time from a save (before its first system call)
// to the first instruction of the command, 100 folders, default settings.
func BenchmarkSaveToStart(b *testing.B) { each(b, peers(), saveToStart) }

func saveToStart(b *testing.B, p peer) {
	dir, file := tree(b, 100)
	s := newStarts(b)
	stop := startPeer(b, p.args(dir, stampPath, s.path))
	defer stop()
	s.drain(amount(2*time.Second, time.Second))
	var took, saving []time.Duration
	for b.Loop() {
		starts, saves := saveOften(b, s, file, amount(*saves, 5), cmp.Or(p.rest, lone))
		took, saving = append(took, starts...), append(saving, saves...)
	}
	report(b, took)
	slices.Sort(saving)
	b.ReportMetric(milliseconds(saving[len(saving)*99/100]), "ms-save-p99")
}

// saveOften saves a file again and again, with a rest after each, and returns how long each start took, and the save itself of that.
func saveOften(b *testing.B, s *starts, file string, times int, rest time.Duration) (took, saving []time.Duration) {
	for range times {
		began := now()
		if err := os.WriteFile(file, fmt.Appendf(nil, "package p // %d\n", began), 0o644); err != nil {
			b.Fatal(err)
		}
		saving = append(saving, time.Duration(now()-began))
		at, err := s.next(10 * time.Second)
		if err != nil {
			b.Fatalf("no start after a save: %v", err)
		}
		took = append(took, time.Duration(at-began))
		s.drain(rest)
	}
	return took, saving
}
