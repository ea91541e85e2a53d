package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mask is what a watcher of trees asks for.
const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// silence ends a recording once the program is done.
const silence = time.Second

type recording struct {
	root    string
	fd      *os.File
	dirs    map[int32]string
	begin   time.Time
	comment string
	before  []string
	lines   bytes.Buffer
	done    time.Duration
}

// trace records what act does below root.
func trace(root string, act func() error) (*recording, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	r := &recording{root: root, fd: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]string{}}
	defer r.fd.Close()
	r.watch(root, func(path string) { r.before = append(r.before, path) })
	r.begin = time.Now()
	done := make(chan error, 1)
	go func() { done <- act() }()
	if err := r.read(done); err != nil {
		return nil, err
	}
	return r, nil
}

// read takes events down until act is done and all has been silent for a while.
func (r *recording) read(done <-chan error) error {
	buf := make([]byte, 64<<10)
	quiet := time.Now()
	for finished := false; !finished || time.Since(quiet) < silence; {
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			finished, done, r.done = true, nil, time.Since(r.begin)
		default:
		}
		r.fd.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := r.fd.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return err
		}
		quiet = time.Now()
		if err := r.decode(buf[:n], quiet.Sub(r.begin)); err != nil {
			return err
		}
	}
	return nil
}

func (r *recording) decode(buf []byte, at time.Duration) error {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		m := binary.NativeEndian.Uint32(buf[4:])
		size := binary.NativeEndian.Uint32(buf[12:])
		name := string(bytes.TrimRight(buf[unix.SizeofInotifyEvent:][:size], "\x00"))
		buf = buf[unix.SizeofInotifyEvent+size:]
		if m&unix.IN_Q_OVERFLOW != 0 {
			return errors.New("the kernel's queue overflowed")
		}
		if m&unix.IN_IGNORED != 0 {
			delete(r.dirs, wd)
			continue
		}
		if name != "" {
			r.event(at, m, r.dirs[wd], name)
		}
	}
	return nil
}

func (r *recording) event(at time.Duration, m uint32, dir, name string) {
	path := filepath.Join(dir, name)
	r.line(at, m, path)
	if m&unix.IN_ISDIR != 0 && m&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
		// What was made before the watch stood is written down as made now.
		r.watch(path, func(p string) { r.line(at, unix.IN_CREATE|unix.IN_CLOSE_WRITE, filepath.Join(r.root, p)) })
	}
}

func (r *recording) line(at time.Duration, m uint32, path string) {
	rel, err := filepath.Rel(r.root, path)
	if err != nil {
		rel = path
	}
	fmt.Fprintf(&r.lines, "%d %x %s\n", at.Microseconds(), m, rel)
}

// watch adds a tree and tells of every file in it. What vanishes meanwhile is no error.
func (r *recording) watch(root string, file func(path string)) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if !d.IsDir() {
			rel, _ := filepath.Rel(r.root, path)
			file(rel)
			return nil
		}
		conn, err := r.fd.SyscallConn()
		if err != nil {
			return err
		}
		return conn.Control(func(fd uintptr) {
			if wd, err := unix.InotifyAddWatch(int(fd), path, mask|unix.IN_ONLYDIR|unix.IN_DONT_FOLLOW); err == nil {
				r.dirs[int32(wd)] = path
			}
		})
	})
}

func (r *recording) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	fmt.Fprintf(z, "# %s\n# done %d\n", r.comment, r.done.Microseconds())
	for _, p := range r.before {
		if !strings.HasPrefix(p, ".git/") {
			fmt.Fprintf(z, "= %s\n", p)
		}
	}
	z.Write(r.lines.Bytes())
	return errors.Join(z.Close(), f.Close())
}
