package watch

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// devices remembers, by device number, how changes on a filesystem are seen.
type devices struct {
	silent bool // inotify is not used at all

	mu     sync.Mutex // crawl workers meet new devices at the same time
	byDev  map[uint64]uint16
	list   []device
	forced map[uint64]bool // found to be silent: poll them
}

type device struct {
	index uint16
	dev   uint64
	magic int64
	poll  bool // others than this kernel may change it, and nobody tells
	never bool // not gone into unless it is a root
	fine  bool // its times are fine enough to tell two writes 20 ms apart
}

// of is the device of an open directory whose stat is in e.
func (d *devices) of(e *eye, fd int) device {
	dev := unix.Mkdev(e.st.Dev_major, e.st.Dev_minor)
	if e.met && e.last.dev == dev {
		return e.last
	}
	e.last, e.met = d.find(e, fd, dev), true
	return e.last
}

func (d *devices) find(e *eye, fd int, dev uint64) device {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i, ok := d.byDev[dev]; ok {
		return d.list[i]
	}
	if d.byDev == nil {
		d.byDev = make(map[uint64]uint16)
	}
	magic, _ := e.fsType(fd) // unknown: as a local one
	x := device{index: uint16(len(d.list)), dev: dev, magic: magic}
	x.poll = d.silent || remote[magic] || d.forced[dev]
	x.never = kernelOnly[magic]
	x.fine = !coarse[magic]
	d.byDev[dev] = x.index
	d.list = append(d.list, x)
	return x
}

// all are the devices met so far.
func (d *devices) all() []device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// at is the device with that index.
func (d *devices) at(index uint16) device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list[index]
}

// remote are filesystems that other machines, a hypervisor or a user-space program change behind the kernel's back.
var remote = map[int64]bool{
	unix.NFS_SUPER_MAGIC:   true,
	unix.SMB_SUPER_MAGIC:   true,
	unix.CIFS_SUPER_MAGIC:  true,
	unix.SMB2_SUPER_MAGIC:  true,
	unix.V9FS_MAGIC:        true, // WSL's /mnt/c, QEMU, gVisor
	unix.FUSE_SUPER_MAGIC:  true, // virtiofs, sshfs, Docker Desktop
	unix.CEPH_SUPER_MAGIC:  true,
	unix.AFS_SUPER_MAGIC:   true,
	unix.AFS_FS_MAGIC:      true,
	unix.CODA_SUPER_MAGIC:  true,
	unix.NCP_SUPER_MAGIC:   true,
	unix.OCFS2_SUPER_MAGIC: true,
	0x786f4256:             true, // vboxsf
	0xbacbacbc:             true, // vmhgfs
	0x01161970:             true, // GFS2
	0x53464846:             true, // WSL 1
}

// kernelOnly are filesystems whose files are views into the kernel.
var kernelOnly = map[int64]bool{
	unix.PROC_SUPER_MAGIC:   true,
	unix.SYSFS_MAGIC:        true,
	unix.DEBUGFS_MAGIC:      true,
	unix.TRACEFS_MAGIC:      true,
	unix.BPF_FS_MAGIC:       true,
	unix.DEVPTS_SUPER_MAGIC: true,
}

// coarse are filesystems that round times to a second or two.
var coarse = map[int64]bool{
	unix.MSDOS_SUPER_MAGIC: true,
	0x4244:                 true, // HFS
}
