package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Every flinch has two files in a private folder, named after a hash of its
// root: NAME.sock, and NAME.json that tells what it is. The second is locked by
// the one that lives (given back by the kernel at its end, however that came), so
// a socket without a lock is a dead one's.

// Place is where a flinch is at home.
type Place struct {
	Root    string    `json:"root"`   // absolute, without symbolic links
	Covers  []string  `json:"covers"` // folders from which it is found: the roots, the config file's
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Socket  string    `json:"socket"`
}

// placeFile is a Place in its file: paths that are not UTF-8 have their bytes
// beside them, which JSON strings cannot hold.
type placeFile struct {
	Place
	RootB64   []byte   `json:"root_b64,omitempty"`
	CoversB64 [][]byte `json:"covers_b64,omitempty"`
}

// encode is the content of the place's file.
func (p Place) encode() ([]byte, error) {
	file := placeFile{Place: p, CoversB64: notText(p.Covers)}
	if root := notText([]string{p.Root}); root != nil {
		file.RootB64 = root[0]
	}
	data, err := json.Marshal(file)
	return append(data, '\n'), err
}

// notText is the bytes of all paths if one of them is not UTF-8, and else nil.
func notText(paths []string) (list [][]byte) {
	if !slices.ContainsFunc(paths, func(p string) bool { return !utf8.ValidString(p) }) {
		return nil
	}
	for _, p := range paths {
		list = append(list, []byte(p))
	}
	return list
}

// fromBytes undoes notText.
func fromBytes(list [][]byte) (paths []string) {
	for _, b := range list {
		paths = append(paths, string(b))
	}
	return paths
}

// TakenError says that a living flinch has the root.
type TakenError struct {
	Root string
	PID  int
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("another flinch (pid %d) has the control socket of %s", e.PID, e.Root)
}

// Hint says how to end it.
func (e *TakenError) Hint() string { return "flinch stop ends it" }

// makeFolder is folder, which is made if need be.
func makeFolder() (string, error) {
	if err := os.Mkdir(folderPath(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return folder()
}

func folderPath() string {
	dir := filepath.Join(os.TempDir(), "flinch-"+strconv.Itoa(os.Geteuid()))
	if run := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(run) && owned(run) == nil {
		dir = filepath.Join(run, "flinch")
	}
	return dir
}

// folder is where sockets lie. It has to be a directory of this user that nobody
// else can enter.
func folder() (string, error) {
	dir := folderPath()
	if err := owned(dir); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", &UnsafeError{Dir: dir, Why: "others can enter it"}
	}
	return dir, nil
}

// owned tells whether dir is a directory, and this user's.
func owned(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return &UnsafeError{Dir: dir, Why: "it is no directory"}
	case int(st.Uid) != os.Geteuid():
		return &UnsafeError{Dir: dir, Why: fmt.Sprintf("it belongs to user %d", st.Uid)}
	}
	return nil
}

// UnsafeError says why a folder cannot hold control sockets.
type UnsafeError struct{ Dir, Why string }

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s cannot hold control sockets: %s", e.Dir, e.Why)
}

// Hint says how to mend it.
func (e *UnsafeError) Hint() string {
	return "set XDG_RUNTIME_DIR to a folder of yours, or look at: ls -ld " + e.Dir
}

// nameOf is the name of a root's files: short, since the path of a socket must be.
func nameOf(root string) string {
	sum := sha256.Sum256([]byte(root))
	return hex.EncodeToString(sum[:8])
}

// physical is path without symbolic links, as far as it exists.
func physical(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	rest := ""
	for at := path; ; {
		if found, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(found, rest)
		}
		up := filepath.Dir(at)
		if up == at {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
		at = up
	}
}

// claim locks the place of a root. The file stays open, and with it the lock.
func claim(dir string, p Place) (*os.File, error) {
	path := filepath.Join(dir, nameOf(p.Root)+".json")
	f, err := lockFile(path)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		taken := &TakenError{Root: p.Root}
		if holder, err := readPlace(path); err == nil {
			taken.PID = holder.PID
		}
		return nil, taken
	}
	if err != nil {
		return nil, err
	}
	if err := writePlace(f, p); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func writePlace(f *os.File, p Place) error {
	data, err := p.encode()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(data)))
}

// lockFile opens and locks path. Whoever ends removes its file while it holds the
// lock, so one that is no longer there has to be opened anew.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
			f.Close()
			return nil, err
		}
		if there(f, path) {
			return f, nil
		}
		f.Close()
	}
}

// there tells whether path is still the file that is open.
func there(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(path)
	return err == nil && os.SameFile(open, now)
}

func readPlace(path string) (Place, error) {
	var file placeFile
	data, err := os.ReadFile(path)
	if err != nil {
		return Place{}, err
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Place{}, fmt.Errorf("%s: %w", path, err)
	}
	p := file.Place
	if file.RootB64 != nil {
		p.Root = string(file.RootB64)
	}
	if file.CoversB64 != nil {
		p.Covers = fromBytes(file.CoversB64)
	}
	if p.Root == "" || filepath.Base(path) != nameOf(p.Root)+".json" {
		return p, fmt.Errorf("%s: not about the root that it is named after", path)
	}
	return p, nil
}

// Places are those of all flinches of this user that live.
func Places() ([]Place, error) {
	dir, err := folder()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nobody has made it
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []Place
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if filepath.Ext(path) != ".json" || !held(path) {
			continue
		}
		if p, err := readPlace(path); err == nil {
			p.Socket = strings.TrimSuffix(path, ".json") + ".sock"
			list = append(list, p)
		}
	}
	return list, nil
}

// held tells whether somebody holds the lock of a place. It only asks: to try
// the lock would make a flinch that begins believe that it is taken.
func held(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK
}

// nearest is the place that encloses dir most closely; of several the one whose
// root does, and then the one that began first.
func nearest(places []Place, dir string) (best Place, found bool) {
	depth, isRoot := -1, false
	for _, p := range places {
		for i, c := range append([]string{p.Root}, p.Covers...) {
			root := i == 0
			equal := len(c) == depth && (root && !isRoot || root == isRoot && p.Started.Before(best.Started))
			if encloses(c, dir) && (len(c) > depth || equal) {
				best, depth, isRoot = p, len(c), root
			}
		}
	}
	return best, depth >= 0
}

func encloses(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
