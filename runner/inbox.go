package runner

import "sync"

// inbox is a queue without a limit: putting never blocks. It has one reader.
type inbox[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	wake   chan struct{} // holds one when there may be something new
}

func newInbox[T any]() *inbox[T] { return &inbox[T]{wake: make(chan struct{}, 1)} }

func (b *inbox[T]) put(item T) {
	b.mu.Lock()
	b.items = append(b.items, item)
	b.mu.Unlock()
	b.signal()
}

// close lets get end when all that was put has been got.
func (b *inbox[T]) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.signal()
}

func (b *inbox[T]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// get waits for the next item; false: closed, and none is left.
func (b *inbox[T]) get() (item T, ok bool) {
	for {
		item, ok, closed := b.take()
		if ok || closed {
			return item, ok
		}
		<-b.wake
	}
}

func (b *inbox[T]) take() (item T, ok, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		return item, false, b.closed
	}
	item = b.items[0]
	b.items = b.items[1:]
	return item, true, b.closed
}
