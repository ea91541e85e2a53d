package command

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Change is one path of the batch that a run is for.
type Change struct {
	Path, From string    // slash-separated, relative to Root; From only for a rename
	Op, Type   string    // as in `flinch events --json`
	Root       string    // the root where it is not the first one; empty: Request.Root
	RootName   string    // how the root is called in Line; empty: there is only one
	Gone       bool      // nothing is there any more
	Recovered  bool      // found by a rescan
	Time       time.Time // when it was seen
}

// Line is the change as a line of `flinch events --json`, with its newline.
func (c Change) Line() []byte {
	var b bytes.Buffer
	_ = writeLines(&b, []Change{c}) // a buffer takes all
	return b.Bytes()
}

// line is what a line of `flinch events --json` holds.
type line struct {
	Time      string `json:"time"`
	Op        string `json:"op"`
	Path      string `json:"path"`
	PathB64   string `json:"path_b64,omitempty"`
	Type      string `json:"type"`
	From      string `json:"from,omitempty"`
	FromB64   string `json:"from_b64,omitempty"`
	Root      string `json:"root,omitempty"`
	Recovered bool   `json:"recovered,omitempty"`
}

// writeLines writes one line a change. Of a checkout there are many: none is kept.
func writeLines(to io.Writer, changes []Change) error {
	w := bufio.NewWriter(to)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var l line
	for i := range changes {
		c := &changes[i]
		l = line{
			Time: c.Time.Format(time.RFC3339Nano), Op: c.Op, Type: c.Type, Root: c.RootName, Recovered: c.Recovered,
			Path: strings.ToValidUTF8(c.Path, "\ufffd"), PathB64: b64(c.Path),
			From: strings.ToValidUTF8(c.From, "\ufffd"), FromB64: b64(c.From),
		}
		if err := enc.Encode(&l); err != nil {
			return err
		}
	}
	return w.Flush()
}

// b64 is s in base64 where JSON cannot hold it, empty where it can.
func b64(s string) string {
	if utf8.ValidString(s) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// absolute is where the change's path is on disk.
func (c Change) absolute(root string) string {
	switch {
	case c.Root == "":
	case filepath.IsAbs(c.Root):
		root = c.Root
	default:
		root = filepath.Join(root, c.Root)
	}
	return filepath.Join(root, filepath.FromSlash(c.Path))
}

// fromRoot is the path relative to the first root, also for another root's.
func (c Change) fromRoot(root string) string {
	if c.Root == "" {
		return c.Path
	}
	rel, err := filepath.Rel(root, c.absolute(root))
	if err != nil {
		return c.absolute(root)
	}
	return rel
}

// memory is a file that holds what was written to it, is at its beginning and has no name. A pipe
// would need somebody to feed it for as long as the command does not read.
func memory(name string, write func(io.Writer) error) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := write(f); err != nil {
		return nil, closing(f, err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, closing(f, err)
	}
	return f, nil
}

func closing(f *os.File, err error) error {
	f.Close()
	return err
}
