// Record watches a folder with bare inotify while real editors, git and other writers work in it, and writes what the kernel said as test
// data for package debounce:
//
//	go run ./debounce/testdata/record [-o DIR] [NAME...]
//
// It needs the programs it records, and skips those that are not there. A trace is gzipped text: a comment with the program's version, the
// files that were there before ("= PATH"), then an event a line: microseconds since the start, mask as a hexadecimal number, path; events of
// one read have one time. The comment "# done MICROSECONDS" says when the program had finished.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	out := flag.String("o", "debounce/testdata/traces", "folder for the traces")
	flag.Parse()
	log.SetFlags(0)
	home, err := os.MkdirTemp("/var/tmp", "flinch-record-") // not in /tmp, where editors make no backups
	if err != nil {
		log.Fatal(err)
	}
	failed := false
	for _, s := range scenarios() {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), s.name) {
			continue
		}
		if err := record(s, home, *out); err != nil {
			log.Printf("%s: %v", s.name, err)
			failed = true
		}
	}
	os.RemoveAll(home)
	if failed {
		os.Exit(1)
	}
}

// scenario is something that writes files. prepare makes the tree; act is what is recorded.
type scenario struct {
	name    string
	needs   string // program that must be there
	version string // command line that prints its version
	prepare func(*scene) error
	act     func(*scene) error
}

func record(s scenario, home, out string) error {
	if s.needs != "" && !installed(s.needs) {
		return fmt.Errorf("%s is not installed", s.needs)
	}
	sc := &scene{dir: filepath.Join(home, s.name, "tree"), home: filepath.Join(home, s.name, "home")}
	for _, d := range []string{sc.dir, sc.home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if s.prepare != nil {
		if err := s.prepare(sc); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	defer sc.close()
	log.Printf("%s ...", s.name)
	t, err := trace(sc.dir, func() error { return s.act(sc) })
	if err != nil {
		return err
	}
	if s.version != "" {
		t.comment, _, _ = strings.Cut(sc.output(s.version), "\n")
	}
	return t.save(filepath.Join(out, s.name+".gz"))
}
