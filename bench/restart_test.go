package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// serverSource is a server: server FIFO PORT|fd DELAY. It writes the time at which it accepts to the FIFO, tells its
// manager that it is ready, answers one client after the other, and ends at SIGTERM when those that it accepted are answered.
const serverSource = `package main

import (
	"encoding/binary"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	delay, _ := time.ParseDuration(os.Args[3])
	time.Sleep(delay)
	var l net.Listener
	var err error
	if os.Args[2] == "fd" {
		l, err = net.FileListener(os.NewFile(3, "listen"))
	} else {
		l, err = net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(98)
	}
	tell(os.Args[1])
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { <-term; l.Close() }()
	var clients sync.WaitGroup
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		clients.Add(1)
		go func() { answer(conn); clients.Done() }()
	}
	clients.Wait()
}

func tell(fifo string) {
	var ts syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	if f, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
		binary.Write(f, binary.NativeEndian, ts.Nano())
		f.Close()
	}
	if manager := os.Getenv("NOTIFY_SOCKET"); manager != "" {
		if c, err := net.Dial("unixgram", manager); err == nil {
			c.Write([]byte("READY=1"))
			c.Close()
		}
	}
}

func answer(c net.Conn) {
	c.Read(make([]byte, 4096))
	c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
	c.Close()
}
`

// BenchmarkSaveToAccepting is the time from a save to the moment when the restarted server accepts, of a server that stops
// at once. "bare" is what the server needs alone, from before the fork.
func BenchmarkSaveToAccepting(b *testing.B) {
	b.Run("bare", bareStart)
	each(b, keepers(), saveToAccepting)
}

func bareStart(b *testing.B) {
	s, port := newStarts(b), strconv.Itoa(freePort(b))
	var took []time.Duration
	for b.Loop() {
		for range amount(*saves, 5) {
			began := now()
			stop := startPeer(b, exec.Command(serverPath, s.path, port, "0s"))
			at, err := s.next(10 * time.Second)
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Duration(at-began))
			stop()
		}
	}
	report(b, took)
}

func saveToAccepting(b *testing.B, p peer) {
	dir, file := tree(b, 100)
	s := newStarts(b)
	stop := startPeer(b, p.args(dir, serverPath, s.path, strconv.Itoa(freePort(b)), "0s"))
	defer stop()
	s.drain(amount(2*time.Second, time.Second))
	var took []time.Duration
	for b.Loop() {
		starts, _ := saveOften(b, s, file, amount(*saves, 5), lone)
		took = append(took, starts...)
	}
	report(b, took)
}

// BenchmarkRestartUnderLoad restarts a server that needs 300 ms to start five times, while eight clients ask without a pause: how
// many were refused, and how long they waited. "rebind" is a server that opens its own port.
func BenchmarkRestartUnderLoad(b *testing.B) {
	const listen, overlap = "listen = [\"127.0.0.1:%d\"]\n", "overlap = true\nready = { notify = true }\n"
	b.Run("rebind", func(b *testing.B) { restartUnderLoad(b, "", false) })
	b.Run("listen", func(b *testing.B) { restartUnderLoad(b, listen, true) })
	b.Run("listen-overlap", func(b *testing.B) { restartUnderLoad(b, listen+overlap, true) })
}

func restartUnderLoad(b *testing.B, keys string, handed bool) {
	dir, s, port := b.TempDir(), newStarts(b), freePort(b)
	where := strconv.Itoa(port)
	if handed {
		where, keys = "fd", fmt.Sprintf(keys, port)
	}
	config := fmt.Sprintf("[service.web]\nfiles = [\"a.txt\"]\nrun = [%q, %q, %q, \"300ms\"]\n%s", serverPath, s.path, where, keys)
	if err := os.WriteFile(filepath.Join(dir, "flinch.toml"), []byte(config), 0o644); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(flinchPath, "-q")
	cmd.Dir = dir
	stop := startPeer(b, cmd)
	defer stop()
	if _, err := s.next(10 * time.Second); err != nil {
		b.Fatal(err)
	}
	var all []answer
	for b.Loop() {
		load := ask(8, fmt.Sprintf("http://127.0.0.1:%d/", port))
		saveOften(b, s, filepath.Join(dir, "a.txt"), 5, lone)
		all = append(all, load.stop()...)
	}
	reportAnswers(b, all)
}

// answer is what one request came to.
type answer struct {
	took time.Duration
	err  error
}

// load is a number of clients that ask without a pause.
type load struct {
	end     chan struct{}
	clients sync.WaitGroup
	mu      sync.Mutex
	answers []answer
}

func ask(clients int, url string) *load {
	l := &load{end: make(chan struct{})}
	for range clients {
		l.clients.Go(func() { l.askAlways(url) })
	}
	return l
}

func (l *load) askAlways(url string) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-l.end:
			return
		default:
		}
		began := time.Now()
		res, err := client.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		} else {
			time.Sleep(time.Millisecond) // a client that was refused does not ask at once again
		}
		l.mu.Lock()
		l.answers = append(l.answers, answer{time.Since(began), err})
		l.mu.Unlock()
	}
}

func (l *load) stop() []answer {
	close(l.end)
	l.clients.Wait()
	return l.answers
}

func reportAnswers(b *testing.B, all []answer) {
	var took []time.Duration
	refused := 0
	for _, a := range all {
		if a.err != nil {
			refused++
			continue
		}
		took = append(took, a.took)
	}
	report(b, took) // sorts
	b.ReportMetric(milliseconds(took[len(took)-1]), "ms-longest")
	b.ReportMetric(float64(refused), "refused")
}

// freePort is a TCP port nobody listens on at this moment.
func freePort(b *testing.B) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
