package debounce

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// FuzzQueue reads its input as a story, three bytes an event, and checks that every item leaves, once, in its newest form, in time, and that
// every mark leaves in order and after what it waited for. A lane may wait as long as it would alone, and as long again for each one that
// needs one.
func FuzzQueue(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x10\x05\x06\x33\x44\x77"))
	f.Add([]byte("\x05\x00\x01\x00\x01\x02\x06\x00\xff\x07\x00\x00\x00\x02\x01"))
	f.Fuzz(func(t *testing.T, story []byte) {
		m := newModel(t)
		for event := range slices.Chunk(story[:len(story)/3*3], 3) {
			m.sleep(time.Duration(event[2]) * time.Duration(event[2]) * 50 * time.Microsecond)
			m.do(event[0], event[1])
		}
		m.sleep(time.Hour)
		if m.q.Pending() || len(m.marks) > 0 {
			t.Fatalf("never left: %v, marks %v", m.pending, m.marks)
		}
	})
}

// model knows what must come out of a queue.
type model struct {
	t       *testing.T
	q       *Queue[string, int]
	now     time.Time
	serial  int
	pending []map[string]string // of each lane, the newest value of each key
	since   []time.Time
	marks   []modelMark
}

type modelMark struct {
	token int
	waits map[int]bool
}

var fuzzLanes = []Lane{{}, {Settle: Leading, After: []int{0}}, {Settle: Fixed(50 * ms), MaxWait: 300 * ms}, {MaxWait: 10 * time.Second, After: []int{2, 1}}}

func newModel(t *testing.T) *model {
	m := &model{t: t, now: time.Now(), q: NewQueue[string, int](Options[string]{Lanes: fuzzLanes, Fold: newest})}
	for range fuzzLanes {
		m.pending = append(m.pending, map[string]string{})
	}
	m.since = make([]time.Time, len(fuzzLanes))
	return m
}

// do feeds one event: kind is a lock, a mark, or the state of a key.
func (m *model) do(kind, arg byte) {
	m.serial++
	key := fmt.Sprint(arg >> 4)
	it := Item[string]{Value: fmt.Sprint(key, "#", m.serial), Fact: Fact{Key: key, State: State(kind % 5), New: kind&64 != 0, Time: m.now}}
	switch kind % 8 {
	case 5:
		it.Fact.Hold, it.Fact.State = true, Noise
	case 6:
		it.Fact.Release, it.Fact.State = true, Noise
	case 7:
		m.mark()
		return
	}
	for l := range fuzzLanes {
		if arg>>l&1 != 0 {
			it.Lanes = append(it.Lanes, l)
		}
	}
	if it.Fact.State != Noise {
		m.expect(it)
	}
	m.q.Add(Input[string, int]{Items: []Item[string]{it}}, m.now)
}

func (m *model) expect(it Item[string]) {
	for _, l := range it.Lanes {
		if len(m.pending[l]) == 0 {
			m.since[l] = m.now
		}
		m.pending[l][it.Fact.Key] = it.Value
	}
}

func (m *model) mark() {
	mark := modelMark{m.serial, map[int]bool{}}
	for l, p := range m.pending {
		if len(p) > 0 {
			mark.waits[l] = true
		}
	}
	m.marks = append(m.marks, mark)
	m.q.Add(Input[string, int]{Marks: []int{m.serial}}, m.now)
}

// sleep lets time pass and takes what becomes due. A wave may make another one due that has waited for the same lock.
func (m *model) sleep(d time.Duration) {
	end := m.now.Add(d)
	for range 100 {
		next, ok := m.q.Next()
		if !ok || next.After(end) {
			m.now = end
			return
		}
		if next.After(m.now) {
			m.now = next
		}
		if w, ok := m.q.Take(m.now); ok {
			m.check(w)
		}
	}
	m.t.Fatal("something is due for ever")
}

func (m *model) check(w Wave[string, int]) {
	for _, b := range w.Batches {
		want := slices.Sorted(maps.Values(m.pending[b.Lane]))
		if got := slices.Sorted(slices.Values(b.Items)); !slices.Equal(got, want) || len(got) == 0 {
			m.t.Fatalf("lane %d: got %v, want %v", b.Lane, got, want)
		}
		if waited := m.now.Sub(m.since[b.Lane]); waited > 3*holdLongest || !b.First.Equal(m.since[b.Lane]) {
			m.t.Fatalf("lane %d waited for %v, since %v, want %v", b.Lane, waited, b.First, m.since[b.Lane])
		}
		clear(m.pending[b.Lane])
		for _, mark := range m.marks {
			delete(mark.waits, b.Lane)
		}
	}
	for _, l := range w.Batches {
		for _, need := range fuzzLanes[l.Lane].After {
			if len(m.pending[need]) > 0 {
				m.t.Fatalf("lane %d left before %d, which it needs", l.Lane, need)
			}
		}
	}
	for _, got := range w.Marks {
		if len(m.marks) == 0 || m.marks[0].token != got || len(m.marks[0].waits) > 0 {
			m.t.Fatalf("got mark %d, want the first of %v", got, m.marks)
		}
		m.marks = m.marks[1:]
	}
	if len(m.marks) > 0 && len(m.marks[0].waits) == 0 {
		m.t.Fatalf("mark %v did not leave", m.marks[0])
	}
}
