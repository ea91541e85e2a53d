package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/flinch-run/flinch/config"
	"github.com/flinch-run/flinch/debounce"
	"github.com/flinch-run/flinch/rule"
	"github.com/flinch-run/flinch/watch"
)

// A record is a file of JSON lines: a head with the config and the ignore files,
// then what came into the debouncer and what left it, in the order and with the
// times that it saw. So a replay decides the same, and nothing else is needed
// for it.

// recordHead is the first line.
type recordHead struct {
	V       int           `json:"v"`
	Flinch  string        `json:"flinch"`
	Began   time.Time     `json:"began"`
	Roots   []string      `json:"roots"`
	Config  *recordConfig `json:"config"`
	Ignores []recordFile  `json:"ignores,omitempty"`
}

// recordConfig is a config file or a command line.
type recordConfig struct {
	Dir     string        `json:"dir"` // relative to the first root
	Text    string        `json:"text,omitempty"`
	Command []string      `json:"command,omitempty"`
	Service bool          `json:"service,omitempty"`
	Flags   []config.Flag `json:"flags,omitempty"`
}

// recordFile is an ignore file; a nil text says that there is none.
type recordFile struct {
	Root int     `json:"root"`
	Path string  `json:"path"`           // relative to the root
	User bool    `json:"user,omitempty"` // git's core.excludesFile, wherever it is
	Text *string `json:"text"`
}

// recordLine is any other line; times are in nanoseconds from the beginning.
type recordLine struct {
	At     int64         `json:"at"`
	In     []recordItem  `json:"in,omitempty"`
	Config *recordConfig `json:"config,omitempty"` // is in force from here on
	Ignore *recordFile   `json:"ignore,omitempty"` // has changed
	Out    []decision    `json:"out,omitempty"`
}

// recordItem is a change as it went into the debouncer: half of one, for a rename.
type recordItem struct {
	Root      int    `json:"root,omitempty"`
	Path      string `json:"path"`
	PathB64   string `json:"path_b64,omitempty"`
	From      string `json:"from,omitempty"`
	FromB64   string `json:"from_b64,omitempty"`
	Op        string `json:"op"`
	Type      string `json:"type"`
	Open      bool   `json:"open,omitempty"`
	Closed    bool   `json:"closed,omitempty"`
	Renamed   bool   `json:"renamed,omitempty"`
	Recovered bool   `json:"recovered,omitempty"`
	At        int64  `json:"at"`
}

// decision is what left the debouncer for one rule.
type decision struct {
	Rule  string   `json:"rule"`
	Paths []string `json:"paths"`
	Why   string   `json:"why,omitempty"`
}

// recorder writes a record. Only the goroutine of settleDown touches it, but for
// open and close, and what is said of match.
type recorder struct {
	path  string // absolute
	began time.Time
	file  *os.File
	out   *bufio.Writer
	err   error

	passed   uint64 // inputs that match has passed on; only match touches it
	received uint64 // inputs that have come
	mu       sync.Mutex
	ignores  []readIgnore // under mu: from match, not written yet
}

// readIgnore is an ignore file as match read it before it passed an input on.
type readIgnore struct {
	input uint64
	recordFile
}

func (o *options) recordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "record FILE [flags] [-- COMMAND [ARG...]]",
		Short: "run as ever, and write down what is seen and decided",
		Long: `Run the rules, or one command, as flinch does without record, and write what is
seen and decided to FILE, with the config and the ignore files. It holds names of
files, and none of their contents. flinch replay FILE decides it all again.`,
		Args: needs("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.record = args[0]
			dash := cmd.ArgsLenAtDash()
			if dash == 0 || dash < 0 && len(args) > 1 || dash > 1 {
				return exit(exitUsage, &hinted{errors.New("record: one file is needed, and -- before a command"), "see flinch record --help"})
			}
			cfg, err := o.load(args[1:], dash == 1)
			if err != nil {
				return err
			}
			o.words = args[1:]
			return o.runConfig(cmd.Context(), cfg)
		},
	}
	o.runFlags(cmd.Flags())
	return cmd
}

// openRecord begins the record, if one is wanted.
func (s *session) openRecord(p *plan) error {
	if s.record == "" || s.once {
		return nil
	}
	path, err := filepath.Abs(s.record)
	if err != nil {
		return exit(exitUsage, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return exit(exitUsage, err)
	}
	s.recorder = &recorder{path: path, began: time.Now(), file: f, out: bufio.NewWriter(f)}
	s.recorder.write(recordHead{
		V: 1, Flinch: version(), Began: s.recorder.began, Roots: p.roots, Config: s.configOf(p), Ignores: p.ignoreFiles(),
	})
	return nil
}

func (s *session) configOf(p *plan) *recordConfig {
	c := &recordConfig{Flags: s.flags}
	if p.cfg.Path == "" {
		c.Command, c.Service = s.words, s.service
		c.Dir = relativeTo(p.roots[0], ".")
		return c
	}
	c.Dir = relativeTo(p.roots[0], filepath.Dir(p.configFile()))
	if data, err := os.ReadFile(p.cfg.Path); err == nil {
		c.Text = string(data)
	}
	return c
}

func relativeTo(root, dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "."
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil {
		return "."
	}
	return rel
}

// upMax is how many folders above a root are searched for its repository.
const upMax = 8

// ignoreFiles are those that count in the roots: in watched folders, above a root
// up to the top of its repository, and the user's.
func (p *plan) ignoreFiles() (files []recordFile) {
	for root := range p.roots {
		p.walkFolders(root, func(dir string) {
			for _, name := range []string{".gitignore", ".ignore", ".git/info/exclude"} {
				name = filepath.Join(dir, name)
				if text := readText(p.abs(root, name)); text != nil {
					files = append(files, recordFile{Root: root, Path: name, Text: text})
				}
			}
		})
		for up, at := 0, "."; up < upMax; up, at = up+1, filepath.Join("..", at) {
			if _, err := os.Stat(filepath.Join(p.roots[root], at, ".git")); err == nil {
				empty := "" // shows where the repository begins
				files = append(files, recordFile{Root: root, Path: filepath.Join(at, ".git", "HEAD"), Text: &empty})
				break
			}
		}
	}
	return append(files, p.outsideFiles()...)
}

// outsideFiles are those that lie outside of the roots, also if there is none.
func (p *plan) outsideFiles() (files []recordFile) {
	for root, ignore := range p.ignores {
		user := ignore.UserFile()
		if user != "" {
			files = append(files, recordFile{Root: root, Path: filepath.Base(user), User: true, Text: readText(user)})
		}
		real, err := filepath.EvalSymlinks(p.roots[root])
		if err != nil {
			continue
		}
		for _, file := range ignore.Outside() {
			rel, err := filepath.Rel(real, file)
			if err != nil || file == user || strings.Count(rel, "../") >= upMax {
				continue
			}
			switch filepath.Base(file) {
			case ".gitignore", ".ignore", "exclude":
				files = append(files, recordFile{Root: root, Path: rel, Text: readText(file)})
			}
		}
	}
	return files
}

// readText is what a file holds; nil where it cannot be read.
func readText(path string) *string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	text := string(data)
	return &text
}

// walkFolders visits the folders of a root that are watched.
func (p *plan) walkFolders(root int, visit func(dir string)) {
	enter := func(dir string) bool {
		if dir != "." && p.ignores[root].Match(dir, true) {
			return false
		}
		visit(dir)
		return true
	}
	p.tree(root, enter, func(string) {})
}

// unseen tells whether the watcher may drop a change: when all is recorded only
// what is ignored, so that other rules can be tried on the record.
func (s *session) unseen(p *plan, root int, path string, dir bool) bool {
	if s.recorder == nil {
		return true
	}
	return p.isRoot(root) && (p.abs(root, path) == s.recorder.path || p.ignores[root].Match(path, dir))
}

// settleDown is the stage that waits until changes are complete.
func (s *session) settleDown(ctx context.Context, in <-chan input, out chan<- wave) {
	opt := debounce.Options[seen]{Lanes: s.plan().lanes, Fold: fold}
	if s.recorder == nil {
		debounce.Run(ctx, in, out, opt)
		return
	}
	defer close(out)
	r := &recording{s: s, recorder: s.recorder, queue: debounce.NewQueue[seen, watch.Mark](opt)}
	r.run(ctx, in, out)
}

// recording is debounce.Run with a pen: the same machine, and every step of it
// written down.
type recording struct {
	*recorder
	s     *session
	queue *debounce.Queue[seen, watch.Mark]
}

func (r *recording) run(ctx context.Context, in <-chan input, out chan<- wave) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for in != nil || r.queue.Pending() {
		now := time.Now()
		if w, due := r.queue.Take(now); due {
			r.took(now, w)
			select {
			case out <- w:
			case <-ctx.Done():
				return
			}
			continue
		}
		r.flush()
		if next, ok := r.queue.Next(); ok {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
		select {
		case input, ok := <-in:
			in = r.add(in, input, ok)
		case <-timer.C:
			in = r.drain(in)
		case <-ctx.Done():
			return
		}
	}
}

// drain takes in what has come meanwhile, so that a late wake-up is not taken for quiet.
func (r *recording) drain(in <-chan input) <-chan input {
	for range 64 {
		select {
		case input, ok := <-in:
			in = r.add(in, input, ok)
		default:
			return in
		}
	}
	return in
}

func (r *recording) add(in <-chan input, i input, ok bool) <-chan input {
	if !ok {
		return nil
	}
	now := time.Now()
	p := r.s.plan()
	line := recordLine{At: r.since(now)}
	if i.Lanes != nil {
		line.Config = r.s.configOf(p)
	}
	r.received++
	r.writeIgnores(now)
	for _, it := range i.Items {
		line.In = append(line.In, r.item(it))
	}
	if line.In != nil || line.Config != nil {
		r.write(line)
	}
	r.queue.Add(i, now)
	return in
}

// writeIgnores writes the ignore files that match read before it judged the input.
func (r *recording) writeIgnores(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ignores) > 0 && r.ignores[0].input <= r.received {
		r.write(recordLine{At: r.since(now), Ignore: &r.ignores[0].recordFile})
		r.ignores = r.ignores[1:]
	}
}

// passing counts an input that match is about to pass on. Match calls it.
func (r *recorder) passing(in input) {
	if r != nil && (len(in.Items) > 0 || len(in.Marks) > 0 || in.Lanes != nil) {
		r.passed++
	}
}

// reloadIgnore reads an ignore file anew. For a record it has to be known what was
// read: the file was read between two looks that saw the same. Match calls it.
func (s *session) reloadIgnore(p *plan, root int, name string) {
	if s.recorder == nil {
		p.ignores[root].Reload(name)
		return
	}
	const tries = 20 // of somebody who writes it all the time
	look := func() *string { return readText(p.abs(root, name)) }
	before := look()
	for range tries {
		p.ignores[root].Reload(name)
		p.ignores[root].Match(path.Join(path.Dir(name), "x"), false) // it is read when it is asked for
		after := look()
		if before == nil && after == nil || before != nil && after != nil && *before == *after {
			break
		}
		before = after
	}
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	s.recorder.ignores = append(s.recorder.ignores, readIgnore{s.recorder.passed + 1, recordFile{Root: root, Path: name, Text: before}})
}

// outside notes what the ignore files outside of the roots say now. Match calls it.
func (r *recorder) outside(p *plan) {
	if r == nil {
		return
	}
	files := p.outsideFiles()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range files {
		r.ignores = append(r.ignores, readIgnore{r.passed + 1, f})
	}
}

func (r *recording) item(it item) recordItem {
	v := it.Value
	w := recordItem{
		Root: v.Root, Op: v.Op.String(), Type: v.Type.String(), Open: v.Open, Closed: v.Closed, Renamed: v.renamed,
		Recovered: v.Recovered, At: r.since(it.Fact.Time),
	}
	w.Path, w.PathB64 = wirePath(v.Path)
	w.From, w.FromB64 = wirePath(v.From)
	return w
}

func (r *recording) took(now time.Time, w wave) {
	if out := r.s.plan().decisions(w); len(out) > 0 {
		r.write(recordLine{At: r.since(now), Out: out})
	}
}

// decisions are what a wave hands to each rule.
func (p *plan) decisions(w wave) (out []decision) {
	for _, b := range w.Batches {
		d := decision{Rule: p.cfg.Rules[b.Lane].Name, Why: b.Why}
		for _, v := range b.Items {
			path, _ := wirePath(p.recorded(v))
			d.Paths = append(d.Paths, path)
		}
		slices.Sort(d.Paths)
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b decision) int { return strings.Compare(a.Rule, b.Rule) })
	return out
}

// recorded is a change's path, with its root where it is not the first.
func (p *plan) recorded(v seen) string {
	if v.Root == 0 {
		return v.Path
	}
	return fmt.Sprintf("%d:%s", v.Root, v.Path)
}

func (r *recorder) since(t time.Time) int64 { return int64(t.Sub(r.began)) }

func (r *recorder) write(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	r.err = errors.Join(r.err, err)
}

func (r *recorder) flush() { r.err = errors.Join(r.err, r.out.Flush()) }

// close ends the record; nil is none.
func (r *recorder) close() error {
	if r == nil {
		return nil
	}
	r.flush()
	if err := errors.Join(r.err, r.file.Close()); err != nil {
		return fmt.Errorf("write the record %s: %w", r.path, err)
	}
	return nil
}

// kindOf is the kind of a change as the rules know it.
func kindOf(v seen) rule.Ops {
	if v.renamed {
		return rule.Rename
	}
	return op(v.Op)
}
