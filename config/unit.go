package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// unitError is a signal or a size that cannot be read.
type unitError struct{ msg, hint string }

func (e *unitError) Error() string { return e.msg }
func (e *unitError) Hint() string  { return e.hint }

// ParseSignal reads a signal: HUP, SIGHUP and sighup are the same; a number
// from 1 to 64 is one too. The error has a Hint.
func ParseSignal(text string) (syscall.Signal, error) {
	if number, err := strconv.Atoi(text); err == nil {
		if number < 1 || number > 64 {
			return 0, &unitError{fmt.Sprintf("signal %d is not between 1 and 64", number), ""}
		}
		return syscall.Signal(number), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	return 0, &unitError{fmt.Sprintf("unknown signal %q%s", text, didYouMean(name, signalNames())), "kill -l lists them"}
}

// SignalName is the name of a signal with its SIG, or its number where it
// has none.
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return strconv.Itoa(int(sig))
}

// signalNames lists the signals without their SIG.
func signalNames() []string {
	var names []string
	for number := range 65 {
		if name := unix.SignalName(syscall.Signal(number)); name != "" {
			names = append(names, strings.TrimPrefix(name, "SIG"))
		}
	}
	return names
}

// ParseSize reads a size in bytes: a number with B, kB, MB, GB (thousands) or
// KiB, MiB, GiB (of 1024), in any case. The error has a Hint.
func ParseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, known := sizeUnits[strings.ToLower(text[len(digits):])]
	number, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	const hint = `a size is written like "512KiB" or "10MB"`
	switch {
	case err != nil || math.IsNaN(number):
		return 0, &unitError{fmt.Sprintf("%q is not a size", text), hint}
	case !known:
		return 0, &unitError{fmt.Sprintf("%q has no known unit", text), hint}
	case number < 0:
		return 0, &unitError{fmt.Sprintf("%q is negative", text), hint}
	case number*unit >= math.MaxInt64:
		return 0, &unitError{fmt.Sprintf("%q is too large", text), hint}
	}
	return int64(number * unit), nil
}

var sizeUnits = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}
