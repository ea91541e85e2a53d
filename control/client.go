package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client speaks to one flinch. It is safe for concurrent use.
type Client struct {
	Place
	http *http.Client
}

// NoneError says that no flinch runs for a folder.
type NoneError struct {
	Dir    string
	Others []string // roots of those that run elsewhere
}

func (e *NoneError) Error() string { return "no flinch runs in " + e.Dir + " or above" }

// Hint says where there is one.
func (e *NoneError) Hint() string {
	if len(e.Others) == 0 {
		return "start one with: flinch"
	}
	return "there is one in " + strings.Join(e.Others, ", ")
}

// Find returns a client of the flinch whose root encloses dir most closely. The
// error is a *[NoneError] where there is none.
func Find(dir string) (*Client, error) {
	places, err := Places()
	if err != nil {
		return nil, err
	}
	dir = physical(dir)
	if p, found := nearest(places, dir); found {
		return NewClient(p), nil
	}
	none := &NoneError{Dir: dir}
	for _, p := range places {
		none.Others = append(none.Others, p.Root)
	}
	return nil, none
}

// NewClient speaks to the flinch of a place.
func NewClient(p Place) *Client {
	dial := func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = shortly(p.Socket, func(path string) error {
			c, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
			return err
		})
		return c, err
	}
	return &Client{Place: p, http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 4}}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the status of rules; none: of all.
func (c *Client) Status(ctx context.Context, rules ...string) (*Status, error) {
	var s Status
	return &s, c.get(ctx, "status", url.Values{"rule": rules}, &s)
}

// Do asks for a command.
func (c *Client) Do(ctx context.Context, cmd Command) error {
	if cmd.PathsB64 = notText(cmd.Paths); cmd.PathsB64 != nil {
		cmd.Paths = nil
	}
	return c.post(ctx, string(cmd.Verb), cmd, nil)
}

// Wait waits until all that changed before the call led to is over; timeout 0 is
// none. The error is context.DeadlineExceeded where the time ran out.
func (c *Client) Wait(ctx context.Context, rules []string, timeout time.Duration) (*Verdict, error) {
	req := waitRequest{Rules: rules}
	if timeout > 0 {
		req.TimeoutMS = max(1, timeout.Milliseconds())
	}
	var v Verdict
	err := c.post(ctx, "wait", req, &v)
	var told *Error
	if errors.As(err, &told) && told.Status == http.StatusGatewayTimeout {
		err = context.DeadlineExceeded
	}
	return &v, err
}

// Notify hands over changes, and returns how many were taken.
func (c *Client) Notify(ctx context.Context, changes []Change) (int, error) {
	var reply notifyReply
	err := c.post(ctx, "notify", notifyRequest{changes}, &reply)
	return reply.Taken, err
}

// Explain asks about paths, absolute ones; brief leaves out what rules make of them.
func (c *Client) Explain(ctx context.Context, paths []string, brief bool) ([]Explanation, error) {
	var reply explainReply
	req := explainRequest{Paths: paths, Brief: brief, PathsB64: notText(paths)}
	if req.PathsB64 != nil {
		req.Paths = nil
	}
	err := c.post(ctx, "explain", req, &reply)
	return reply.Paths, err
}

// Runs are those remembered, the oldest first.
func (c *Client) Runs(ctx context.Context) ([]Run, error) {
	var reply runsReply
	err := c.get(ctx, "runs", nil, &reply)
	return reply.Runs, err
}

// Output is what is remembered of a run's output.
func (c *Client) Output(ctx context.Context, run uint64) (*Output, error) {
	var o Output
	return &o, c.get(ctx, "runs/"+strconv.FormatUint(run, 10)+"/output", nil, &o)
}

// Batches are those remembered, the oldest first.
func (c *Client) Batches(ctx context.Context) ([]Batch, error) {
	var reply batchesReply
	err := c.get(ctx, "batches", nil, &reply)
	return reply.Batches, err
}

// Follow calls f with each event after the number since (Live: those to come) until ctx ends, f fails,
// or flinch ends, which is no error.
func (c *Client) Follow(ctx context.Context, since uint64, f func(Event) error) error {
	path := "events"
	if since != Live {
		path += "?since=" + strconv.FormatUint(since, 10)
	}
	res, err := c.send(ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return ended(ctx, err)
		}
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("event stream: %w", err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}

// ended says what the end of a stream means.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return nil
	}
	return err
}

// Peer opens the process that holds the other end of the socket, to learn of its
// end. Its number is the one that it has where the client is.
func (c *Client) Peer(ctx context.Context) (*Process, error) {
	conn, err := c.http.Transport.(*http.Transport).DialContext(ctx, "unix", "")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	cred, err := credentials(unixConn)
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(int(cred.Pid), 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", cred.Pid, err)
	}
	return &Process{PID: int(cred.Pid), fd: fd}, nil
}

// Process is a process that can be waited for although it is no child.
type Process struct {
	PID int
	fd  int
}

// Wait returns when the process has ended or ctx has. It closes p.
func (p *Process) Wait(ctx context.Context) error {
	defer unix.Close(p.fd)
	var wake [2]int
	if err := unix.Pipe2(wake[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(wake[0])
	stop := context.AfterFunc(ctx, func() { _ = unix.Close(wake[1]) })
	defer func() {
		if stop() {
			_ = unix.Close(wake[1])
		}
	}()
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(wake[0]), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case fds[0].Revents != 0:
			return nil
		case fds[1].Revents != 0:
			return ctx.Err()
		}
	}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, reply any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, "GET", path, nil, reply)
}

func (c *Client) post(ctx context.Context, path string, req, reply any) error {
	data, err := json.Marshal(req)
	if err != nil {
		return err
	}
	return c.call(ctx, "POST", path, data, reply)
}

func (c *Client) call(ctx context.Context, method, path string, data []byte, reply any) error {
	res, err := c.send(ctx, method, path, data)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if reply == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(reply); err != nil {
		return fmt.Errorf("answer of flinch (pid %d): %w", c.PID, err)
	}
	return nil
}

// send returns the response to a request; one that refuses is an *[Error].
func (c *Client) send(ctx context.Context, method, path string, data []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://flinch/"+Version+"/"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	told := &Error{}
	if err := json.NewDecoder(io.LimitReader(res.Body, bodyMax)).Decode(told); err != nil || told.Msg == "" {
		told.Msg = fmt.Sprintf("flinch (pid %d) answers %s", c.PID, res.Status)
	}
	told.Status = res.StatusCode
	return nil, told
}

// unreachable says why nobody answered, without the made-up URL.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("flinch (pid %d) does not answer: %w", c.PID, err)
}

// Metrics copies the Prometheus text to w.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	res, err := c.send(ctx, "GET", "metrics", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}
