package main

import (
	"context"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// keyboard reads single keys from the terminal, while flinch is its
// foreground job. It leaves signals (Ctrl-C, Ctrl-Z) to the terminal. In the
// background, where a shell's `bg` may send flinch at any time, what is typed
// and how is none of its business.
//
// Concurrency: open, suspend and resume are called by one goroutine; the reader
// goroutine only reads and ends with the program, since a read of a terminal
// cannot be taken back.
type keyboard struct {
	fd    int
	saved *unix.Termios // the modes as they were found; nil: they are not ours now
}

// openKeyboard makes the terminal f the keyboard. It returns nil where f is
// not the terminal that controls flinch.
func openKeyboard(f *os.File) *keyboard {
	k := &keyboard{fd: int(f.Fd())}
	if _, err := unix.IoctlGetInt(k.fd, unix.TIOCGPGRP); err != nil {
		return nil
	}
	k.resume()
	return k
}

// foreground tells whether flinch may use the terminal: a background job that
// did would be stopped.
func (k *keyboard) foreground() bool {
	group, err := unix.IoctlGetInt(k.fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// resume turns line editing and echo off, so that a key is read when it is
// pressed. Output processing and the signal keys stay as they were.
func (k *keyboard) resume() {
	if k == nil || !k.foreground() {
		return
	}
	if k.saved == nil {
		saved, err := unix.IoctlGetTermios(k.fd, unix.TCGETS)
		if err != nil {
			return
		}
		k.saved = saved
	}
	mode := *k.saved
	mode.Lflag &^= unix.ICANON | unix.ECHO
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(k.fd, unix.TCSETSW, &mode)
}

// suspend gives the terminal back as it was found: before Ctrl-Z takes
// effect and at the end.
func (k *keyboard) suspend() {
	if k == nil || k.saved == nil {
		return
	}
	if k.foreground() {
		_ = unix.IoctlSetTermios(k.fd, unix.TCSETSW, k.saved)
	}
	k.saved = nil
}

// notOurs is how long to wait where something was typed for somebody else: the
// shell has not read it yet.
const notOurs = 250 * time.Millisecond

// read sends each key until ctx ends or the terminal is gone.
func (k *keyboard) read(ctx context.Context, keys chan<- byte) {
	// With SIGTTIN blocked, a read in the background is an error and does not stop flinch. The thread keeps it blocked
	// and stays this goroutine's; ignored, children would inherit it.
	runtime.LockOSThread()
	_ = unix.PthreadSigmask(unix.SIG_BLOCK, &unix.Sigset_t{Val: [16]uint64{1 << (unix.SIGTTIN - 1)}}, nil)
	buf := make([]byte, 1)
	for {
		// Standard input may be non-blocking, for whoever shares it.
		typed := []unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(typed, -1); err != nil && err != unix.EINTR {
			return
		}
		n, err := unix.Read(k.fd, buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err == unix.EIO && typed[0].Revents&unix.POLLHUP == 0:
			select {
			case <-time.After(notOurs):
				continue
			case <-ctx.Done():
				return
			}
		case err != nil || n == 0:
			return
		}
		select {
		case keys <- buf[0]:
		case <-ctx.Done():
			return
		}
	}
}
