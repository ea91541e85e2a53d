package command

import (
	"os"

	"golang.org/x/sys/unix"
)

// What the kernel takes for one execve (fs/exec.c): each string at most 32
// pages, all strings of arguments and environment with their pointers at most a
// quarter of the stack's soft limit, no less than 128 KiB, no more than 6 MiB.
const (
	minTotal = 128 << 10
	maxTotal = 6 << 20
	// reserve is left for what is added behind our back: the runner's own
	// variables, a shell's PWD and OLDPWD, the interpreter of a script.
	reserve = 16 << 10
	pointer = 8
)

// limits of one execve, in bytes.
type limits struct {
	total int // all strings, each with its zero byte and pointer
	one   int // one string, with its zero byte
}

func systemLimits() limits {
	l := limits{total: minTotal, one: 32 * os.Getpagesize()}
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err == nil {
		l.total = int(max(minTotal, min(stack.Cur/4, maxTotal)))
	}
	l.total -= reserve
	return l
}

// cost is what a string takes of the total.
func cost(s string) int { return len(s) + 1 + pointer }

func costs(list []string) int {
	sum := 0
	for _, s := range list {
		sum += cost(s)
	}
	return sum
}
