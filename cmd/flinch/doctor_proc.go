package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What /proc says about mounts and about who watches.

// mount is one line of /proc/self/mountinfo.
type mount struct {
	dev   uint64
	point string
	fs    string
}

type mountTable []mount

func readMounts() (table mountTable) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m, ok := parseMount(lines.Text()); ok {
			table = append(table, m)
		}
	}
	return table
}

// parseMount reads "36 35 98:0 /root /point opts tags - ext4 source opts" (proc(5)).
func parseMount(line string) (m mount, ok bool) {
	head, tail, ok := strings.Cut(line, " - ")
	fields, more := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 5 || len(more) < 1 {
		return m, false
	}
	major, minor, ok := strings.Cut(fields[2], ":")
	a, errA := strconv.ParseUint(major, 10, 32)
	b, errB := strconv.ParseUint(minor, 10, 32)
	if !ok || errA != nil || errB != nil {
		return m, false
	}
	return mount{dev: unix.Mkdev(uint32(a), uint32(b)), point: unescapeMount(fields[4]), fs: more[0]}, true
}

// unescapeMount undoes the octal escapes of spaces, tabs, newlines and backslashes.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// of names the mount of a device.
func (t mountTable) of(dev uint64) string {
	for _, m := range t {
		if m.dev == dev {
			return fmt.Sprintf("%s (%s)", m.point, m.fs)
		}
	}
	return fmt.Sprintf("device %d:%d", unix.Major(dev), unix.Minor(dev))
}

// holding is what a process holds of inotify.
type holding struct {
	pid       int
	name      string
	uid       uint32
	instances int
	watches   int
}

// holders are the processes that hold inotify instances, the greediest first;
// denied is how many could not be looked into.
func holders() (list []holding, denied int) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, 0
	}
	for _, dir := range dirs {
		h, err := holdingOf(dir)
		switch {
		case os.IsPermission(err):
			denied++
		case err == nil && h.instances > 0:
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b holding) int {
		return cmp.Or(cmp.Compare(b.watches, a.watches), cmp.Compare(b.instances, a.instances), cmp.Compare(a.pid, b.pid))
	})
	return list, denied
}

func holdingOf(dir string) (h holding, err error) {
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return h, err
	}
	h.pid, _ = strconv.Atoi(filepath.Base(dir))
	for _, fd := range fds {
		target, err := os.Readlink(dir + "/fd/" + fd.Name())
		if err != nil || target != "anon_inode:inotify" {
			continue
		}
		h.instances++
		h.watches += countWatches(dir + "/fdinfo/" + fd.Name())
	}
	if h.instances == 0 {
		return h, nil
	}
	if data, err := os.ReadFile(dir + "/comm"); err == nil {
		h.name = strings.TrimSpace(string(data))
	}
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		h.uid = st.Uid
	}
	return h, nil
}

// countWatches counts the lines "inotify wd:..." of an fdinfo.
func countWatches(path string) (n int) {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "inotify ") {
			n++
		}
	}
	return n
}

// procInt is the number in a file of /proc; -1 where there is none.
func procInt(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return -1
	}
	return n
}
