package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// signalled says that a signal ended what flinch was doing.
type signalled struct{ sig unix.Signal }

func (s *signalled) Error() string { return "ended by " + unix.SignalName(s.sig) }

// enders are the signals that end flinch. Under nohup SIGHUP does not. SIGINT
// does also where a shell has it ignored for its background jobs: whoever sends
// it by name wants the end.
func enders() []os.Signal {
	if signal.Ignored(unix.SIGHUP) {
		return []os.Signal{unix.SIGINT, unix.SIGTERM}
	}
	return []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}
}

// untilSignal is a context that ends, with a *signalled as its cause, when a
// signal asks for the end. For commands that have nothing to clean up.
func untilSignal(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	// SIGPIPE is caught so that a write to a reader who is gone is an error to
	// the writer and no sudden end; never ignored, as children would inherit that.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, append(enders(), unix.SIGPIPE)...)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != unix.SIGPIPE {
					cancel(&signalled{sig.(unix.Signal)})
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// dieBy ends flinch as the signal would have, so that a shell sees it. PID 1
// cannot be ended by a signal that it has no handler for: it exits with 128+n.
func dieBy(sig unix.Signal) int {
	if os.Getpid() != 1 {
		signal.Reset(sig)
		_ = unix.Kill(os.Getpid(), sig)
		time.Sleep(time.Second) // it is on its way; never reached where it is not ignored
	}
	return 128 + int(sig)
}
