package watch

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// devices remembers, by device number, how changes on a filesystem are seen.
type devices struct {
	silent bool // inotify is not used at all

	mu    sync.Mutex // crawl workers meet new devices at the same time
	byDev map[uint64]uint16
	list  []device
}

type device struct {
	index uint16
	dev   uint64
	magic int64
	poll  bool // others than this kernel may change it, and nobody tells
	never bool // not gone into unless it is a root
	trial bool // of a type that we do not know: polled beside inotify until one of them is found wanting
	told  bool // on trial, inotify has told of something
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
	x.trial = !d.silent && !remote[magic] && !kernelOnly[magic] && !local[magic]
	x.poll = d.silent || remote[magic] || x.trial
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

// put replaces what is known of a device.
func (d *devices) put(x device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list[x.index] = x
}

// heard notes that inotify has told of something on a device.
func (w *Watcher) heard(dev uint16) {
	if x := w.at(dev); x.trial && !x.told {
		x.told = true
		w.devices.put(x)
	}
}

// untold notes that polling has found what inotify must have told, if it tells anything. That settles it.
func (w *Watcher) untold(n *node, x *entry, k mark) {
	d := w.at(n.dev)
	if !d.trial || k.bits != 0 || k.recovered || w.now.UnixNano()-max(x.mtime, x.ctime) < int64(trialAge) {
		return
	}
	d.trial = false
	w.devices.put(d)
	top, _ := n.top()
	w.warn(Warning{Kind: PollingMount, Path: join(w.bases[top.root], n.path()), Dirs: 1})
}

// trialAge is how old a change must be for its event to be overdue.
const trialAge = 50 * time.Millisecond

// acquit ends the polling of devices of which inotify has told, while polling found nothing that it had not.
func (w *Watcher) acquit() {
	for _, d := range w.devices.all() {
		if !d.trial || !d.told {
			continue
		}
		d.trial, d.poll = false, false
		w.devices.put(d)
		w.eye.met = false
		for _, r := range w.roots {
			if r.top != nil {
				_ = r.top.walk(func(n *node) bool {
					if n.dev == d.index && n.id > 0 {
						n.flags &^= polled
					}
					return true
				})
			}
		}
	}
}

// local are filesystems that only this kernel changes.
var local = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:      true, // ext2 and ext3, too
	unix.XFS_SUPER_MAGIC:       true,
	unix.BTRFS_SUPER_MAGIC:     true,
	unix.F2FS_SUPER_MAGIC:      true,
	unix.TMPFS_MAGIC:           true, // devtmpfs, too
	unix.OVERLAYFS_SUPER_MAGIC: true,
	unix.SQUASHFS_MAGIC:        true,
	unix.EROFS_SUPER_MAGIC_V1:  true,
	unix.RAMFS_MAGIC:           true,
	unix.HUGETLBFS_MAGIC:       true,
	unix.CGROUP2_SUPER_MAGIC:   true,
	unix.CGROUP_SUPER_MAGIC:    true,
	unix.ISOFS_SUPER_MAGIC:     true,
	unix.MSDOS_SUPER_MAGIC:     true,
	unix.EXFAT_SUPER_MAGIC:     true,
	unix.UDF_SUPER_MAGIC:       true,
	unix.NILFS_SUPER_MAGIC:     true,
	unix.REISERFS_SUPER_MAGIC:  true,
	unix.ECRYPTFS_SUPER_MAGIC:  true,
	0x2fc12fc1:                 true, // ZFS
	0xca451a4e:                 true, // bcachefs
	0x7366746e:                 true, // NTFS3
	0x3153464a:                 true, // JFS
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
