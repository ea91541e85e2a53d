package content

import (
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// What a look costs beside the bytes of the file, in bytes of the budget: asking for the stamp of a file, and opening it, take about as long
// as reading so many. Past the budget a file is not even asked for, so that a checkout of 20,000 costs next to nothing.
const (
	statCost = 2 << 10
	openCost = 14 << 10
	overhead = statCost + openCost
)

// Options bound a [Reader]. Zero fields take the defaults.
type Options struct {
	// MaxSize is the size in bytes above which a file is not read; 16 MiB.
	MaxSize int64
	// Rate is how many bytes may be read in a second on average; 64 MiB. Half a second's worth may be read at once, if that is enough for
	// one file of MaxSize. A file costs 16 KiB more than its size; one that has not changed since the last look, 2 KiB. The time of the
	// looks themselves does not count: where they are slow, as on a busy machine or a disk that is far away, nobody waits long for them.
	Rate int64
}

// Reader hashes files within a budget.
type Reader struct {
	maxSize, rate int64
	left          int64     // of the budget
	rested        time.Time // the end of the last look: since then the budget grows
	buf           []byte
	digest        *xxhash.Digest
}

// NewReader returns a reader whose budget is full.
func NewReader(opts Options) *Reader {
	r := &Reader{maxSize: opts.MaxSize, rate: opts.Rate, digest: xxhash.New(), buf: make([]byte, 64<<10), rested: time.Now()}
	if r.maxSize <= 0 {
		r.maxSize = 16 << 20
	}
	if r.rate <= 0 {
		r.rate = 64 << 20
	}
	r.left = r.burst()
	return r
}

// look is what was found at a path.
type look struct {
	stamp
	exists bool
	racy   bool // so soon after the last change that the next one may leave the stamp as it is
	sum    uint64
}

// stamp is what a change of a file changes, unless it is racy.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns
}

var (
	errBudget = errors.New("over budget")
	errLarge  = errors.New("too large")
	errKind   = errors.New("neither a plain file nor a link")
	errMoving = errors.New("changed while it was read")
)

// look reads the file, or takes the sum of the last look if the stamp says that nothing has happened. With errMoving, the stamp is that of
// the end of the reading.
func (r *Reader) look(path string, last look) (look, error) {
	r.gain()
	defer func() { r.rested = time.Now() }()
	if !r.spend(statCost) {
		return look{}, errBudget
	}
	var st unix.Stat_t
	if _, err := retry(func() (int, error) { return 0, unix.Lstat(path, &st) }); err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			return look{}, nil
		}
		return look{}, err
	}
	now := look{stamp: stampOf(&st), exists: true}
	if last.exists && !last.racy && now.stamp == last.stamp {
		return last, nil
	}
	now.racy = racy(st.Ctim, time.Now())
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return r.file(path, now)
	case unix.S_IFLNK:
		return r.link(path, now)
	}
	return look{}, errKind
}

// file hashes a plain file.
func (r *Reader) file(path string, now look) (look, error) {
	if now.size > r.maxSize {
		return look{}, errLarge
	}
	if !r.spend(now.size + openCost) {
		return look{}, errBudget
	}
	// Whatever has taken the file's place since must neither block nor be followed.
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return look{}, err
	}
	defer unix.Close(fd)
	return r.hash(fd, now)
}

// hash reads as many bytes as the file had, and checks before and after that it is still the one that was meant.
func (r *Reader) hash(fd int, now look) (look, error) {
	if after, err := restat(fd, now); err != nil {
		return after, err
	}
	n, err := r.sum(fd, now.size)
	if err != nil {
		return look{}, err
	}
	after, err := restat(fd, now)
	if err == nil && n != now.size {
		err = errMoving
	}
	after.sum = r.digest.Sum64()
	return after, err
}

// sum has the digest take in the file's bytes and counts them, up to one more than it had: a size may be wrong (as in /proc).
func (r *Reader) sum(fd int, size int64) (n int64, err error) {
	r.digest.Reset()
	for n <= size {
		part := r.buf[:min(int64(len(r.buf)), size+1-n)]
		got, err := retry(func() (int, error) { return unix.Read(fd, part) })
		if err != nil || got == 0 {
			return n, err
		}
		_, _ = r.digest.Write(part[:got])
		if n += int64(got); n == size && got < len(part) {
			break // it was asked for more, and there was none
		}
	}
	return n, nil
}

// link hashes the target of a symbolic link.
func (r *Reader) link(path string, now look) (look, error) {
	if !r.spend(openCost) {
		return look{}, errBudget
	}
	n, err := unix.Readlink(path, r.buf)
	if err != nil {
		return look{}, err
	}
	// A link differs from a file of the same bytes, and its size is of no account: it may be wrong (as in /proc).
	now.sum = ^xxhash.Sum64(r.buf[:n])
	return now, nil
}

// gain adds to the budget what the time since the last look is worth.
func (r *Reader) gain() {
	gained := time.Since(r.rested).Seconds() * float64(r.rate)
	r.left = min(r.burst(), r.left+int64(min(gained, float64(r.burst()))))
}

// spend takes n from the budget if there is so much.
func (r *Reader) spend(n int64) bool {
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

func (r *Reader) burst() int64 { return max(r.rate/2, r.maxSize+overhead) }

// restat returns now as the open file has it, and errMoving if that differs.
func restat(fd int, now look) (look, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return look{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return look{}, errKind
	}
	if s := stampOf(&st); s != now.stamp {
		now.stamp = s
		return now, errMoving
	}
	return now, nil
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: unix.TimespecToNsec(st.Mtim), ctime: unix.TimespecToNsec(st.Ctim)}
}

// racy says whether a change made at now could have the same time as one made at changed. Kernels before 6.13 count in ticks of up to 10 ms;
// a time without a fraction comes from a file system that counts in seconds, or two.
func racy(changed unix.Timespec, now time.Time) bool {
	window := 20 * time.Millisecond
	if changed.Nsec == 0 {
		window = 2 * time.Second
	}
	return now.Sub(time.Unix(changed.Unix())) < window
}

// retry repeats what a signal interrupted.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}
