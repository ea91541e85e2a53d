package output

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// File is a log file that is moved to NAME.1 when it has become too large. It is
// safe for concurrent use.
type File struct {
	path string
	max  int64

	mu   sync.Mutex
	f    *os.File
	size int64
	bol  bool // the last byte was a newline
}

// OpenFile opens a file to append to, and makes its folder. At about max bytes, at the end of a line,
// it is renamed to path + ".1", which it replaces; max 0 means never. It has to
// be closed.
func OpenFile(path string, max int64) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("output file: %w", err)
	}
	f := &File{path: path, max: max, bol: true}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("output file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("output file: %w", err)
	}
	f.f, f.size = file, info.Size()
	return nil
}

// write appends b; a line goes to one file unless it is longer than max.
func (f *File) write(b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(b) > 0 {
		if f.full() {
			if err := f.rotate(); err != nil {
				return err
			}
		}
		n := f.fitting(b)
		if err := f.append(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// full reports whether the file is to be moved before the next byte.
func (f *File) full() bool {
	return f.max > 0 && (f.size >= f.max && f.bol || f.size >= 2*f.max)
}

// fitting is how much of b may be written before full is asked again: lines up
// to max, but at least one.
func (f *File) fitting(b []byte) int {
	room := f.max - f.size
	if f.max <= 0 || int64(len(b)) <= room {
		return len(b)
	}
	if room > 0 {
		if n := bytes.LastIndexByte(b[:room], '\n'); n >= 0 {
			f.size = max(f.size, f.max-int64(n)-1) // the next line does not fit any more
			return n + 1
		}
	}
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		return n + 1
	}
	return len(b)
}

func (f *File) append(b []byte) error {
	if f.f == nil {
		return fmt.Errorf("output file %s: %w", f.path, os.ErrClosed)
	}
	n, err := f.f.Write(b)
	f.size += int64(n)
	if n > 0 {
		f.bol = b[n-1] == '\n'
	}
	return err
}

func (f *File) rotate() error {
	if f.f != nil {
		f.f.Close()
		f.f = nil
	}
	if err := os.Rename(f.path, f.path+".1"); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("output file: %w", err)
	}
	return f.open()
}
