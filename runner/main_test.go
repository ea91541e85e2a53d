package runner

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/flinch-run/flinch/runner/process"
)

// helperFlag makes the test binary the command of a rule instead of a test.
const helperFlag = "-runner-helper"

func TestMain(m *testing.M) {
	process.Guard()
	if len(os.Args) > 2 && os.Args[1] == helperFlag {
		os.Exit(helper(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// helper are the commands of rules in tests.
func helper(action string, args []string) int {
	return map[string]func([]string) int{"serve": serve, "inherit": inherit}[action](args)
}

// serve listens on a free port of 127.0.0.1, or on the one of args[1], args[0]
// milliseconds after its start, until SIGTERM.
func serve(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	n, _ := strconv.Atoi(args[0])
	time.Sleep(time.Duration(n) * time.Millisecond)
	addr := "127.0.0.1:0"
	if len(args) > 1 {
		addr = args[1]
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("listening on", l.Addr())
	<-signals
	return 0
}

// inherit serves on the socket of LISTEN_FDS: it answers each connection with
// its pid, args[0] milliseconds after its start and after it said so on
// NOTIFY_SOCKET.
func inherit(args []string) int {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
		fmt.Println("LISTEN_PID", os.Getenv("LISTEN_PID"), "LISTEN_FDS", os.Getenv("LISTEN_FDS"))
		return 2
	}
	n, _ := strconv.Atoi(args[0])
	time.Sleep(time.Duration(n) * time.Millisecond)
	l, err := net.FileListener(os.NewFile(3, "listen"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		l.Close()
	}()
	if path := os.Getenv("NOTIFY_SOCKET"); path != "" {
		c, err := net.Dial("unixgram", path)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Fprint(c, "READY=1")
		c.Close()
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return 0
		}
		fmt.Fprintln(c, os.Getpid())
		c.Close()
	}
}
