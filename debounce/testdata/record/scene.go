package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/creack/pty"
)

// scene is where a scenario plays: a tree that is recorded, and a home folder beside it.
type scene struct {
	dir, home string
	editor    *editor
}

// editor is a program on a terminal of its own.
type editor struct {
	cmd   *exec.Cmd
	tty   *os.File
	drawn chan struct{} // something was drawn
}

func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// write makes a file and the folders above it.
func (s *scene) write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.path(name), []byte(text), 0o644)
}

func (s *scene) cmd(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "HOME="+s.home, "TERM=xterm", "GIT_EDITOR=true", "GIT_CONFIG_NOSYSTEM=1", "XDG_CONFIG_HOME="+s.home,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	return c
}

// sh runs a script, which must succeed.
func (s *scene) sh(script string) error {
	c := s.cmd("sh", "-ec", script)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

func (s *scene) output(line string) string {
	out, _ := s.cmd("sh", "-c", line).Output()
	return strings.TrimSpace(string(out))
}

// edit opens an editor and returns when it has drawn itself.
func (s *scene) edit(name string, args ...string) error {
	c := s.cmd(name, args...)
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		return err
	}
	s.editor = &editor{cmd: c, tty: tty, drawn: make(chan struct{}, 1)}
	go s.editor.answer()
	s.editor.settle()
	return nil
}

// keys types into the editor and waits until it has drawn the result.
func (s *scene) keys(keys string) error {
	if keys == "" {
		return nil
	}
	_, err := s.editor.tty.WriteString(keys)
	s.editor.settle()
	return err
}

func (s *scene) close() {
	if s.editor == nil {
		return
	}
	s.editor.cmd.Process.Kill()
	s.editor.cmd.Wait()
	s.editor.tty.Close()
}

// answer reads what the editor draws, and answers its questions for the cursor's place and the kind of terminal.
func (e *editor) answer() {
	buf := make([]byte, 4096)
	for {
		n, err := e.tty.Read(buf)
		if err != nil {
			close(e.drawn)
			return
		}
		if bytes.Contains(buf[:n], []byte("\x1b[6n")) {
			e.tty.WriteString("\x1b[1;1R")
		}
		if bytes.Contains(buf[:n], []byte("\x1b[c")) {
			e.tty.WriteString("\x1b[?1;2c")
		}
		select {
		case e.drawn <- struct{}{}:
		default:
		}
	}
}

// settle waits until nothing was drawn for a while.
func (e *editor) settle() {
	quiet := time.NewTimer(3 * time.Second)
	for {
		select {
		case _, ok := <-e.drawn:
			if !ok {
				return
			}
			quiet.Reset(700 * time.Millisecond)
		case <-quiet.C:
			return
		}
	}
}
