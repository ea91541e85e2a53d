package debounce

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// rig runs Run with lanes that fold to the newest value. Its channels are unbuffered.
type rig struct {
	in   chan Input[string, int]
	out  chan Wave[string, int]
	stop context.CancelFunc
}

func start(t *testing.T, lanes ...Lane) rig {
	ctx, stop := context.WithCancel(t.Context())
	r := rig{make(chan Input[string, int]), make(chan Wave[string, int]), stop}
	go Run(ctx, r.in, r.out, Options[string]{Lanes: lanes, Fold: newest})
	return r
}

func (r rig) send(key string, s State) {
	r.in <- Input[string, int]{Items: []Item[string]{{Value: key, Fact: Fact{Key: key, State: s, Time: time.Now()}, Lanes: []int{0}}}}
}

func TestRunFiresExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{})
		begin := time.Now()
		r.send("f", Open)
		time.Sleep(time.Millisecond)
		r.send("f", Whole)
		w := <-r.out
		if got, want := time.Since(begin), time.Millisecond+wholeQuiet; got != want {
			t.Errorf("fired after %v, want %v", got, want)
		}
		if b := w.Batches[0]; !slices.Equal(b.Items, []string{"f"}) || !b.First.Equal(begin) || b.Last.Sub(b.First) != time.Millisecond {
			t.Errorf("got %+v", b)
		}
		close(r.in)
		if w, ok := <-r.out; ok {
			t.Errorf("got %+v after the end", w)
		}
	})
}

func TestRunDeliversWhatIsPendingAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{Settle: Fixed(time.Second)})
		r.send("f", Whole)
		close(r.in)
		begin := time.Now()
		if w := <-r.out; len(w.Batches) != 1 || time.Since(begin) != time.Second {
			t.Errorf("got %+v after %v", w, time.Since(begin))
		}
		if _, ok := <-r.out; ok {
			t.Error("out is not closed")
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{})
		r.send("f", Whole)
		r.stop()
		if w, ok := <-r.out; ok {
			t.Errorf("got %+v after the end", w)
		}
	})
}

func TestRunTakesInWhileTheConsumerIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{MaxWait: time.Second})
		defer r.stop()
		for range 100 {
			for _, key := range []string{"a", "b"} {
				r.send(key, Whole)
			}
			time.Sleep(100 * time.Millisecond)
		}
		r.in <- Input[string, int]{Marks: []int{1}}
		synctest.Wait()
		w := <-r.out
		if got := w.Batches[0].Items; !slices.Equal(got, []string{"a", "b"}) || !slices.Equal(w.Marks, []int{1}) {
			t.Errorf("got %v and marks %v, want one of each", got, w.Marks)
		}
		time.Sleep(time.Minute)
		select {
		case w := <-r.out:
			t.Errorf("got %+v twice", w)
		default:
		}
	})
}

// A wave that nobody has taken yet is not handed out half-written when its file is opened again meanwhile.
func TestRunTakesBackWhatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{})
		defer r.stop()
		r.send("f", Whole)
		time.Sleep(wholeQuiet)
		r.send("f", Open)
		begin := time.Now()
		<-r.out
		if got := time.Since(begin); got != openQuiet {
			t.Errorf("fired %v after the file was opened, want %v", got, openQuiet)
		}
	})
}

func TestRunPassesMarksOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Lane{})
		defer r.stop()
		r.send("f", Whole)
		<-r.out
		r.in <- Input[string, int]{Marks: []int{7}}
		begin := time.Now()
		if w := <-r.out; !slices.Equal(w.Marks, []int{7}) || time.Since(begin) != 0 {
			t.Errorf("got %+v after %v, want the mark at once", w, time.Since(begin))
		}
	})
}

// A timer that rings late gives what is on its way a moment more; one that is on time does not.
func TestGrace(t *testing.T) {
	for _, c := range []struct {
		late, comes time.Duration
		want        int
	}{
		{0, 0, 1},
		{lateRing, busyGrace / 2, 2},
		{lateRing, busyGrace * 2, 1},
		{time.Second, 0, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := NewQueue[string, int](Options[string]{Lanes: []Lane{{}}})
			armed := time.Now()
			item := func(key string) Input[string, int] {
				return Input[string, int]{Items: []Item[string]{{Value: key, Fact: Fact{Key: key, State: Whole, Time: time.Now()}, Lanes: []int{0}}}}
			}
			q.Add(item("a"), armed)
			time.Sleep(wholeQuiet + c.late)
			in := make(chan Input[string, int], 1)
			go func() { time.Sleep(c.comes); in <- item("b") }()
			grace(q, time.NewTimer(time.Hour), in, armed)
			wave, _ := q.Take(time.Now().Add(time.Second))
			time.Sleep(c.comes) // for the sender's end
			if got := len(wave.Batches[0].Items); got != c.want {
				t.Errorf("%v late, more after %v: %d items, want %d", c.late, c.comes, got, c.want)
			}
		})
	}
}
