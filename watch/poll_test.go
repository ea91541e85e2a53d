package watch

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/watch/inotify"
)

func polling20(o *Options) { o.Backend, o.Poll = "poll", 20*time.Millisecond }

// TestPolling: the same tree and the same reports without inotify.
func TestPolling(t *testing.T) {
	p := watchAfter(t, "mkdir -p r/a/b; echo 1 >r/a/b/f; echo 2 >r/g; ln -s g r/l", polling20)
	steps := []step{
		{"echo more >>r/a/b/f", []string{"write file a/b/f"}},
		{"mkdir -p r/n/m; echo >r/n/m/h", []string{"create dir n", "create dir n/m", "create file n/m/h"}},
		{"mv r/a r/z", []string{"rename dir z from a", "rename dir z/b from a/b", "rename file z/b/f from a/b/f"}},
		{"mv r/g r/k", []string{"rename file k from g"}},
		{"chmod 600 r/k", []string{"attrib file k"}},
		{"touch -d 2001-01-01 r/k", []string{"write file k"}},
		{"rm -r r/n r/l; mkdir r/l", []string{"remove dir n", "remove dir n/m", "remove file n/m/h", "write dir l"}},
		{"rm -r r", []string{"remove dir l", "remove dir z", "remove dir z/b", "remove file z/b/f", "remove file k"}},
		{"mkdir r; echo >r/back", []string{"create file back"}},
	}
	for _, s := range steps {
		p.sh(s.script)
		p.until(s.want...)
	}
}

// TestPollSameTick: a second write in the same tick of a coarse clock leaves the times as they were. What is so
// young is looked at again.
func TestPollSameTick(t *testing.T) {
	p := watchAfter(t, "echo 0 >r/f; sleep 0.05", polling20)
	for i := range 10 {
		if err := os.WriteFile(p.path("r/f"), []byte{byte('0' + i)}, 0o644); err != nil {
			t.Fatal(err)
		}
		p.until("write file f")
	}
}

// TestBehindTheKernelsBack: what is written to the source of a FUSE mount is not told to those who watch the mount. So it
// is with folders that Docker Desktop, WSL and virtual machines share.
func TestBehindTheKernelsBack(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("bindfs"); err != nil {
		t.Skip("needs bindfs")
	}
	dir := t.TempDir()
	p := &probe{t: t, dir: dir}
	p.sh("mkdir -p r/shared src/d; echo 1 >src/d/f")
	p.sh("bindfs --no-allow-other src r/shared 2>/dev/null || bindfs src r/shared")
	defer p.sh("umount -l r/shared")
	w, err := New(t.Context(), Options{Roots: []string{p.path("r")}, Poll: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	p.w = w
	s := w.Stats()
	if s.Backend != "inotify+poll" || s.Polled != 2 || len(s.Mounts) != 2 {
		t.Errorf("stats: %+v", s)
	}
	p.sh("echo 2 >>src/d/f; mkdir src/n; echo >src/n/g")
	p.until("write file shared/d/f", "create dir shared/n", "create file shared/n/g")
	p.sh("rm -r src/d")
	p.until("remove dir shared/d", "remove file shared/d/f")
	p.want("echo >r/local", "create file local")
	p.sh("echo own >r/shared/own")
	p.until("create file shared/own")
}

// TestPollCost: polling keeps to its part of one CPU.
func TestPollCost(t *testing.T) {
	p := watchAfter(t, "i=0; while [ $i -lt 300 ]; do mkdir r/$i; echo >r/$i/f; i=$((i+1)); done", func(o *Options) {
		o.Backend, o.Poll = "poll", 10*time.Millisecond
	})
	p.sh("sleep 0.1")
	before := cpuTime(t)
	began := time.Now()
	p.sh("sleep 1") // the span that is measured
	if share := (cpuTime(t) - before).Seconds() / time.Since(began).Seconds(); share > 0.10 {
		t.Errorf("%.1f %% of one CPU", share*100)
	}
	if p.w.Stats().LastPoll == 0 {
		t.Error("nothing was polled")
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestSleepOfTheMachine(t *testing.T) {
	p := watchAfter(t, "touch r/f")
	p.w.clock.woke <- struct{}{}
	p.until()
	if s := p.w.Stats(); s.Rescans != 1 {
		t.Errorf("%d rescans", s.Rescans)
	}
}

// TestUnknownFilesystem: one of a type that we do not know is polled beside inotify until it shows what it is worth.
func TestUnknownFilesystem(t *testing.T) {
	k := system()
	k.fsType = func(int) (int64, error) { return 0x1234567, nil }
	for _, silent := range []bool{false, true} {
		warnings := make(chan Warning, 10)
		var sys inotify.Syscalls
		if silent {
			sys.Add = func(fd int, path string, mask uint32) (int, error) {
				return unix.InotifyAddWatch(fd, path, unix.IN_DELETE_SELF)
			}
		}
		p := watchWith(t, "mkdir r/d; touch r/d/f", k, sys, Options{Poll: 100 * time.Millisecond, Warn: func(v Warning) { warnings <- v }})
		if s := p.w.Stats(); s.Polled != 2 {
			t.Errorf("silent %v: %d of 2 are polled", silent, s.Polled)
		}
		deadline := time.Now().Add(10 * time.Second)
		for i := 0; len(warnings) == 0 && p.w.Stats().Polled > 0; i++ {
			p.sh("echo >>r/d/f")
			if _, err := p.nextWithin(); err != nil || time.Now().After(deadline) {
				t.Fatalf("silent %v: undecided: %v", silent, err)
			}
		}
		if silent {
			if v := <-warnings; v.Kind != PollingMount || v.String() == "" {
				t.Errorf("warning %v", v)
			}
		} else if len(warnings) > 0 {
			t.Errorf("a filesystem that tells: %v", <-warnings)
		}
	}
}

// TestTimesInTheFuture: a file that is dated years ahead is no younger than others.
func TestTimesInTheFuture(t *testing.T) {
	p := watchAfter(t, "touch -d 2099-01-01 r/old", polling20)
	p.sh("touch -d 2099-01-01 r/f")
	p.until("create file f")
	var passes time.Duration
	for seen := 0; seen < 5; { // passes of polling, which must find nothing
		now := p.w.Stats().LastPoll
		if now != passes {
			seen++
		}
		passes = now
	}
	p.same("nothing more")
	p.sh("echo >>r/old; touch -d 2100-01-01 r/old")
	p.until("write file old")
	p.same("nothing more")
}
