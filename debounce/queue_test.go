package debounce

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// script drives a queue by a little language, one event a word, and returns what left and when. Words are TIME:WHAT, times in milliseconds:
//
//	5:f      key f is whole, for lane 0      5:f+    it is open       5:f-   it is gone     5:f*   it is new and whole
//	5:f*+    it is new and open              5:f?    nothing is known of it       5:f~    noise
//	5:f@1,2  for the lanes 1 and 2 (f@ for none)
//	5:lock(  a lock is taken                 5:lock) it is released   5:#m   the mark m
//
// The result has one word a wave: TIME:LANE=keys in order, marks after a #.
func script(q *Queue[string, string], words string) string {
	epoch := time.Now()
	var left []string
	advance := func(until time.Time) {
		for {
			next, ok := q.Next()
			if !ok || next.After(until) {
				return
			}
			if w, ok := q.Take(next); ok {
				left = append(left, describe(w, next.Sub(epoch)))
			}
		}
	}
	for word := range strings.FieldsSeq(words) {
		at, in := parse(word)
		now := epoch.Add(at)
		advance(now.Add(-1))
		q.Add(in, now)
		advance(now)
	}
	advance(epoch.Add(time.Hour))
	return strings.Join(left, " ")
}

func parse(word string) (time.Duration, Input[string, string]) {
	at, what, _ := strings.Cut(word, ":")
	d, err := time.ParseDuration(at + "ms")
	if err != nil {
		panic(err)
	}
	if mark, ok := strings.CutPrefix(what, "#"); ok {
		return d, Input[string, string]{Marks: []string{mark}}
	}
	key, lanes, routed := strings.Cut(what, "@")
	it := Item[string]{Lanes: []int{0}}
	if routed {
		it.Lanes = nil
		for l := range strings.SplitSeq(lanes, ",") {
			var i int
			if _, err := fmt.Sscan(l, &i); err == nil {
				it.Lanes = append(it.Lanes, i)
			}
		}
	}
	it.Fact.State, it.Fact.New = Whole, strings.Contains(key, "*")
	switch n := len(key) - 1; key[n] {
	case '+':
		it.Fact.State = Open
	case '-':
		it.Fact.State = Gone
	case '?':
		it.Fact.State = Unknown
	case '~':
		it.Fact.State = Noise
	case '(':
		it.Fact.Hold, it.Fact.State, it.Lanes = true, Noise, nil
	case ')':
		it.Fact.Release, it.Fact.State, it.Lanes = true, Noise, nil
	}
	it.Fact.Key = strings.TrimRight(key, "+-?~*()")
	it.Value = it.Fact.Key
	return d, Input[string, string]{Items: []Item[string]{it}}
}

func describe(w Wave[string, string], at time.Duration) string {
	s := fmt.Sprintf("%v:", float64(at)/float64(ms))
	for i, b := range w.Batches {
		if i > 0 {
			s += "|"
		}
		s += fmt.Sprintf("%d=%s", b.Lane, strings.Join(b.Items, ","))
	}
	for _, m := range w.Marks {
		s += "#" + m
	}
	return s
}

func newest(_, newer string) (string, bool) { return newer, true }

func TestPolicy(t *testing.T) {
	auto := []Lane{{}}
	for _, c := range []struct {
		name, in, want string
		lanes          []Lane
	}{
		{name: "a lone save", in: "0:f", want: "4:0=f"},
		{name: "a save seen in its parts", in: "0:f- 0.1:f+ 0.4:f", want: "4.4:0=f"},
		{name: "a writer that pauses", in: "0:f+ 80:f+ 160:f+ 170:f", want: "174:0=f"},
		{name: "a writer that never closes", in: "0:f+", want: "100:0=f"},
		{name: "a new file that pauses longer", in: "0:f*+ 240:f+ 480:f+ 490:f", want: "494:0=f"},
		{name: "a new file that is never closed", in: "0:f*+ 1000:f+", want: "500:0=f 1100:0=f"},
		{name: "a new file that is known by now", in: "0:f*+ 240:f+ 480:f+ 720:f+ 960:f+ 1200:f+ 1440:f+ 1680:f+ 1920:f+ 2160:f+", want: "2000:0=f 2410:0=f"},
		{name: "a removal", in: "0:f-", want: "30:0=f"},
		{name: "a known file renamed away and back", in: "0:f- 20:f", want: "24:0=f"},
		{name: "a temporary file that goes again", in: "0:t* 1:t- 1:f", want: "11:0=t,f"},
		{name: "an end that nobody saw", in: "0:f?", want: "10:0=f"},
		{name: "noise starts nothing", in: "0:f~ 5:g@", want: ""},
		{name: "saves far apart stay lone", in: "0:f 350:f 700:g", want: "4:0=f 354:0=f 704:0=g"},
		{name: "a save and its formatter", in: "0:f 60:f", want: "4:0=f 68:0=f"},
		{name: "a lock holds until it goes", in: "0:l( 1:f 900:g 1000:l)", want: "1180:0=f,g"},
		{name: "a lock taken again holds on", in: "0:l( 1:f 20:l) 50:l( 100:g 110:l)", want: "210:0=f,g"},
		{name: "a lock that is slow to come again", in: "0:l( 1:f 20:l) 80:l( 90:l)", want: "270:0=f"},
		{name: "noise after a lock", in: "0:l( 1:f 20:l) 110:x~ 200:y@ 265:z~ 275:w~", want: "365:0=f"},
		{name: "work under a lock goes on", in: "0:l( 1:a 2000:b 4500:c 5400:d 6300:e 7000:l)", want: "7180:0=a,b,c,d,e"},
		{name: "writing the same under a lock is no work", in: "0:l( 1:a 2000:a 4500:a 5400:a", want: "5001:0=a 5404:0=a"},
		{name: "a lock that comes and goes with nothing pending", in: "0:l( 1:l) 2:f", want: "6:0=f"},
		{name: "a lock that never goes", in: "0:l( 1:f", want: "5001:0=f"},
		{name: "a left-over lock holds once only", in: "0:l( 1:f 9000:f", want: "5001:0=f 9004:0=f"},
		{name: "fixed", in: "0:f+ 40:f- 80:f", want: "130:0=f", lanes: []Lane{{Settle: Fixed(50 * ms)}}},
		{name: "fixed is held too", in: "0:l( 1:f 500:l)", want: "680:0=f", lanes: []Lane{{Settle: Fixed(50 * ms)}}},
		{name: "leading", in: "0:f 1:g 2000:f", want: "0:0=f 11:0=g 2000:0=f", lanes: []Lane{{Settle: Leading}}},
		{name: "leading waits for a writer", in: "0:f- 0.2:f+ 0.4:f", want: "0.4:0=f", lanes: []Lane{{Settle: Leading}}},
		{name: "longest wait", in: "0:f 20:f 40:f 60:f 80:f", want: "50:0=f 110:0=f", lanes: []Lane{{Settle: Fixed(30 * ms), MaxWait: 50 * ms}}},
		{name: "two lanes at one moment", in: "0:f@0,1", want: "4:0=f|1=f", lanes: []Lane{{}, {}}},
		{name: "a lane waits for the one it needs", in: "0:f@0 1:g+@1 9:g@1", want: "13:0=f|1=g", lanes: []Lane{{After: []int{1}}, {}}},
		{name: "a circle of needs", in: "0:f@0,1", want: "4:0=f|1=f", lanes: []Lane{{After: []int{1}}, {After: []int{0}}}},
		{name: "a mark with nothing pending", in: "3:#m", want: "3:#m"},
		{name: "a mark waits for what was pending", in: "0:f@0 1:#m 1:g@1 2:#n", want: "4:0=f#m 5:1=g#n", lanes: []Lane{{}, {}}},
	} {
		if c.lanes == nil {
			c.lanes = auto
		}
		q := NewQueue[string, string](Options[string]{Lanes: c.lanes, Fold: newest})
		if got := script(q, c.in); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.in, got, c.want)
		}
		if q.Pending() || len(q.lanes[0].entries) > 0 {
			t.Errorf("%s: something is left: %+v", c.name, q.lanes[0])
		}
	}
}

func TestFoldCancels(t *testing.T) {
	created := map[string]bool{}
	cancel := func(_, newer string) (string, bool) { created[newer] = !created[newer]; return newer, !created[newer] }
	q := NewQueue[string, string](Options[string]{Lanes: []Lane{{}}, Fold: cancel})
	if got, want := script(q, "0:t 1:#m 2:t- 50:f"), "2:#m 54:0=f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSetLanes(t *testing.T) {
	q := NewQueue[string, string](Options[string]{Lanes: []Lane{{}, {}, {}}})
	now := time.Now()
	items := []Item[string]{
		{Value: "a", Fact: Fact{Key: "a", State: Whole}, Lanes: []int{0, 2}},
		{Value: "b", Fact: Fact{Key: "b", State: Whole}, Lanes: []int{1}},
	}
	q.Add(Input[string, string]{Items: items, Marks: []string{"m"}}, now)
	q.Add(Input[string, string]{Lanes: &Lanes{Lanes: []Lane{{Settle: Fixed(9 * ms)}, {}}, From: []int{2, 0}}}, now)
	for _, want := range []Wave[string, string]{
		{Batches: []Batch[string]{{Lane: 1, Items: []string{"a"}, First: now, Last: now, Why: "quiet 4ms"}}},
		{Batches: []Batch[string]{{Lane: 0, Items: []string{"a"}, First: now, Last: now, Why: "quiet 9ms"}}, Marks: []string{"m"}},
	} {
		at, _ := q.Next()
		if got, _ := q.Take(at); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if q.Pending() {
		t.Error("a lane that nobody took over is still pending")
	}
}

// The order of one look does not matter: a lock that went in it went after everything else.
func TestReleaseBeforeItsFiles(t *testing.T) {
	q := NewQueue[string, int](Options[string]{Lanes: []Lane{{}}})
	now := time.Now()
	q.Add(Input[string, int]{Items: []Item[string]{
		{Fact: Fact{Key: "l", State: Noise, Release: true}},
		{Fact: Fact{Key: "f", State: Whole}, Lanes: []int{0}},
	}}, now)
	if at, _ := q.Next(); at.Sub(now) != releaseQuiet {
		t.Errorf("due after %v, want %v", at.Sub(now), releaseQuiet)
	}
}

func TestTimesAreClamped(t *testing.T) {
	q := NewQueue[string, int](Options[string]{Lanes: []Lane{{}}})
	now := time.Now()
	for _, at := range []time.Duration{-ms, time.Hour, -time.Hour} {
		q.Add(Input[string, int]{Items: []Item[string]{{Fact: Fact{Key: "f", State: Whole, Time: now.Add(at)}, Lanes: []int{0}}}}, now)
	}
	if at, _ := q.Next(); at.Sub(now) != wholeQuiet {
		t.Errorf("due after %v, want %v", at.Sub(now), wholeQuiet)
	}
	w, _ := q.Take(now.Add(wholeQuiet))
	if b := w.Batches[0]; now.Sub(b.First) != ms || !b.Last.Equal(now) {
		t.Errorf("got %v to %v", b.First.Sub(now), b.Last.Sub(now))
	}
}

// What is pending is bounded by the number of keys, and in the order of their last change.
func TestPendingIsBounded(t *testing.T) {
	q := NewQueue[string, int](Options[string]{Lanes: []Lane{{}}, Fold: newest})
	now := time.Now()
	for i := range 10_000 {
		key := fmt.Sprint(i * 7 % 10)
		q.Add(Input[string, int]{Items: []Item[string]{{Value: key, Fact: Fact{Key: key, State: Whole}, Lanes: []int{0}}}}, now)
		if n := len(q.lanes[0].values()); n > 10 {
			t.Fatalf("%d items for 10 keys", n)
		}
	}
	w, _ := q.Take(now.Add(time.Second))
	if got, want := strings.Join(w.Batches[0].Items, ""), "0741852963"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStateString(t *testing.T) {
	for s, want := range map[State]string{Unknown: "unknown", Whole: "whole", Open: "open", Gone: "gone", Noise: "noise", 77: "noise"} {
		if got := s.String(); got != want {
			t.Errorf("%d: got %s, want %s", s, got, want)
		}
	}
}
