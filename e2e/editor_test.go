package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// save is a way in which a program writes main.go. The script is given the
// file, its new text and the number of the save; keys are typed into a program
// that wants a terminal.
type save struct {
	name, program, script string
	keys                  []keys
}

// keys are typed when the terminal has shown something.
type keys struct{ see, press string }

var saves = []save{
	{name: "shell", program: "sh", script: `echo "$2" > "$1"`},
	{name: "append", program: "sh", script: `echo "$2" >> "$1"`},
	{name: "touch", program: "touch", script: `touch "$1"`},
	{name: "atomic rename", program: "mv", script: `echo "$2" > "$1.tmp" && mv "$1.tmp" "$1"`},
	{name: "backup, then rename", program: "mv", script: `cp "$1" "$1~" && echo "$2" > new && mv new "$1" && rm "$1~"`},
	{name: "away and back, as JetBrains", program: "mv",
		script: `echo "$2" > "$1___jb_tmp___" && mv "$1" "$1___jb_old___" && mv "$1___jb_tmp___" "$1" && rm "$1___jb_old___"`},
	{name: "copy", program: "cp", script: `echo "$2" > ../other && cp ../other "$1"`},
	{name: "truncate, then write", program: "truncate", script: `truncate -s 0 "$1" && echo "$2" >> "$1"`},
	{name: "sed -i", program: "sed", script: `sed -i "1s/.*/$2/" "$1"`},
	{name: "perl -i", program: "perl", script: `perl -pi -e "s/.*/$2/ if \$. == 1" "$1"`},
	{name: "gofmt -w", program: "gofmt", script: `gofmt -w -r "$(sed -n '1s/package //p' "$1") -> save$(($3 + 1))" "$1"`},
	{name: "vim", program: "vim", script: `vim -u NONE -N -n -es -c "1s/.*/$2/" -c wq "$1" </dev/null`},
	{name: "vim with backup and swap", program: "vim",
		script: `vim -u NONE -N -es -c "set backup writebackup swapfile backupcopy=no" -c "1s/.*/$2/" -c wq "$1" </dev/null`},
	{name: "vim with backupcopy", program: "vim", script: `vim -u NONE -N -es -c "set writebackup backupcopy=yes" -c "1s/.*/$2/" -c wq "$1" </dev/null`},
	{name: "vim in a terminal", program: "vim", script: `exec vim -u NONE -N "$1"`,
		keys: []keys{{"package", ":1s/.*/TEXT/\r"}, {"TEXT", ":wq\r"}}},
	{name: "neovim", program: "nvim", script: `nvim --headless -u NONE -c "1s/.*/$2/" -c wq "$1" </dev/null`},
	{name: "emacs", program: "emacs", script: `emacs --batch -Q "$1" --eval "(progn (goto-char (point-min)) (kill-line) (insert \"$2\") (save-buffer))"`},
	{name: "emacs in a terminal", program: "emacs", script: `TERM=xterm exec emacs -nw -Q "$1"`,
		keys: []keys{{"package", "\v"}, {"**", "TEXT"}, {"TEXT", "\x18\x13"}, {"Wrote", "\x18\x03"}}},
	{name: "nano", program: "nano", script: `TERM=xterm exec nano -I "$1"`,
		keys: []keys{{"package", "\v"}, {"Modified", "TEXT\r"}, {"TEXT", "\x0f"}, {"Write", "\r"}, {"Wrote", "\x18"}}},
	{name: "ed", program: "ed", script: `printf '%s\n' "1s/.*/$2/" w q | ed -s "$1"`},
	{name: "kakoune", program: "kak", script: `kak -n -ui dummy -e "execute-keys 'ggxc$2<ret><esc>'; write; quit" "$1" </dev/null`},
	{name: "rsync", program: "rsync", script: `mkdir -p ../other && echo "$2" > "../other/$1" && rsync -a --checksum "../other/$1" "$1"`},
	{name: "patch", program: "patch", script: `echo "$2" > ../new; (diff -u "$1" ../new || true) > ../diff; patch -s "$1" ../diff`},
}

// However an editor saves, a save is one run.
func TestOneSaveIsOneRun(t *testing.T) {
	t.Parallel()
	for _, s := range saves {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			needs(t, s.program)
			s.isOneRun(t)
		})
	}
}

func (s *save) isOneRun(t *testing.T) {
	dir := project(t, map[string]string{"work/main.go": "package save0\n"})
	work := filepath.Join(dir, "work")
	file, log := filepath.Join(work, "main.go"), filepath.Join(t.TempDir(), "runs")
	f := start(t, work, append([]string{"--no-start", "-e", "go", "--"}, stamp(t, log, 0)...)...)
	runs := func() int { return count(log, "START") }
	for i := range 3 {
		undisturbed(t, func() string {
			before, changed, text := runs(), stat(t, file).ModTime(), fmt.Sprintf("package save%d", i+1)
			s.do(t, work, text, fmt.Sprint(i))
			if s.name != "touch" && !strings.Contains(content(file), text) || stat(t, file).ModTime().Equal(changed) {
				t.Fatalf("%s did not save: %q", s.name, content(file))
			}
			eventually(t, "a run for the save", func() bool { return runs() > before })
			f.settled(func() string { return content(log) })
			if n := runs() - before; n != 1 {
				return fmt.Sprintf("%d runs for save %d", n, i+1)
			}
			return ""
		})
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// do saves main.go in dir.
func (s *save) do(t *testing.T, dir, text, number string) {
	t.Helper()
	if s.keys == nil {
		sh(t, dir, s.script, "main.go", text, number)
		return
	}
	cmd := exec.Command("sh", "-c", s.script, "sh", "main.go", text, number)
	cmd.Dir = dir
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	defer cmd.Process.Kill()
	screen := newLines()
	go func() { _, _ = screen.readFrom(tty) }()
	shown := 0
	for _, k := range s.keys {
		see, press := strings.ReplaceAll(k.see, "TEXT", text), strings.ReplaceAll(k.press, "TEXT", text)
		eventually(t, fmt.Sprintf("%s shows %q", s.name, see), func() bool { return strings.Contains(screen.String()[shown:], see) })
		shown = len(screen.String())
		if _, err := tty.WriteString(press); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%q", s.name, err, screen)
	}
}
