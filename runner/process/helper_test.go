package process

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// helperFlag makes the test binary a helper process instead of a test.
const helperFlag = "-process-helper"

// helper are the programs that tests start.
func helper(action string, args []string) int {
	actions := map[string]func(args []string) int{
		"slow": slow, "count": count, "threads": threads, "listen": listen, "fds": fds, "host": hostProgram,
		"raw": raw, "group": group, "reuse": reuse, "background": background,
	}
	return actions[action](args)
}

func say(words ...any) { fmt.Println(words...) }

// slow says "up", needs args[0] to end after SIGTERM, and says "end".
func slow(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	say("up")
	<-signals
	need, _ := time.ParseDuration(args[0])
	time.Sleep(need)
	say("end")
	return 0
}

// group becomes another program, in a process group of its own.
func group(args []string) int {
	if err := unix.Setpgid(0, 0); err != nil {
		say(err)
		return 1
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		say(err)
		return 1
	}
	say(unix.Exec(path, args, os.Environ()))
	return 1
}

// background is a shell that runs a host in the background of its terminal.
func background(args []string) int {
	argv := self("host", args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "commands")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread()
	if err := cmd.Run(); err != nil {
		return 1
	}
	return 0
}

// count says "up" and the name of each signal that it gets. SIGTERM ends it.
func count([]string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1, unix.SIGTERM, unix.SIGCONT, unix.SIGINT)
	say("up")
	for sig := range signals {
		say(signalName(sig.(syscall.Signal)))
		if sig == unix.SIGTERM {
			return 0
		}
	}
	return 1
}

// threads forks children from threads of its own, each in its own session and with an empty environment.
func threads(args []string) int {
	n, _ := strconv.Atoi(args[0])
	var ready sync.WaitGroup
	for range n {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			cmd := exec.Command("sleep", args[1])
			cmd.Env = []string{}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			ready.Done()
			select {}
		}()
	}
	ready.Wait()
	say("up")
	select {}
}

// listen listens on a free port and says which; "inherited" accepts from descriptor 3 instead.
func listen(args []string) int {
	l, err := net.Listen(args[0], args[1])
	if err != nil {
		say(err)
		return 1
	}
	say(l.Addr())
	select {}
}

// fds says which descriptors it has, beyond those of its own runtime.
func fds([]string) int {
	names, _ := os.ReadDir("/proc/self/fd")
	for _, e := range names {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") ||
			strings.HasPrefix(target, "/sys/fs/cgroup/") {
			continue
		}
		flags, _ := strconv.Atoi(e.Name())
		mode, _ := unix.FcntlInt(uintptr(flags), unix.F_GETFL, 0)
		say(e.Name(), kindOf(target), mode&unix.O_NONBLOCK != 0)
	}
	say("end")
	return 0
}

func kindOf(target string) string {
	kind, _, _ := strings.Cut(target, ":")
	return kind
}

// raw puts the terminal on descriptor 0 into raw mode, says so, and dies of SIGKILL.
func raw([]string) int {
	modes, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		say(err)
		return 1
	}
	modes.Lflag &^= unix.ECHO | unix.ICANON
	if err := unix.IoctlSetTermios(0, unix.TCSETS, modes); err != nil {
		say(err)
		return 1
	}
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// hostProgram is a program with a Host, told what to do line by line on descriptor 0. It answers every line with one
// on descriptor 1, and says events as they come.
//
//	start|session|keep|job SCRIPT, stop GRACE, kill, suspend, resume, close, panic
func hostProgram(args []string) int {
	h, err := NewHost(Options{Guardian: true, NoCgroup: args[0] == "plain"})
	if err != nil {
		say(err)
		return 1
	}
	signal.Notify(make(chan os.Signal, 1), unix.SIGTSTP, unix.SIGINT) // its own terminal must not stop it
	go func() {
		for e := range h.Events() {
			say(e.Kind, e.Status, signalName(e.Signal), names(e.Procs))
		}
	}()
	var in = os.Stdin
	if len(args) > 1 {
		fd, _ := strconv.Atoi(args[1])
		in = os.NewFile(uintptr(fd), "commands")
	}
	var tree *Tree
	scanner := bufio.NewScanner(in)
	say("host", os.Getpid())
	for scanner.Scan() {
		word, rest, _ := strings.Cut(scanner.Text(), " ")
		if word == "close" {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			err := h.Close(ctx)
			say("closed", err)
			return 0
		}
		tree = obey(h, tree, word, rest)
	}
	return 1 // without Close: as a program that crashed
}

func obey(h *Host, tree *Tree, word, rest string) *Tree {
	policies := map[string]Leftovers{"start": LeaveNone, "session": LeaveDaemons, "keep": LeaveAll, "job": LeaveNone}
	switch word {
	case "start", "session", "keep", "job":
		spec := Spec{Argv: sh(rest), Leftovers: policies[word], Stdout: os.Stdout, Stderr: os.Stderr}
		if word == "job" {
			spec.Foreground, spec.Stdin = true, os.Stdin
		}
		started, err := h.Start(spec)
		if err != nil {
			say(err)
			return tree
		}
		say("started", started.PID())
		return started
	case "tty":
		started, _ := h.Start(Spec{Argv: sh(rest), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
		say("started", started.PID())
		return started
	case "stop":
		grace, _ := time.ParseDuration(rest)
		tree.Stop(unix.SIGTERM, grace)
	case "kill":
		tree.Kill()
	case "suspend":
		h.Suspend()
	case "resume":
		h.Resume()
	case "orphans":
		say("orphans", h.Orphans())
	case "guardian":
		h.do(func() {
			if h.guardian == nil {
				say("no guardian")
				return
			}
			say("guardian", h.guardian.pid)
		})
	case "zombies":
		n := 0
		for _, p := range allProcs() {
			if !p.alive() {
				n++
			}
		}
		say("zombies", n)
	}
	say("ok", word)
	return tree
}
