package debounce

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

var traces = flag.String("traces", "testdata/traces", "folder of the traces to replay; the table is compared for the usual one only")

var update = flag.Bool("update", false, "write testdata/table.txt anew")

// The lanes of a replay: one that sees what flinch's default ignores leave, one that sees the editors' litter too, one that answers first.
var replayLanes = []Lane{{}, {}, {Settle: Leading}}

// TestTraces replays what real editors, git and other writers did, and compares the runs with the table in the repository and with what
// must hold whatever the table says.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(*traces, "*.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintln(w, "trace\tevents\tlasts ms\truns\tfirst event to first run\tlast event to last run\truns 3 times slower\truns with litter\truns leading\tfirst event to first run\t")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".gz")
		tr, slow := load(t, file, 1), load(t, file, 3)
		r := replay(t, tr)
		check(t, name, tr, r[0])
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%s\t%d\t%d\t%d\t%s\t\n", name, tr.events, millis(tr.last-tr.first), r[0].describe(tr), len(replayQueue(slow)[0]), len(r[1]), len(r[2]), r[2].firstDelay(tr))
	}
	w.Flush()
	if *traces != flag.Lookup("traces").DefValue {
		t.Logf("\n%s", &table)
		return
	}
	compare(t, "testdata/table.txt", table.Bytes())
}

// check holds the promises.
func check(t *testing.T, name string, tr recorded, runs runs) {
	want := func(ok bool, what string) {
		if !ok {
			t.Errorf("%s: %s: got %s", name, what, runs.describe(tr))
		}
	}
	one := len(runs) == 1
	switch {
	case name == "git-status":
		want(len(runs) == 0, "no run")
	case strings.HasPrefix(name, "save-all"):
		want(one && runs[0] >= tr.last, "one run, after the last write")
	case strings.HasPrefix(name, "save-"):
		want(one && runs[0] >= tr.last, "one run, after the save")
		want(name == "save-git-restore" || runs[0]-tr.last <= fewQuiet, "soon after the save")
	case name == "git-commit":
		want(len(runs) == 0, "no run")
	case strings.HasPrefix(name, "git-"), name == "tar", name == "rsync-tree", name == "cp-tree", strings.HasPrefix(name, "sed-"):
		want(one && runs[0] >= tr.last, "one run, after the last write")
	case strings.HasPrefix(name, "artefact"), name == "slow-save", name == "go-build":
		want(one && runs[0] >= tr.last, "one run, after the close")
	case name == "150-files", name == "slow-tool", name == "formatter":
		want(len(runs) <= 2 && runs[len(runs)-1] >= tr.last, "two runs at most, one after the last write")
	case name == "ten-saves":
		want(len(runs) == 10, "a run a save")
	case strings.HasPrefix(name, "endless"):
		want(len(runs) <= int((tr.last-tr.first)/time.Second), "a run a second at most")
		for i, last := 0, tr.first; i < len(runs); i, last = i+1, runs[i] {
			want(runs[i]-last <= DefaultMaxWait+50*time.Millisecond, "a run every two seconds")
		}
	}
}

// recorded is a trace made ready: what package watch would say, look for look.
type recorded struct {
	inputs      []looked
	events      int
	first, last time.Duration // of what lane 0 wants
}

type looked struct {
	at    time.Duration
	items []Item[change]
}

// change is the value that flows in replays.
type change struct {
	path    string
	created bool
	removed bool
}

// net joins two changes of a path: one that came and went was never there.
func net(older, newer change) (change, bool) {
	return change{newer.path, older.created, newer.removed}, !(older.created && newer.removed)
}

// load reads a trace of testdata/record. Times are stretched, as on a slower machine.
func load(t *testing.T, file string, stretch time.Duration) recorded {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tr, tree := recorded{first: -1}, tree{}
	for _, e := range parseTrace(z, tree) {
		if it, ok := tree.item(e.mask, e.path); ok {
			tr.add(e.at*stretch, it)
		}
	}
	return tr
}

// raw is an event of the kernel.
type raw struct {
	at   time.Duration
	mask uint32
	path string
}

// parseTrace reads the events of a trace, and what was there before into known.
func parseTrace(r io.Reader, known tree) []raw {
	var events []raw
	made := map[string]int{} // files whose writer was not seen yet, by the index of their making
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if path, ok := strings.CutPrefix(line, "= "); ok {
			known[path] = &node{}
		}
		var micros int64
		var e raw
		if n, _ := fmt.Sscanf(line, "%d %x", &micros, &e.mask); n != 2 {
			continue
		}
		e.at, e.path = time.Duration(micros)*time.Microsecond, strings.SplitN(line, " ", 3)[2]
		switch {
		case e.mask&(unix.IN_CREATE|unix.IN_ISDIR) == unix.IN_CREATE:
			made[e.path] = len(events)
		case e.mask&(unix.IN_MODIFY|unix.IN_CLOSE_WRITE) != 0:
			delete(made, e.path)
		}
		events = append(events, e)
	}
	for _, i := range made {
		events[i].mask |= unix.IN_CLOSE_WRITE // a link, which has no writer: lstat would tell
	}
	return events
}

func (tr *recorded) add(at time.Duration, it Item[change]) {
	if n := len(tr.inputs); n == 0 || tr.inputs[n-1].at != at {
		tr.inputs = append(tr.inputs, looked{at: at})
	}
	in := &tr.inputs[len(tr.inputs)-1]
	in.items = append(in.items, it)
	tr.events++
	if len(it.Lanes) == 0 || it.Lanes[0] != 0 {
		return
	}
	if tr.first < 0 {
		tr.first = at
	}
	tr.last = at
}

// tree is what a watcher knows of the files.
type tree map[string]*node

type node struct{ touched bool } // something happened since the last close

// item says what an event means, as package watch and the wiring of flinch do.
func (t tree) item(mask uint32, name string) (Item[change], bool) {
	f := Fact{Key: name, State: Whole, New: t[name] == nil}
	switch n := t[name]; {
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		f.State, f.New = Gone, false
		delete(t, name)
	case mask&unix.IN_ATTRIB != 0:
		if n != nil {
			n.touched = true
		}
		return Item[change]{}, false
	case mask&(unix.IN_CREATE|unix.IN_MODIFY|unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) == 0:
		return Item[change]{}, false
	case mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_ISDIR) == 0:
		f.State = Open
		t[name] = &node{touched: true}
	case mask == unix.IN_CLOSE_WRITE && n != nil && !n.touched:
		return Item[change]{}, false // nothing was written: lstat would tell
	default:
		t[name] = &node{}
	}
	it := Item[change]{Fact: f, Value: change{name, f.New, f.State == Gone}}
	switch {
	case name == ".git/index.lock":
		it.Fact.Hold, it.Fact.Release, it.Fact.State = mask&unix.IN_CREATE != 0, f.State == Gone, Noise
	case name == ".git" || strings.HasPrefix(name, ".git/"):
	case litter.MatchString(path.Base(name)):
		it.Lanes = []int{1}
	default:
		it.Lanes = []int{0, 1, 2}
	}
	return it, true
}

// litter is about what flinch ignores by default.
var litter = regexp.MustCompile(`^(4913|.*~|\..*\.sw.|\.#.*|#.*#|.*___jb_...___|.*\.go\.\d+|sed......)$`)

// runs are the times at which a lane's batches left.
type runs []time.Duration

func (r runs) describe(tr recorded) string {
	if len(r) == 0 {
		return "0\t\t"
	}
	return fmt.Sprintf("%d\t%s\t%.1f", len(r), r.firstDelay(tr), millis(r[len(r)-1]-tr.last))
}

func (r runs) firstDelay(tr recorded) string {
	if len(r) == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", millis(r[0]-tr.first))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// replay lets a trace happen in synthetic time, and returns when each lane ran. Run and a bare Queue must agree.
func replay(t *testing.T, tr recorded) []runs {
	out := make([]runs, len(replayLanes))
	synctest.Test(t, func(t *testing.T) {
		in, waves := make(chan Input[change, int]), make(chan Wave[change, int])
		go Run(t.Context(), in, waves, Options[change]{Lanes: replayLanes, Fold: net})
		begin := time.Now()
		go func() {
			defer close(in)
			for _, l := range tr.inputs {
				time.Sleep(time.Until(begin.Add(l.at)))
				in <- Input[change, int]{Items: l.items}
			}
		}()
		for w := range waves {
			for _, b := range w.Batches {
				out[b.Lane] = append(out[b.Lane], time.Since(begin))
			}
		}
	})
	if got, want := fmt.Sprint(replayQueue(tr)), fmt.Sprint(out); got != want {
		t.Errorf("Queue ran at %v, Run at %v", got, want)
	}
	return out
}

func replayQueue(tr recorded) []runs {
	out := make([]runs, len(replayLanes))
	q := NewQueue[change, int](Options[change]{Lanes: replayLanes, Fold: net})
	begin := time.Now()
	advance := func(until time.Duration) {
		for {
			next, ok := q.Next()
			if !ok || next.Sub(begin) >= until {
				return
			}
			w, _ := q.Take(next)
			for _, b := range w.Batches {
				out[b.Lane] = append(out[b.Lane], next.Sub(begin))
			}
		}
	}
	for _, l := range tr.inputs {
		advance(l.at)
		q.Add(Input[change, int]{Items: l.items}, begin.Add(l.at))
	}
	advance(time.Hour)
	return out
}

func compare(t *testing.T, file string, got []byte) {
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", file, got)
	}
	t.Logf("\n%s", got)
}
