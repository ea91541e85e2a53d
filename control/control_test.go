package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flinch-run/flinch/control"
)

const patience = 20 * time.Second

// helperEnv makes the test binary a program of its own: "dial SOCKET" asks for
// the status and prints the answer; "hold ROOT" takes a root's socket, says so
// and waits to be killed.
const helperEnv = "CONTROL_TEST_HELPER"

func TestMain(m *testing.M) {
	verb, arg, _ := strings.Cut(os.Getenv(helperEnv), " ")
	switch verb {
	case "dial":
		dialHelper(arg)
	case "hold":
		holdHelper(arg)
	default:
		os.Exit(m.Run())
	}
}

func dialHelper(socket string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Println("dial:", err)
		return
	}
	fmt.Fprint(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_, _ = io.Copy(os.Stdout, conn)
}

func holdHelper(root string) {
	if _, err := control.Listen(control.ServerOptions{Root: root}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {}
}

func helper(t *testing.T, verb, arg string, wrap ...string) *exec.Cmd {
	t.Helper()
	argv := append(wrap, os.Args[0])
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), helperEnv+"="+verb+" "+arg)
	return cmd
}

// fake answers with what it was asked.
type fake struct {
	control.Backend
	commands chan control.Command
	changes  chan []control.Change
}

func newFake() *fake {
	return &fake{commands: make(chan control.Command, 16), changes: make(chan []control.Change, 16)}
}

func (f *fake) Status(_ context.Context, rules []string) (*control.Status, error) {
	if len(rules) == 1 && rules[0] == "none" {
		return nil, &control.Error{Status: http.StatusNotFound, Msg: `no rule is called "none"`, Help: "the rules are a, b"}
	}
	return &control.Status{Root: "/r", PID: os.Getpid(), Rules: []control.RuleStatus{}}, nil
}

func (f *fake) Do(_ context.Context, c control.Command) error { f.commands <- c; return nil }

func (f *fake) Wait(ctx context.Context, rules []string) (*control.Verdict, error) {
	if len(rules) == 1 && rules[0] == "never" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &control.Verdict{Green: true}, nil
}

func (f *fake) Notify(_ context.Context, c []control.Change) (int, error) {
	f.changes <- c
	return len(c), nil
}

func (f *fake) Follow(ctx context.Context, since uint64, send func(control.Event) error) error {
	for i := range uint64(3) {
		if err := send(control.Event{Seq: since + i + 1, Kind: "note"}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Runs(context.Context) ([]control.Run, error) {
	return []control.Run{{Run: 7, Rule: "a"}}, nil
}

func (f *fake) Output(_ context.Context, run uint64) (*control.Output, error) {
	return nil, control.NoRun(run)
}

func (f *fake) Batches(context.Context) ([]control.Batch, error) { return []control.Batch{}, nil }

func (f *fake) Explain(_ context.Context, paths []string, _ bool) ([]control.Explanation, error) {
	return make([]control.Explanation, len(paths)), nil
}

func (f *fake) Metrics(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "flinch_x 1\n")
	return err
}

// private gives the test a folder of its own for sockets.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}

// serve runs a server for root until the test ends.
func serve(t *testing.T, root string, b control.Backend, covers ...string) *control.Server {
	t.Helper()
	s, err := control.Listen(control.ServerOptions{Root: root, Covers: covers})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, b) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func find(t *testing.T, dir string) *control.Client {
	t.Helper()
	c, err := control.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClientAndServer(t *testing.T) {
	private(t)
	root, f := t.TempDir(), newFake()
	serve(t, root, f)
	c := find(t, mkdir(t, root, "a", "b"))
	if s, err := c.Status(t.Context()); err != nil || s.Root != "/r" {
		t.Errorf("status: %+v, %v", s, err)
	}
	_, err := c.Status(t.Context(), "none")
	var told *control.Error
	if !errors.As(err, &told) || told.Status != 404 || told.Hint() != "the rules are a, b" {
		t.Errorf("status of no rule: got %v", err)
	}
	if err := c.Do(t.Context(), control.Command{Verb: control.Trigger, Rules: []string{"a"}, Paths: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if cmd := <-f.commands; cmd.Verb != control.Trigger || len(cmd.Rules) != 1 || len(cmd.Paths) != 1 {
		t.Errorf("command: got %+v", cmd)
	}
	if v, err := c.Wait(t.Context(), nil, 0); err != nil || !v.Green {
		t.Errorf("wait: %+v, %v", v, err)
	}
	if _, err := c.Wait(t.Context(), []string{"never"}, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait that ends: got %v", err)
	}
	if n, err := c.Notify(t.Context(), []control.Change{{Path: "/x"}}); n != 1 || err != nil {
		t.Errorf("notify: %d, %v", n, err)
	}
	var got []uint64
	if err := c.Follow(t.Context(), 5, func(e control.Event) error {
		if got = append(got, e.Seq); len(got) == 3 {
			return io.EOF
		}
		return nil
	}); !errors.Is(err, io.EOF) || fmt.Sprint(got) != "[6 7 8]" {
		t.Errorf("follow: %v, %v", got, err)
	}
	if _, err := c.Output(t.Context(), 3); err == nil || err.Error() != "run 3 is not remembered" {
		t.Errorf("output: got %v", err)
	}
}

// The flinch whose root encloses a folder most closely answers there; a config's
// folder counts like a root.
func TestFindTheNearest(t *testing.T) {
	private(t)
	top := t.TempDir()
	inner, other := mkdir(t, top, "a", "b"), mkdir(t, top, "c", "src")
	serve(t, top, newFake())
	serve(t, inner, newFake())
	serve(t, other, newFake(), filepath.Dir(other))
	second := mkdir(t, top, "c", "src2") // its folder is covered by an older one, and then a root
	serve(t, second, newFake(), filepath.Dir(other))
	rooted := mkdir(t, top, "e")
	serve(t, mkdir(t, top, "e", "src"), newFake(), rooted)
	serve(t, rooted, newFake())
	link := filepath.Join(top, "link")
	if err := os.Symlink(inner, link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		top: top, mkdir(t, top, "a"): top, mkdir(t, inner, "x"): inner, mkdir(t, top, "ab"): top,
		mkdir(t, top, "c", "d"): other, link: inner,
		second: second, rooted: rooted,
	} {
		if c := find(t, dir); c.Root != want {
			t.Errorf("in %s: got the flinch of %s, want that of %s", dir, c.Root, want)
		}
	}
	var none *control.NoneError
	if _, err := control.Find(t.TempDir()); !errors.As(err, &none) || len(none.Others) != 6 {
		t.Errorf("elsewhere: got %v", err)
	}
}

// A second flinch on a root is told who the first is; the socket of one that was
// killed is taken over.
func TestTakeOver(t *testing.T) {
	private(t)
	root := t.TempDir()
	first := helper(t, "hold", root)
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("helper: %q, %v", line, err)
	}
	var taken *control.TakenError
	if _, err := control.Listen(control.ServerOptions{Root: root}); !errors.As(err, &taken) || taken.PID != first.Process.Pid {
		t.Errorf("second: got %v, want one that names pid %d", err, first.Process.Pid)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if _, err := control.Find(root); err == nil {
		t.Error("a dead flinch is found")
	}
	serve(t, root, newFake())
	if s, err := find(t, root).Status(t.Context()); err != nil || s.PID != os.Getpid() {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// Of many that begin at once on one root exactly one has the socket.
func TestOneOfManyWins(t *testing.T) {
	private(t)
	root := t.TempDir()
	for range 50 {
		results := make(chan *control.Server, 8)
		for range 8 {
			go func() {
				s, err := control.Listen(control.ServerOptions{Root: root})
				var taken *control.TakenError
				if err != nil && !errors.As(err, &taken) {
					t.Error(err)
				}
				results <- s
			}()
		}
		var won []*control.Server
		for range 8 {
			if s := <-results; s != nil {
				won = append(won, s)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%d have the socket", len(won))
		}
		won[0].Close()
	}
}

// Another user is refused: by the modes of folder and socket, and where those
// were loosened, by the credentials of the connection.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip(err)
	}
	// Nobody must be able to go where the socket and this test binary are.
	run, err := os.MkdirTemp("", "control-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	t.Setenv("XDG_RUNTIME_DIR", run)
	s := serve(t, t.TempDir(), newFake())
	dial := func() string {
		cmd := helper(t, "dial", s.Socket(), setpriv, "--reuid=65534", "--regid=65534", "--clear-groups")
		bin := filepath.Join(run, "bin")
		copyFile(t, os.Args[0], bin)
		cmd.Args[len(cmd.Args)-1] = bin
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("helper: %v\n%s", err, out)
		}
		return string(out)
	}
	if err := os.Chmod(run, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := dial(); !strings.Contains(got, "permission denied") {
		t.Errorf("with the modes as they are: got %q", got)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.Socket()): 0o755, s.Socket(): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if got := dial(); !strings.HasPrefix(got, "HTTP/1.1 403 ") || strings.Contains(got, `"root"`) {
		t.Errorf("with open modes: got %q", got)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// A folder that others could have prepared is not used.
func TestUnsafeFolder(t *testing.T) {
	run := private(t)
	dir := mkdir(t, run, "flinch")
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	var unsafe *control.UnsafeError
	if _, err := control.Listen(control.ServerOptions{Root: t.TempDir()}); !errors.As(err, &unsafe) {
		t.Errorf("open to others: got %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(control.ServerOptions{Root: t.TempDir()}); !errors.As(err, &unsafe) {
		t.Errorf("symbolic link: got %v", err)
	}
}

func TestModes(t *testing.T) {
	private(t)
	s := serve(t, t.TempDir(), newFake())
	for path, want := range map[string]os.FileMode{s.Socket(): 0o600, filepath.Dir(s.Socket()): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s: got %o, want %o", path, got, want)
		}
	}
}

// A path that is too long for a socket's address works all the same.
func TestLongPath(t *testing.T) {
	run := mkdir(t, private(t), strings.Repeat("long/", 40))
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", run)
	root := t.TempDir()
	if s := serve(t, root, newFake()); len(s.Socket()) < 200 {
		t.Fatalf("%s is not long", s.Socket())
	}
	if _, err := find(t, root).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// The other end of a socket can be waited for.
func TestPeer(t *testing.T) {
	private(t)
	root := t.TempDir()
	cmd := helper(t, "hold", root)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p, err := find(t, root).Peer(t.Context())
	if err != nil || p.PID != cmd.Process.Pid {
		t.Fatalf("peer: %+v, %v", p, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Wait(ctx) }()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBadRequests(t *testing.T) {
	h := control.Handler(newFake())
	for _, tt := range []struct {
		method, path, body string
		code               int
		want               string
	}{
		{"POST", "/v1/trigger", ``, 400, "trigger: no rules named"},
		{"POST", "/v1/restart", `{"rules":["a"],"paths":["x"]}`, 400, "restart: paths are for trigger"},
		{"POST", "/v1/stop", `{"rule":"a"}`, 400, `body: json: unknown field "rule"`},
		{"POST", "/v1/stop", `{} {}`, 400, "body: more than one JSON value"},
		{"POST", "/v1/wait", `{"timeout_ms":-1}`, 400, "timeout_ms: -1 is negative"},
		{"GET", "/v1/runs/x", ``, 400, `run: "x" is no number`},
		{"GET", "/v1/runs/8", ``, 404, "run 8 is not remembered"},
		{"GET", "/v2/status", ``, 404, "GET /v2/status: there is no such request"},
		{"DELETE", "/v1/status", ``, 404, "DELETE /v1/status: there is no such request"},
		{"POST", "/v1/explain", `{"paths":["a"],"paths_b64":["Yg=="]}`, 400, "paths and paths_b64: choose one"},
		{"POST", "/v1/trigger", `{"rules":["a"],"paths_b64":["!"]}`, 400, "body: illegal base64 data at input byte 0"},
		{"POST", "/v1/restart", `{"rules":["a"],"paths_b64":["Yg=="]}`, 400, "restart: paths are for trigger"},
		{"GET", "/v1/events?since=-1", ``, 400, `since: "-1" is no number`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body)))
		var got struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != tt.code || got.Error != tt.want {
			t.Errorf("%s %s %s: got %d %q (%v), want %d %q", tt.method, tt.path, tt.body, w.Code, got.Error, err, tt.code, tt.want)
		}
	}
}

// Whatever a client sends, the answer is a JSON object, and never the server's
// own failure.
func FuzzRequest(f *testing.F) {
	for _, verb := range []string{"trigger", "stop", "pause", "wait", "notify", "explain"} {
		f.Add("POST", "/v1/"+verb, []byte(`{"rules":["a"],"paths":["x"],"changes":[{"path":"a"}],"timeout_ms":1}`))
	}
	f.Add("GET", "/v1/status?rule=a", []byte(nil))
	f.Add("GET", "/v1/runs/18446744073709551615/output", []byte(nil))
	f.Add("GET", "/v1/../x", []byte(nil))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		req, err := http.NewRequest(method, "http://flinch"+path, strings.NewReader(string(body)))
		if err != nil || req.URL.Path == "/v1/events" {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		control.Handler(newFake()).ServeHTTP(w, req.WithContext(ctx))
		if w.Code >= 500 && w.Code != http.StatusGatewayTimeout {
			t.Errorf("%s %s %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s %q: no JSON: %s", method, path, body, w.Body)
		}
	})
}
