package command

import (
	"errors"
	"slices"
	"strings"
)

// withScript finds the script of a shell in an array. A placeholder in it must
// not become shell text: the command is then built like a string that needs a
// shell, with the elements before the script as the shell.
func (c Command) withScript() (Command, error) {
	at, flags := scriptAt(c.Argv)
	if at < 0 || !slices.ContainsFunc(c.words[at], isPlaceholder) {
		return c, nil
	}
	refuse := func(elem, pos int, msg, hint string) (Command, error) {
		return Command{}, &Error{Elem: elem, Pos: pos, Msg: msg, hint: hint}
	}
	for i, w := range c.words[:at] {
		if n := slices.IndexFunc(w, isPlaceholder); n >= 0 {
			return refuse(i, w[n].pos, w[n].kind.String()+" cannot stand before the script of a shell", "")
		}
	}
	if at+1 < len(c.Argv) {
		n := slices.IndexFunc(c.words[at], isPlaceholder)
		return refuse(at, c.words[at][n].pos, c.words[at][n].kind.String()+" cannot stand in a script that has arguments of its own",
			`hand the paths to it as arguments: "$@" in the script, {files} behind it`)
	}
	q, err := checkScript(c.Argv[at])
	if err == nil {
		c.words, c.sh, c.Shell = nil, flags, c.Argv[at]
		c, err = c.inScript(q)
	}
	var wrong *Error
	if errors.As(err, &wrong) {
		return refuse(at, wrong.Pos, wrong.Msg, `or write "$@" there, and behind the script "sh", "{files}"`)
	}
	return c, err
}

func isPlaceholder(p part) bool { return p.kind != text }

// scriptAt is where the script of a shell stands in argv, -1 where there is none,
// and what is before it without the -c.
func scriptAt(argv []string) (at int, sh []string) {
	for i := range argv {
		if !bourne(argv[i : i+1]) {
			continue
		}
		for j := i + 1; j < len(argv); j++ {
			flag := argv[j]
			if len(flag) < 2 || flag[0] != '-' && flag[0] != '+' {
				break
			}
			switch {
			case strings.HasPrefix(flag, "--"):
			case flag[0] == '-' && strings.Contains(flag, "c") && j+1 < len(argv):
				return j + 1, withoutC(argv[:j], flag)
			case strings.HasSuffix(flag, "o"):
				j++ // "-o pipefail"
			}
		}
	}
	return -1, nil
}

// withoutC is a shell with its flags, the last of them without its c.
func withoutC(sh []string, flag string) []string {
	sh = slices.Clone(sh)
	if rest := strings.Replace(flag, "c", "", 1); rest != "-" {
		sh = append(sh, rest)
	}
	return sh
}
