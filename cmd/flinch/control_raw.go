package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flinch-run/flinch/watch/inotify"
)

// rawEvents prints what the kernel says and nothing that flinch makes of it, in the
// form of inotifywait -m -r: folder, names of the mask, name of the entry. It is a
// view for people who know inotify: a folder made a moment ago is watched when its
// own event has been read, and what happened in it before that is not seen.
type rawEvents struct {
	*eventPrinter
	conn *inotify.Conn
	at   map[inotify.WD]string // the folder of each watch, with a slash at its end; of a file the file
}

// rawMask is everything but reading, which would be a line for each look at a file.
const rawMask = inotify.Modify | inotify.Attrib | inotify.CloseWrite | inotify.Create | inotify.Delete |
	inotify.MovedFrom | inotify.MovedTo | inotify.DeleteSelf | inotify.MoveSelf

func (e *eventPrinter) printRaw(ctx context.Context) error {
	conn, err := inotify.Init()
	if err != nil {
		return exit(exitWatch, err)
	}
	defer conn.Close()
	r := &rawEvents{eventPrinter: e, conn: conn, at: map[inotify.WD]string{}}
	for i := range e.plan.roots {
		if err := r.add(i, "."); err != nil {
			return exit(exitWatch, err)
		}
	}
	if !e.quiet {
		fmt.Fprintf(e.err, "flinch: ready, %s (inotify, raw)\n", plural(len(r.at), "watch"))
	}
	var events []inotify.Event
	for {
		if events, err = conn.ReadContext(ctx, events[:0]); err != nil {
			return endOfWatch(ctx, err)
		}
		for _, ev := range events {
			if err := r.event(ev); errors.Is(err, errEnough) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
}

// add watches a folder, or a file, and all folders below it that are not ignored.
func (r *rawEvents) add(root int, rel string) error {
	p := r.plan
	return filepath.WalkDir(p.abs(root, rel), func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(p.roots[root], path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != ".":
			return nil // it has gone again
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case !d.IsDir() && name != ".":
			return nil
		case name != "." && p.ignores[root].Match(name, true):
			return fs.SkipDir
		}
		wd, err := r.conn.Add(path, rawMask)
		if errors.Is(err, fs.ErrNotExist) && name != "." {
			return nil
		}
		if err == nil {
			r.at[wd] = shown(p.cfg.Roots[root], name, d.IsDir())
		}
		return err
	})
}

// shown is a folder as it is printed: as the user named its root, and a slash.
func shown(root, name string, dir bool) string {
	path := filepath.Join(root, name)
	if root == "." && name != "." {
		path = "./" + path
	}
	if dir {
		path += "/"
	}
	return path
}

func (r *rawEvents) event(ev inotify.Event) error {
	at := r.at[ev.WD]
	if ev.Mask&inotify.Ignored != 0 {
		delete(r.at, ev.WD)
		return nil
	}
	line := fmt.Sprintf("%s %s %s", at, maskNames(ev.Mask), ev.Name)
	if err := r.write([]byte(strings.TrimSpace(line) + "\n")); err != nil {
		return err
	}
	if r.filter.enough() {
		return errEnough
	}
	if ev.Mask&inotify.IsDir != 0 && ev.Mask&(inotify.Create|inotify.MovedTo) != 0 {
		return r.addBelow(at, ev.Name)
	}
	return nil
}

// addBelow watches a folder that has come.
func (r *rawEvents) addBelow(at, name string) error {
	abs, err := filepath.Abs(filepath.Join(r.plan.cfg.Abs("."), at, name))
	if err != nil {
		return err
	}
	root, rel := r.plan.locate(abs)
	if root < 0 {
		return nil
	}
	if _, err := os.Lstat(abs); err != nil || r.plan.ignores[root].Match(rel, true) {
		return nil
	}
	return r.add(root, rel)
}

// maskNames are the names of a mask as inotifywait writes them.
func maskNames(m inotify.Mask) string {
	return strings.ReplaceAll(strings.ToUpper(strings.Join(m.Names(), ",")), "IS_DIR", "ISDIR")
}
