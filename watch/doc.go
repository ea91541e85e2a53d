// Package watch tells what changes below directories, and loses nothing.
//
// Events of the kernel are hints: one only says which name of which directory to look at. What is reported is the difference
// between the disk and what is remembered of it. So folders made a moment ago, folders that are moved in, out or about, a
// full event queue, a root that vanishes and returns, and filesystems that must be polled all come down to the same thing,
// looking again at less or more. A directory is known by its watch descriptor, which is bound to the inode, and
// never by its path alone; it is looked at through a descriptor whose identity was proved.
//
// [New] returns when the watch stands. [Watcher.Next] hands over all net changes since the call before, without waiting for
// quiet. A consumer that is slow gets fewer, larger batches; memory is bounded by the number of changed names. [Watcher.Mark]
// and [Watcher.Sync] are barriers: what had happened before them has been handed over when they come back.
//
// What nobody can see who watches folders: a file written to through a further hard link that was made outside the tree after the
// file was last looked at, or that is gone again before it is; a store through a mapping that stays open. Files that are roots
// have watches of their own and are safe from the former.
//
// One goroutine owns the tree. It starts with New, and ends with [Watcher.Close] or with New's context. A second one waits for the
// kernel; looks at many directories are shared among a few that end with the look.
package watch
