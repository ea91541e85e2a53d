package inotify

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Read waits until there is an event, then appends all that one read(2) of DefaultBuffer bytes brings. Events can
// come together with an error: those before the fault.
//
// Errors: os.ErrClosed after Close, os.ErrDeadlineExceeded, EBADMSG when the kernel's answer is no list of events.
func (c *Conn) Read(events []Event) ([]Event, error) { return c.ReadMax(events, DefaultBuffer) }

// ReadContext is Read that gives up when ctx ends, with its cause. It uses the read deadline, which there is one of:
// other readers that wait at that moment give up too, and afterwards none is set.
func (c *Conn) ReadContext(ctx context.Context, events []Event) ([]Event, error) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.SetReadDeadline(time.Unix(1, 0)) // it fails after Close, which wakes the reader itself
	})
	events, err := c.Read(events)
	if stop() {
		return events, err
	}
	<-woken
	_ = c.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = newError("read", "", NoWD, context.Cause(ctx))
	}
	return events, err
}

// ReadMax is Read with at most n bytes, the rest staying in the kernel. Less than MaxEventSize is refused with
// EINVAL, before any event is touched: the kernel gives no part of an event, so an entry with a long name would
// block the queue for good.
func (c *Conn) ReadMax(events []Event, n int) ([]Event, error) {
	if n < MaxEventSize {
		return events, refuse("read", "", "%d bytes are too few for an event with a long name: at least %d", n, MaxEventSize)
	}
	b := c.buffers.Get().(*Buffer)
	defer c.buffers.Put(b)
	err := c.wait(b, n)
	return b.appendEvents(events), err
}

// TryRead is Read that never waits: when nothing is queued it appends nothing and there is no error.
func (c *Conn) TryRead(events []Event) ([]Event, error) {
	b := c.buffers.Get().(*Buffer)
	defer c.buffers.Put(b)
	err := c.TryReadRaw(b)
	return b.appendEvents(events), err
}

// ReadRaw is Read into a buffer of the caller's, without any allocation: see Buffer.Events.
func (c *Conn) ReadRaw(b *Buffer) error { return c.wait(b, DefaultBuffer) }

// TryReadRaw is ReadRaw that never waits: when nothing is queued the buffer is empty and there is no error.
func (c *Conn) TryReadRaw(b *Buffer) error {
	b.prepare(c, DefaultBuffer)
	// Not bell.wait: that waits for a reader which waits.
	if err := c.bell.hold.Control(b.once); err != nil {
		return newError("read", "", NoWD, os.ErrClosed)
	}
	if b.err == unix.EAGAIN {
		return nil
	}
	return b.finish()
}

// Pending gives the bytes that wait to be read (FIONREAD). The kernel walks its whole queue to count them.
func (c *Conn) Pending() (int, error) {
	n, err := c.control(c.sys.Queued)
	if err != nil {
		return 0, newError("pending", "", NoWD, err)
	}
	return n, nil
}

func (c *Conn) wait(b *Buffer, limit int) error {
	b.prepare(c, limit)
	switch err := c.bell.wait(b.fill); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newError("read", "", NoWD, os.ErrDeadlineExceeded)
	case errors.As(err, new(syscall.Errno)):
		return newError("read", "", NoWD, err)
	case err != nil:
		return newError("read", "", NoWD, os.ErrClosed)
	}
	return b.finish()
}

// prepare empties the buffer. The functions for the poller are made once, not at each read.
func (b *Buffer) prepare(c *Conn, limit int) {
	b.whole, b.got, b.err = nil, 0, nil
	if b.space == nil {
		b.space = make([]byte, DefaultBuffer)
	}
	b.limit = min(limit, len(b.space))
	if b.fill == nil {
		b.fill = b.attempt
		b.once = func(uintptr) { b.attempt() }
	}
	b.conn = c
}

// attempt reads once and tells whether that was an answer; the poller calls it again when there may be one.
func (b *Buffer) attempt() bool {
	for {
		b.got, b.err = b.conn.sys.Read(b.conn.fd, b.space[:b.limit])
		if b.err != unix.EINTR {
			return b.err != unix.EAGAIN
		}
	}
}

func (b *Buffer) finish() error {
	if b.err != nil {
		return newError("read", "", NoWD, b.err)
	}
	n := wholeEvents(b.space[:b.got])
	b.whole = b.space[:n]
	if n == 0 || n < b.got {
		return malformed(n, b.got)
	}
	return nil
}
