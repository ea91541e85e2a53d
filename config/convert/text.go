package convert

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// words splits a line as a shell would, quotes and backslashes respected,
// without expanding anything. False: a quote is not closed.
func words(line string) ([]string, bool) {
	var list []string
	var word strings.Builder
	open, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(line):
			i++
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(line[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			open = true
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\t':
			if open || word.Len() > 0 {
				list = append(list, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteByte(c)
		}
	}
	if open || word.Len() > 0 {
		list = append(list, word.String())
	}
	return list, quote == 0
}

// The forms of regexps that a glob can say: what people write in reflex and
// air nearly always is one of them.
var (
	suffixRegexp  = regexp.MustCompile(`^(?:\.\*)?\\\.(\w+)\$$`)
	choiceRegexp  = regexp.MustCompile(`^(?:\.\*)?\\\.\(\??:?(\w+(?:\|\w+)*)\)\$$`)
	folderRegexp  = regexp.MustCompile(`^\^((?:[\w-]|/|\\\.)+)/(?:\.\*)?$`)
	insideRegexp  = regexp.MustCompile(`^\^((?:[\w-]|/|\\\.)+)/\.\*\\\.(\w+)\$$`)
	anyDirRegexp  = regexp.MustCompile(`^(?:\(\^\|/\))((?:[\w-]|\\\.)+)/$`)
	fileEndRegexp = regexp.MustCompile(`^(?:\(\^\|/\))((?:[\w-]|\\\.)+)\$$`)
	endingRegexp  = regexp.MustCompile(`^((?:[\w-]|\\?\.)+)\$$`) // an unescaped dot is meant as a dot
)

// globOf says in a glob what a regexp over paths says; "" where it cannot.
func globOf(re string) string {
	plain := func(s string) string { return strings.ReplaceAll(s, `\.`, ".") }
	if m := suffixRegexp.FindStringSubmatch(re); m != nil {
		return "**/*." + m[1]
	}
	if m := choiceRegexp.FindStringSubmatch(re); m != nil {
		return "**/*.{" + strings.ReplaceAll(m[1], "|", ",") + "}"
	}
	if m := insideRegexp.FindStringSubmatch(re); m != nil {
		return plain(m[1]) + "/**/*." + m[2]
	}
	if m := folderRegexp.FindStringSubmatch(re); m != nil {
		return plain(m[1]) + "/**"
	}
	if m := anyDirRegexp.FindStringSubmatch(re); m != nil {
		return "**/" + plain(m[1]) + "/**"
	}
	if m := fileEndRegexp.FindStringSubmatch(re); m != nil {
		return "**/" + plain(m[1])
	}
	if m := endingRegexp.FindStringSubmatch(re); m != nil {
		return "**/*" + plain(m[1])
	}
	return ""
}

// duration reads a duration with a unit, or a bare number in unit; "" where
// it is neither or not more than 0.
func duration(text string, unit time.Duration) string {
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		if number <= 0 || number > float64(24*time.Hour/unit) {
			return ""
		}
		return time.Duration(number * float64(unit)).String()
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return ""
	}
	return d.String()
}

// extGlob is the glob of files with one of some extensions; all where there
// is none.
func extGlob(exts []string) string {
	var good []string
	for _, ext := range exts {
		ext = strings.TrimPrefix(strings.TrimSpace(ext), ".")
		if ext != "" && ext != "*" && !strings.ContainsAny(ext, `/*?[]{}\!,`) {
			good = append(good, ext)
		}
	}
	switch len(good) {
	case 0:
		return "**"
	case 1:
		return "**/*." + good[0]
	}
	return "**/*.{" + strings.Join(good, ",") + "}"
}

// join puts a glob below a folder, "." being none.
func join(dir, glob string) string {
	dir = strings.Trim(strings.TrimPrefix(dir, "./"), "/")
	if dir == "" || dir == "." {
		return glob
	}
	return dir + "/" + glob
}
