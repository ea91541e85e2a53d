package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ServerOptions say for whom a [Server] speaks.
type ServerOptions struct {
	Root   string   // absolute; the socket is named after it
	Covers []string // further folders from which clients find it
	Logger *slog.Logger
}

// Server is the side of a running flinch.
type Server struct {
	opt      ServerOptions
	place    Place
	lock     *os.File
	listener *peers
	moves    chan move
}

// move asks Serve to speak for other roots.
type move struct {
	opt  ServerOptions
	done chan error
}

// Listen takes the socket of a root. It returns a *[TakenError] where a living
// flinch has it. The Server has to be closed.
func Listen(opt ServerOptions) (*Server, error) {
	dir, err := makeFolder()
	if err != nil {
		return nil, err
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opt: opt, place: placeOf(opt), moves: make(chan move)}
	s.place.Socket = filepath.Join(dir, nameOf(s.place.Root)+".sock")
	if s.lock, err = claim(dir, s.place); err != nil {
		return nil, err
	}
	if err := s.bind(); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return s, nil
}

func placeOf(opt ServerOptions) Place {
	p := Place{Root: physical(opt.Root), PID: os.Getpid(), Started: time.Now()}
	for _, c := range opt.Covers {
		p.Covers = append(p.Covers, physical(c))
	}
	return p
}

// bind makes the socket; one that is there is a dead flinch's, since the lock is ours.
func (s *Server) bind() error {
	if err := os.Remove(s.place.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var l *net.UnixListener
	err := shortly(s.place.Socket, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	s.listener = newPeers(l, s.opt.Logger)
	return os.Chmod(s.place.Socket, 0o600)
}

// shortly calls f with a path of the socket that fits into a sockaddr_un: where
// its own is too long, one by way of the folder's descriptor.
func shortly(path string, f func(string) error) error {
	if len(path) < len(unix.RawSockaddrUnix{}.Path) {
		return f(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path))
}

// Socket is the path of the socket.
func (s *Server) Socket() string { return s.place.Socket }

// How long clients may take: a request has to come at once, an answer that
// streams may last.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
	farewell      = 250 * time.Millisecond // for answers that are on their way at the end
	headerMax     = 64 << 10
)

// Serve answers requests until ctx ends; then streams end, waits are told, and
// what is on its way gets a moment.
func (s *Server) Serve(ctx context.Context, b Backend) {
	h := &http.Server{
		Handler: Handler(b), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.opt.Logger.Handler(), slog.LevelDebug),
	}
	var served sync.WaitGroup
	serve := func(l net.Listener) { served.Go(func() { _ = h.Serve(l) }) }
	serve(s.listener)
	for ctx.Err() == nil {
		select {
		case m := <-s.moves:
			m.done <- s.move(m.opt, serve)
		case <-ctx.Done():
		}
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if h.Shutdown(grace) != nil {
		_ = h.Close()
	}
	served.Wait()
}

// Move has a Server that serves speak for other roots from now on; who is
// connected stays so. With an error, such as a *[TakenError], nothing has changed.
func (s *Server) Move(ctx context.Context, opt ServerOptions) error {
	m := move{opt, make(chan error, 1)}
	select {
	case s.moves <- m:
		return <-m.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) move(opt ServerOptions, serve func(net.Listener)) error {
	if opt.Logger == nil {
		opt.Logger = s.opt.Logger
	}
	if p := placeOf(opt); p.Root == s.place.Root {
		s.place.Covers = p.Covers
		return writePlace(s.lock, s.place)
	}
	fresh, err := Listen(opt)
	if err != nil {
		return err
	}
	old := Server{place: s.place, lock: s.lock, listener: s.listener}
	s.opt, s.place, s.lock, s.listener = fresh.opt, fresh.place, fresh.lock, fresh.listener
	serve(s.listener)
	return old.Close()
}

// Close gives the socket back.
func (s *Server) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	_ = os.Remove(s.place.Socket)
	_ = os.Remove(s.lock.Name())
	return errors.Join(err, s.lock.Close())
}

// peers is a listener that takes in only so many, and only those that may speak:
// processes of this user, and root, who can do everything anyway. The mode of
// folder and socket keeps others out already; a descriptor that was passed on,
// or a folder whose mode was changed, does not.
type peers struct {
	*net.UnixListener
	slots  chan struct{}
	closed chan struct{}
	log    *slog.Logger
}

// connectionsMax keeps clients from using up the descriptors that runs need.
const connectionsMax = 4096

func newPeers(l *net.UnixListener, log *slog.Logger) *peers {
	n := connectionsMax
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		n = int(min(uint64(n), max(limit.Cur/2, 16)))
	}
	return &peers{UnixListener: l, slots: make(chan struct{}, n), closed: make(chan struct{}), log: log}
}

// Accept implements [net.Listener].
func (p *peers) Accept() (net.Conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-p.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := p.AcceptUnix()
		if err != nil {
			<-p.slots
			return nil, err
		}
		cred, err := credentials(c)
		if err == nil && (int(cred.Uid) == os.Geteuid() || cred.Uid == 0) {
			return &peer{UnixConn: c, slots: p.slots}, nil
		}
		p.refuse(c, cred)
	}
}

func (p *peers) refuse(c *net.UnixConn, cred *unix.Ucred) {
	if cred != nil {
		p.log.Warn("refused a control client of another user", "uid", cred.Uid, "pid", cred.Pid)
	}
	const body = `{"error":"this flinch belongs to another user"}` + "\n"
	_ = c.SetWriteDeadline(time.Now().Add(farewell))
	_, _ = fmt.Fprintf(c, "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	_ = c.Close()
}

// Close implements [net.Listener].
func (p *peers) Close() error {
	select {
	case <-p.closed:
		return net.ErrClosed
	default:
		close(p.closed)
	}
	return p.UnixListener.Close()
}

// credentials are those that the other side had when it connected.
func credentials(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(ctlErr, err)
}

// peer is a connection that gives its slot back.
type peer struct {
	*net.UnixConn
	slots chan struct{}
	once  sync.Once
}

// Close implements [net.Conn].
func (c *peer) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.UnixConn.Close()
}
