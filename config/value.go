package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// value is one node on its way into its field: its methods check the node,
// and set the field or note an error.
type value struct {
	r    *reader
	n    *node
	name string // of its key, for messages: "ready.port"
	cfg  *Config
	rule *Rule // nil for a key that is global only
}

// errorf notes what is wrong with the value.
func (v value) errorf(format string, args ...any) { v.hint("", format, args...) }

// hint notes what is wrong with the value and what to do.
func (v value) hint(hint, format string, args ...any) {
	v.r.fail(v.n.pos, v.name, hint, fmt.Sprintf(format, args...))
}

// at is the same value, looking at another node.
func (v value) at(n *node) value {
	v.n = n
	return v
}

// is reports whether the node has a type, and notes it if not.
func (v value) is(k kind) bool {
	if v.n.kind == k {
		return true
	}
	want := k.String()
	if k == boolKind {
		want = "true or false"
	}
	if v.n.pos.Flag != "" {
		v.errorf("%q is not %s", v.n.val, want)
		return false
	}
	v.hint(v.rewrite(k), "must be %s, not %s", want, v.n.kind)
	return false
}

// rewrite shows how a value of the wrong type is written rightly.
func (v value) rewrite(k kind) string {
	text, _ := v.n.val.(string)
	switch {
	case k == boolKind && (text == "true" || text == "false"):
		return "write it without quotes: " + text
	case k == stringKind && v.n.val != nil && v.n.kind != timeKind:
		return "write it in quotes: " + quote(fmt.Sprint(v.n.val))
	case k == intKind && isNumber(text):
		return "write it without quotes: " + text
	}
	return ""
}

func isNumber(text string) bool {
	_, err := strconv.ParseInt(text, 10, 64)
	return err == nil
}

func (v value) bool(dst *bool) {
	if v.is(boolKind) {
		*dst = v.n.val.(bool)
	}
}

func (v value) int(dst *int, low, high int64) {
	if !v.is(intKind) {
		return
	}
	number := v.n.val.(int64)
	if number < low || number > high {
		v.errorf("%d is not between %d and %d", number, low, high)
		return
	}
	*dst = int(number)
}

// text gives a string that is not empty and holds no NUL.
func (v value) text() (string, bool) {
	if !v.is(stringKind) {
		return "", false
	}
	text := v.n.val.(string)
	switch {
	case strings.TrimSpace(text) == "":
		v.errorf("is empty")
		return "", false
	case strings.Contains(text, "\x00"):
		v.errorf("holds a NUL byte")
		return "", false
	}
	return text, true
}

func (v value) string(dst *string) {
	if text, ok := v.text(); ok {
		*dst = text
	}
}

// strings sets a list; check may refuse an element.
func (v value) strings(dst *[]string, check func(string) error) {
	if v.n.kind == stringKind {
		v.hint(fmt.Sprintf("write it in brackets: [%q]", v.n.val), "must be an array of strings, not a string")
		return
	}
	if v.n.kind != arrayKind {
		v.errorf("must be an array of strings, not %s", v.n.kind)
		return
	}
	list := make([]string, 0, len(v.n.kids))
	for _, kid := range v.n.kids {
		if text, ok := v.at(kid).text(); ok {
			list = append(list, text)
			v.at(kid).check(text, check)
		}
	}
	*dst = list
}

// check asks another package about an element.
func (v value) check(text string, check func(string) error) {
	if check == nil {
		return
	}
	if err := check(text); err != nil {
		v.r.problem(v.n.pos, v.name, text, err)
	}
}

// lines sets a list from an array or from one string.
func (v value) lines(dst *[]string) {
	if v.n.kind != stringKind {
		v.strings(dst, nil)
		return
	}
	if text, ok := v.text(); ok {
		*dst = []string{text}
	}
}

// filled refuses an array without elements.
func (v value) filled(length int) {
	if length == 0 && v.n.kind == arrayKind && len(v.n.kids) == 0 {
		v.errorf("is empty")
	}
}

// distinct refuses an element that is there twice.
func (v value) distinct() {
	seen := map[any]bool{}
	for _, kid := range v.n.kids {
		if kid.kind == stringKind && seen[kid.val] {
			v.at(kid).errorf("%q is listed twice", kid.val)
		}
		seen[kid.val] = true
	}
}

// ignore is the list that an ignore key fills; flags add to that of the file.
func (v value) ignore() *[]string {
	if v.rule != nil {
		return &v.rule.Ignore
	}
	return &v.cfg.Ignore
}

// enum sets a field whose values are the indexes of its names.
func enum[T ~uint8](v value, dst *T, names []string) {
	text, ok := v.text()
	if !ok {
		return
	}
	if at := slices.Index(names, text); at >= 0 {
		*dst = T(at)
		return
	}
	v.unknown(text, names)
}

// unknown refuses a word that is none of a list.
func (v value) unknown(text string, names []string) {
	v.hint("it can be "+strings.Join(names, ", "), "unknown value %q%s", text, didYouMean(text, names))
}

func (v value) ops(dst *Ops) {
	if v.n.kind != stringKind && !v.is(arrayKind) {
		return
	}
	kids := v.n.kids
	if v.n.kind == stringKind {
		kids = commaList(v.n)
	}
	set, good := Ops(0), true
	for _, kid := range kids {
		text, ok := v.at(kid).text()
		at := slices.Index(opNames, text)
		if ok && at < 0 {
			v.at(kid).unknown(text, opNames)
		}
		if good = good && at >= 0; good {
			set |= 1 << at
		}
	}
	switch {
	case len(kids) == 0:
		v.errorf("is empty")
	case good:
		*dst = set
	}
}

// commaList splits "a,b" into nodes at the place of the whole.
func commaList(n *node) []*node {
	var list []*node
	for word := range strings.SplitSeq(n.val.(string), ",") {
		list = append(list, &node{kind: stringKind, pos: n.pos, val: strings.TrimSpace(word)})
	}
	return list
}

func (v value) duration(dst *time.Duration, low time.Duration) {
	if v.n.kind == intKind || v.n.kind == floatKind {
		v.hint(fmt.Sprintf(`write "%[1]vs" or "%[1]vms"`, v.n.val), "%v has no unit", v.n.val)
		return
	}
	if v.n.kind != stringKind {
		v.errorf(`must be a duration like "250ms", not %s`, v.n.kind)
		return
	}
	text, ok := v.text()
	if !ok {
		return
	}
	if d, ok := v.parseDuration(text, low); ok {
		*dst = d
	}
}

func (v value) parseDuration(text string, low time.Duration) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	number, numErr := strconv.ParseFloat(text, 64)
	switch {
	case numErr == nil && number != 0:
		v.hint(fmt.Sprintf(`write "%[1]ss" or "%[1]sms"`, text), "%q has no unit", text)
	case err != nil:
		v.hint(`a duration is written like "250ms", "2s" or "1m30s"`, "%q is not a duration", text)
	case d < 0:
		v.errorf("%q is negative", text)
	case d < low:
		v.errorf("must be more than 0")
	default:
		return d, true
	}
	return 0, false
}

func (v value) settle(dst *Settle) {
	text, _ := v.n.val.(string)
	switch text {
	case "auto":
		*dst = Settle{Auto: true}
		return
	case "leading":
		*dst = Settle{Leading: true}
		return
	}
	if near := nearest(text, []string{"auto", "leading"}); near != "" {
		v.hint("it can be auto, leading or a duration", "unknown value %q, did you mean %s?", text, near)
		return
	}
	quiet := time.Duration(-1)
	if v.duration(&quiet, 0); quiet >= 0 {
		*dst = Settle{Duration: quiet}
	}
}

func (v value) signal(dst *syscall.Signal) {
	if text, ok := v.text(); ok {
		v.parseSignal(dst, text)
	}
}

func (v value) parseSignal(dst *syscall.Signal, text string) bool {
	sig, err := ParseSignal(text)
	if err != nil {
		v.hint(hintOf(err), "%v", err)
		return false
	}
	*dst = sig
	return true
}

func (v value) busy(dst *Busy) {
	text, ok := v.text()
	if !ok {
		return
	}
	if name, found := strings.CutPrefix(text, "signal:"); found {
		var sig syscall.Signal
		if v.parseSignal(&sig, name) {
			*dst = Busy{Policy: SendSignal, Signal: sig}
		}
		return
	}
	at := slices.Index(busyNames, text)
	if at < 0 {
		v.hint("it can be queue, restart, skip or signal:SIG", "unknown value %q%s", text, didYouMean(text, busyNames))
		return
	}
	*dst = Busy{Policy: Policy(at)}
}

var busyNames = []string{"queue", "restart", "skip"}

func (v value) size(dst *int64, low, high int64) {
	if v.n.kind == intKind {
		v.hint(fmt.Sprintf(`write "%dB" or "%[1]dMB"`, v.n.val), "%d has no unit", v.n.val)
		return
	}
	text, ok := v.text()
	if !ok {
		return
	}
	size, err := ParseSize(text)
	switch {
	case err != nil:
		v.hint(hintOf(err), "%v", err)
	case size < low || size > high:
		v.errorf("must be more than 0")
	default:
		*dst = size
	}
}

// command reads a string for the shell or an array of words.
func (v value) command(dst *Command) {
	switch v.n.kind {
	case stringKind:
		if text, ok := v.text(); ok {
			*dst = Command{Line: text}
		}
	case arrayKind:
		if argv, ok := v.argv(); ok {
			*dst = Command{Argv: argv}
		}
	default:
		v.errorf("must be a string or an array of strings, not %s", v.n.kind)
	}
}

// argv reads words: only the first must not be empty.
func (v value) argv() ([]string, bool) {
	if len(v.n.kids) == 0 {
		v.errorf("is empty")
		return nil, false
	}
	argv, good := make([]string, len(v.n.kids)), true
	for i, kid := range v.n.kids {
		w := v.at(kid)
		if word, _ := kid.val.(string); i > 0 && kid.kind == stringKind && strings.TrimSpace(word) == "" {
			argv[i] = word
			continue
		}
		word, ok := w.text()
		argv[i], good = word, good && ok
	}
	return argv, good
}

// env reads a table of variables; those of a flag or the file's order stay.
func (v value) env() {
	if !v.is(tableKind) {
		return
	}
	dst := &v.cfg.Env
	if v.rule != nil {
		dst = &v.rule.Env
	}
	*dst = nil
	for _, kid := range v.n.kids {
		w := v.at(kid)
		w.name += "." + kid.key
		if w.envName(kid) && w.is(stringKind) {
			*dst = append(*dst, Var{kid.key, kid.val.(string)})
		}
	}
}

// envName refuses names that no environment can hold, or that flinch sets.
func (v value) envName(kid *node) bool {
	text, _ := kid.val.(string)
	problem := ""
	switch {
	case kid.key == "" || strings.ContainsAny(kid.key, "=\x00"):
		problem = "is no name of a variable"
	case strings.HasPrefix(kid.key, "FLINCH_"):
		problem = "names that begin with FLINCH_ are set by flinch"
	case strings.Contains(text, "\x00"):
		problem = "holds a NUL byte"
	}
	if problem != "" {
		v.r.fail(kid.keyPos, v.name, "", problem)
	}
	return problem == ""
}

func (v value) port(number *uint16, any *bool) {
	switch v.n.kind {
	case boolKind:
		if *any = v.n.val.(bool); !*any {
			v.errorf("must be a port number, or true for any port")
		}
	case intKind:
		port := v.n.val.(int64)
		if port < 1 || port > math.MaxUint16 {
			v.errorf("%d is not between 1 and 65535", port)
			return
		}
		*number = uint16(port)
	default:
		v.hint(v.rewrite(intKind), "must be a port number, or true for any port, not %s", v.n.kind)
	}
}

// address reads "host:port"; the host may be empty.
func (v value) address(dst *string) {
	if text, ok := v.text(); ok && v.hostPort(text, 1) {
		*dst = text
	}
}

// hostPort refuses what is not host:port with a port from low on.
func (v value) hostPort(text string, low int) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		v.hint(`an address is written like "127.0.0.1:8080"`, "%q is not host:port", text)
		return false
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < low || number > math.MaxUint16 {
		v.errorf("port %q is not between %d and 65535", port, low)
		return false
	}
	return true
}

func (v value) url(dst **url.URL) {
	text, ok := v.text()
	if !ok {
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		v.errorf("%q is not a URL", text)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		v.hint(`a URL is written like "http://127.0.0.1:8080/health"`, "%q is not an http URL", text)
	default:
		*dst = u
	}
}

func (v value) regexp(dst *string) {
	text, ok := v.text()
	if !ok {
		return
	}
	if _, err := regexp.Compile(text); err != nil {
		v.errorf("bad regexp: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	*dst = text
}

func (v value) output() {
	v.rule.Output = Output{Max: outputMax}
	if v.n.kind == stringKind {
		v.string(&v.rule.Output.File)
		return
	}
	if v.n.kind != tableKind {
		v.errorf("must be a file name or { file = ..., max = ... }, not %s", v.n.kind)
		return
	}
	if v.table(outputKeys) && v.n.child("file") == nil {
		v.errorf("names no file")
	}
}

func (v value) ready() {
	v.rule.Ready = &Ready{Timeout: readyTimeout}
	if !v.is(tableKind) {
		return
	}
	if v.table(readyKeys) && !slices.ContainsFunc(v.n.kids, func(kid *node) bool { return kid.key != "timeout" }) {
		v.errorf("says no way: give one of port, tcp, http, log, exec, notify")
	}
	if notify := v.n.child("notify"); notify != nil && notify.val == false {
		v.at(notify).errorf("notify must be true where it is given")
	}
}

// listen reads an array of addresses and tables, or one of them alone.
func (v value) listen() {
	items := []*node{v.n}
	if v.n.kind == arrayKind {
		items = v.n.kids
		v.filled(len(items))
	}
	v.rule.Listen = nil
	for _, item := range items {
		v.rule.Listen = append(v.rule.Listen, Listen{Name: v.rule.Name})
		v.at(item).listenOne()
	}
}

func (v value) listenOne() {
	switch v.n.kind {
	case stringKind:
		v.listenAddress()
	case tableKind:
		if v.table(listenKeys) && v.n.child("address") == nil {
			v.errorf("names no address")
		}
	default:
		v.errorf("must be an address or { name = ..., address = ... }, not %s", v.n.kind)
	}
}

// last is the socket that is being read.
func (v value) last() *Listen { return &v.rule.Listen[len(v.rule.Listen)-1] }

func (v value) listenName() {
	text, ok := v.text()
	if !ok {
		return
	}
	bad := func(r rune) bool { return r <= ' ' || r == ':' || r > '~' }
	if len(text) > 255 || strings.ContainsFunc(text, bad) {
		v.errorf("%q is no name of a socket: no spaces, no colon, ASCII only", text)
		return
	}
	v.last().Name = text
}

func (v value) listenAddress() {
	text, ok := v.text()
	if !ok {
		return
	}
	path, found := strings.CutPrefix(text, "unix:")
	switch {
	case found && (path == "" || path == "@"):
		v.errorf("%q names no path", text)
	case len(path) > maxUnixPath:
		v.errorf("the path of a socket has %d bytes at most", maxUnixPath)
	case found:
		v.last().Network, v.last().Address = "unix", path
	case v.hostPort(text, 0) && v.localHost(text):
		v.last().Network, v.last().Address = "tcp", text
	}
}

// maxUnixPath is what the kernel takes, beside a zero byte.
const maxUnixPath = 107

// localHost refuses names other than localhost: what they mean can change.
func (v value) localHost(text string) bool {
	host, _, _ := net.SplitHostPort(text)
	if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" {
		return true
	}
	v.errorf("%q is not an IP address, and not localhost", host)
	return false
}

// table reads the entries of a table by its keys. False: one is unknown, and
// may have meant one that is missing.
func (v value) table(list []Key) bool {
	known := true
	for _, kid := range v.n.kids {
		at := slices.IndexFunc(list, func(k Key) bool { return k.Name == kid.key })
		if at < 0 {
			known = false
			names := keyNames(list)
			v.r.fail(kid.keyPos, v.name, "it can have "+strings.Join(names, ", "),
				fmt.Sprintf("unknown key %q%s", kid.key, didYouMean(kid.key, names)))
			continue
		}
		w := v.at(kid)
		w.name += "." + kid.key
		list[at].set(w)
	}
	return known
}

func keyNames(list []Key) []string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = k.Name
	}
	return names
}
