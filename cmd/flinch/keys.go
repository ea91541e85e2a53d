package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// keyboard reads single keys from the terminal, while flinch is its
// foreground job. It leaves signals (Ctrl-C, Ctrl-Z) to the terminal.
//
// Concurrency: open, suspend, resume and close are called by one goroutine;
// the reader goroutine only reads and ends with the program, since a read of
// a terminal cannot be taken back.
type keyboard struct {
	fd    int
	saved *unix.Termios
}

// openKeyboard switches the terminal f to single keys. It returns nil where f
// is no terminal or flinch is not its foreground job: a background job that
// changes the terminal would be stopped by SIGTTOU.
func openKeyboard(f *os.File) *keyboard {
	fd := int(f.Fd())
	saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil
	}
	foreground, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || foreground != unix.Getpgrp() {
		return nil
	}
	k := &keyboard{fd: fd, saved: saved}
	k.resume()
	return k
}

// resume turns line editing and echo off, so that a key is read when it is
// pressed. Output processing and the signal keys stay as they were.
func (k *keyboard) resume() {
	if k == nil {
		return
	}
	mode := *k.saved
	mode.Lflag &^= unix.ICANON | unix.ECHO
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(k.fd, unix.TCSETSW, &mode)
}

// suspend gives the terminal back as it was found: before Ctrl-Z takes
// effect and at the end.
func (k *keyboard) suspend() {
	if k != nil {
		_ = unix.IoctlSetTermios(k.fd, unix.TCSETSW, k.saved)
	}
}

// read sends each key until ctx ends or the terminal is gone.
func (k *keyboard) read(ctx context.Context, keys chan<- byte) {
	buf := make([]byte, 1)
	for {
		// Standard input may be non-blocking, for whoever shares it.
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return
		}
		n, err := unix.Read(k.fd, buf)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
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
