package inotify

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Watch is what the kernel knows of one watch.
type Watch struct {
	WD     WD
	Device uint64 // of the filesystem, in the form of unix.Mkdev; on btrfs and overlayfs not what stat(2) says
	Inode  uint64
	Mask   Mask // the events asked for, with ExclUnlink and OneShot
}

// Watches lists the watches of the instance, in no order, as the kernel shows them in /proc/self/fdinfo. A watch
// that Barrier keeps is not among them.
func (c *Conn) Watches() ([]Watch, error) {
	c.barrier.Lock()
	defer c.barrier.Unlock()
	var list []Watch
	_, err := c.control(func(fd int) (_ int, err error) {
		list, err = watches(fd, c.barrier.wd)
		return 0, err
	})
	if err != nil {
		return nil, newError("list", "", NoWD, err)
	}
	return list, nil
}

func watches(fd int, hidden WD) ([]Watch, error) {
	file, err := os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var list []Watch
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "inotify ") {
			continue
		}
		w, err := parseWatch(lines.Text())
		if err != nil {
			return nil, err
		}
		if w.WD != hidden {
			list = append(list, w)
		}
	}
	return list, lines.Err()
}

func parseWatch(line string) (Watch, error) {
	var w Watch
	var device uint64
	_, err := fmt.Sscanf(line, "inotify wd:%x ino:%x sdev:%x mask:%x", &w.WD, &w.Inode, &device, &w.Mask)
	if err != nil {
		return w, fmt.Errorf("line %q: %w", line, err)
	}
	// The kernel writes its own form of a device number: 12 bits and 20.
	w.Device = unix.Mkdev(uint32(device>>20), uint32(device&(1<<20-1)))
	return w, nil
}
