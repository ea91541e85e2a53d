package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// markEnv marks the processes of one flinch under test in their environment.
const markEnv = "FLINCH_E2E_SESSION"

// proc is a process, from /proc.
type proc struct {
	pid, parent int
	state       byte
	exe, args   string
}

// marked are the live processes (no zombies) with a mark in their environment.
func marked(mark string) (list []proc) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(markEnv+"="+mark+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if p, ok := readProc(pid); ok && p.state != 'Z' && p.state != 'X' {
			list = append(list, p)
		}
	}
	return list
}

// readProc reads what /proc tells of a process.
func readProc(pid int) (p proc, ok bool) {
	stat := content(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 {
		return p, false
	}
	p = proc{pid: pid, state: fields[0][0]}
	p.parent, _ = strconv.Atoi(fields[1])
	p.exe, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	p.args = strings.ReplaceAll(content(fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00", " ")
	return p, true
}

// alive tells whether a process lives and is no zombie.
func alive(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.state != 'Z' && p.state != 'X'
}

// helpers are the live processes of the session that are helpers.
func (s *session) helpers() (list []proc) {
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range marked(s.mark) {
		if p.exe == exe {
			list = append(list, p)
		}
	}
	return list
}

// zombies are the dead children that flinch has not reaped.
func (s *session) zombies() []proc { return childrenIn(s.cmd.Process.Pid, 'Z') }

// childrenIn are the children of a process that are in a state.
func childrenIn(parent int, state byte) (list []proc) {
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		if p, ok := readProc(pid); ok && p.state == state && p.parent == parent {
			list = append(list, p)
		}
	}
	return list
}

// assertNothingLeft waits until no process of the session is left, flinch and
// its guardian included.
func (s *session) assertNothingLeft() {
	s.t.Helper()
	eventually(s.t, "no process of the session is left", func() bool { return len(marked(s.mark)) == 0 })
}

// assertDead checks that nothing of the log's children lives at this moment.
func assertDead(t *testing.T, log string) {
	t.Helper()
	for _, c := range entries(log, "CHILD") {
		pid, _ := strconv.Atoi(c.text)
		if alive(pid) {
			p, _ := readProc(pid)
			t.Errorf("child %d lives on: %s", pid, p.args)
		}
	}
}
