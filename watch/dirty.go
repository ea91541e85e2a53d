package watch

import (
	"time"

	"github.com/flinch-run/flinch/watch/inotify"
)

// dirt is what has to be looked at, by the id of the directory. An event leaves a mark here and
// nothing else: memory is bounded by the number of names, not of events.
type dirt map[int32]*marks

// marks of one directory.
type marks struct {
	names     map[string]mark
	list      bool // all names
	recovered bool // because events were lost
	quiet     bool // because the caller's wishes have changed: what is new is taken in and what is unwanted given back without a word
	tries     uint8
}

// mark is what the events of one name amount to.
type mark struct {
	bits      inotify.Mask
	open      bool // made or written to, and no writer has closed it since
	closed    bool // closed by a writer or moved into place, and not written to since
	gone      bool // the last that was heard of it is that it went
	recovered bool
	quiet     bool
	newly     bool  // quiet, and all events have been read that may say otherwise
	again     uint8 // how often the look was put off
	at        time.Time
}

func (d dirt) of(id int32) *marks {
	m := d[id]
	if m == nil {
		m = new(marks)
		d[id] = m
	}
	return m
}

// event leaves the mark of one event.
func (d dirt) event(id int32, name string, bits inotify.Mask, at time.Time) {
	m := d.of(id)
	k := m.names[name]
	k.event(bits, at)
	m.put(name, k)
}

// look asks for a look at one name.
func (d dirt) look(id int32, name string, k mark) {
	m := d.of(id)
	old, known := m.names[name]
	if known {
		k = old.merge(k)
	}
	m.put(name, k)
}

func (m *marks) put(name string, k mark) {
	if m.names == nil {
		m.names = make(map[string]mark)
	}
	m.names[name] = k
}

// back puts marks back that could not be worked off; newer ones may have come meanwhile.
func (m *marks) back(old *marks) {
	m.list = m.list || old.list
	m.recovered = m.recovered || old.recovered
	m.quiet = m.quiet || old.quiet
	m.tries = max(m.tries, old.tries)
	for name, k := range old.names {
		if newer, known := m.names[name]; known {
			k = k.merge(newer)
		}
		m.put(name, k)
	}
}

func (k *mark) event(bits inotify.Mask, at time.Time) {
	k.bits |= bits
	k.at, k.quiet, k.recovered = at, false, false
	switch {
	case bits&(inotify.Delete|inotify.MovedFrom) != 0:
		k.gone, k.open, k.closed = true, false, false
	case bits&inotify.MovedTo != 0:
		k.gone, k.open, k.closed = false, false, true
	case bits&inotify.CloseWrite != 0:
		k.open, k.closed = false, true
	case bits&inotify.Create != 0:
		k.gone, k.open, k.closed = false, true, false
	case bits&inotify.Modify != 0:
		k.open, k.closed = true, false
	}
}

// loud is the mark of what has changed on the disk, whatever the caller's wishes are.
func (k mark) loud() mark {
	k.quiet = false
	return k
}

// merge folds a later mark into an earlier one.
func (k mark) merge(later mark) mark {
	if later.bits == 0 {
		later.open, later.closed, later.gone = k.open, k.closed, k.gone
	}
	later.quiet = later.quiet && k.quiet
	later.bits |= k.bits
	later.recovered = (later.recovered || k.recovered) && later.bits == 0
	later.newly = later.newly || k.newly
	later.again = max(later.again, k.again)
	if k.at.After(later.at) {
		later.at = k.at
	}
	return later
}
