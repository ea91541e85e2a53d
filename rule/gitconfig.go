package rule

import (
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// gitConfig is what matters here of git's configuration.
type gitConfig struct {
	excludesFile string // core.excludesFile, or its default; may be relative to the top
	perWorktree  bool   // extensions.worktreeConfig
}

// config reads git's config files in git's order, later ones winning. st may
// be empty: then there is no repository.
func (rd *reader) config(st store) gitConfig {
	getenv := rd.ig.opt.Getenv
	home := getenv("HOME")
	xdg := getenv("XDG_CONFIG_HOME")
	if xdg == "" && home != "" {
		xdg = home + "/.config"
	}
	c := configReader{rd: rd, st: st, home: home}
	if xdg != "" {
		c.config.excludesFile = xdg + "/git/ignore"
	}
	if getenv("GIT_CONFIG_NOSYSTEM") == "" {
		c.file(firstSet(getenv("GIT_CONFIG_SYSTEM"), "/etc/gitconfig"), 0)
	}
	if global := getenv("GIT_CONFIG_GLOBAL"); global != "" {
		c.file(global, 0)
	} else if home != "" {
		c.file(xdg+"/git/config", 0)
		c.file(home+"/.gitconfig", 0)
	}
	if st.dir != "" {
		c.file(st.common+"/config", 0)
		if c.config.perWorktree {
			c.file(st.dir+"/config.worktree", 0)
		}
	}
	c.environment(getenv)
	return c.config
}

func firstSet(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// configReader gathers settings from one file after the other.
type configReader struct {
	rd     *reader
	st     store
	home   string
	config gitConfig
}

// maxIncludes is how deep git lets files include each other.
const maxIncludes = 10

func (c *configReader) file(path string, depth int) {
	data, err := c.rd.read(path, 0)
	if err != nil || depth > maxIncludes {
		return
	}
	p := configParser{text: strings.TrimPrefix(data, "\ufeff")}
	for {
		key, value, ok := p.next()
		if !ok {
			return
		}
		c.set(key, value, path, depth)
	}
}

// set takes a setting; section and name in key are in lower case.
func (c *configReader) set(key, value, file string, depth int) {
	switch {
	case key == "core.excludesfile":
		c.config.excludesFile = c.expand(value)
	case key == "extensions.worktreeconfig":
		c.config.perWorktree = isTrue(value)
	case key == "include.path", c.includes(key, file):
		c.file(joinPath(filepath.Dir(file), c.expand(value)), depth+1)
	}
}

// includes reports whether key is the path of an includeIf whose condition holds.
func (c *configReader) includes(key, file string) bool {
	condition, ok := strings.CutPrefix(key, "includeif.")
	if !ok {
		return false
	}
	condition, ok = strings.CutSuffix(condition, ".path")
	kind, pattern, found := strings.Cut(condition, ":")
	if !ok || !found || c.st.dir == "" {
		return false
	}
	switch kind {
	case "gitdir":
		return matchPath(c.gitdirPattern(pattern, file), c.st.dir)
	case "gitdir/i":
		return matchPath(strings.ToLower(c.gitdirPattern(pattern, file)), strings.ToLower(c.st.dir))
	case "onbranch":
		c.rd.branch = true
		branch, err := c.rd.read(c.st.dir+"/HEAD", 0)
		branch, ok := strings.CutPrefix(strings.TrimRight(branch, "\n"), "ref: refs/heads/")
		return err == nil && ok && matchPath(wholeFolder(pattern), branch)
	}
	return false
}

// gitdirPattern completes the pattern of a gitdir condition.
func (c *configReader) gitdirPattern(pattern, file string) string {
	pattern = c.expand(pattern)
	if rest, ok := strings.CutPrefix(pattern, "./"); ok {
		pattern = filepath.Dir(file) + "/" + rest
	}
	if !strings.HasPrefix(pattern, "/") {
		pattern = "**/" + pattern
	}
	return wholeFolder(pattern)
}

func wholeFolder(pattern string) string {
	if strings.HasSuffix(pattern, "/") {
		return pattern + "**"
	}
	return pattern
}

func matchPath(pattern, path string) bool {
	w := compileWildcard(pattern, true)
	return w.match(path)
}

// expand resolves "~/" and "~name/".
func (c *configReader) expand(path string) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	name, rest, _ := strings.Cut(path[1:], "/")
	if name == "" {
		return c.home + "/" + rest
	}
	if u, err := user.Lookup(name); err == nil {
		return u.HomeDir + "/" + rest
	}
	return path
}

// environment takes the settings of GIT_CONFIG_COUNT, GIT_CONFIG_KEY_0, ...
func (c *configReader) environment(getenv func(string) string) {
	const most = 1000
	count, _ := strconv.Atoi(getenv("GIT_CONFIG_COUNT"))
	for i := range min(count, most) {
		n := strconv.Itoa(i)
		c.set(lowerKey(getenv("GIT_CONFIG_KEY_"+n)), getenv("GIT_CONFIG_VALUE_"+n), "", maxIncludes)
	}
}

// lowerKey makes section and name of a key lower case, not what is between.
func lowerKey(key string) string {
	first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
	if first < 0 {
		return strings.ToLower(key)
	}
	return strings.ToLower(key[:first]) + key[first:last] + strings.ToLower(key[last:])
}

func isTrue(value string) bool {
	switch strings.ToLower(value) {
	case "true", "yes", "on":
		return true
	}
	n, err := strconv.Atoi(value)
	return err == nil && n != 0
}

// configParser reads the settings of one git config file.
type configParser struct {
	text    string
	section string // in lower case, with its subsection as it stands
}

// next returns the next setting; a name without a value is "true". What git
// would refuse ends the file.
func (p *configParser) next() (key, value string, ok bool) {
	for {
		p.text = strings.TrimLeft(p.text, " \t\r\n")
		switch {
		case p.text == "":
			return "", "", false
		case p.text[0] == '#', p.text[0] == ';':
			_, p.text, _ = strings.Cut(p.text, "\n")
		case p.text[0] == '[':
			if !p.header() {
				return "", "", false
			}
		default:
			return p.setting()
		}
	}
}

// header reads "[section]", `[section "sub"]` or "[section.sub]".
func (p *configParser) header() bool {
	quoted, i := false, 1
	var name strings.Builder
	for ; i < len(p.text) && p.text[i] != '\n'; i++ {
		switch c := p.text[i]; {
		case c == '\\' && quoted && i+1 < len(p.text):
			i++
			name.WriteByte(p.text[i])
		case c == '"':
			if quoted = !quoted; quoted {
				p.section = strings.ToLower(strings.TrimSpace(name.String())) + "."
				name.Reset()
			} else {
				return p.endHeader(i+1, p.section+name.String())
			}
		case c == ']' && !quoted:
			return p.endHeader(i, strings.ToLower(name.String()))
		default:
			name.WriteByte(c)
		}
	}
	return false
}

func (p *configParser) endHeader(i int, section string) bool {
	p.section = section
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.text[i:], " \t"), "]")
	p.text = rest
	return ok
}

// setting reads "name = value" or "name".
func (p *configParser) setting() (key, value string, ok bool) {
	i := 0
	for i < len(p.text) && (isAlpha(p.text[i]) || isDigit(p.text[i]) || p.text[i] == '-') {
		i++
	}
	if i == 0 {
		return "", "", false
	}
	key = p.section + "." + strings.ToLower(p.text[:i])
	p.text = strings.TrimLeft(p.text[i:], " \t")
	if !strings.HasPrefix(p.text, "=") {
		return key, "true", true
	}
	p.text = strings.TrimLeft(p.text[1:], " \t")
	return key, p.value(), true
}

// value reads up to the end of the line: quotes, escapes, comments, and a
// backslash that carries it on to the next line.
func (p *configParser) value() string {
	var v strings.Builder
	quoted, kept := false, 0 // kept: how much of v is not trailing space
	i := 0
	for ; i < len(p.text) && p.text[i] != '\n'; i++ {
		switch c := p.text[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && i+1 < len(p.text):
			i++
			v.WriteString(unescapeConfig(p.text[i]))
			kept = v.Len()
		case !quoted && (c == '#' || c == ';'):
			_, p.text, _ = strings.Cut(p.text[i:], "\n")
			return v.String()[:kept]
		case !quoted && v.Len() == 0 && isBlank(c):
		default:
			v.WriteByte(c)
			if quoted || !isBlank(c) {
				kept = v.Len()
			}
		}
	}
	p.text = p.text[i:]
	return v.String()[:kept]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

func unescapeConfig(c byte) string {
	switch c {
	case '\n':
		return ""
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'b':
		return "\b"
	}
	return string([]byte{c})
}
