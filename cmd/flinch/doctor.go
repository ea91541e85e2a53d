package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/flinch-run/flinch/control"
	"github.com/flinch-run/flinch/watch"
)

// doctor is `flinch doctor`: what on this machine keeps flinch from working well,
// and the command that mends it.
type doctor struct {
	*options
	json     bool
	findings []finding
}

// finding is one thing that was looked at.
type finding struct {
	What   string   `json:"what"`
	Level  string   `json:"level"` // ok, info, warning, error
	Text   string   `json:"text"`
	Mend   string   `json:"mend,omitempty"` // a command, or what to do
	Detail []string `json:"detail,omitempty"`
}

func (o *options) doctorCommand() *cobra.Command {
	d := &doctor{options: o}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "look for what keeps flinch from working well here",
		Long: `Look at the limits of inotify and who uses them up, at filesystems that do not
tell of changes, at what this process may do, and try it out: write a file, see
it, run a command. Exit status 0 only if all is well.`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&d.json, "json", false, "one JSON object a finding")
	return cmd
}

func (d *doctor) run(ctx context.Context) error {
	d.system()
	d.limits()
	d.capabilities()
	d.mounts(ctx)
	d.socket()
	d.selfTest(ctx)
	for _, f := range d.findings {
		if err := d.printFinding(f); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(d.findings, func(f finding) bool { return f.Level == "warning" || f.Level == "error" }) {
		return exit(exitFailed, nil)
	}
	return nil
}

func (d *doctor) printFinding(f finding) error {
	if d.json {
		return d.printJSON(f)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%-8s %s: %s\n", f.Level, f.What, f.Text)
	for _, line := range f.Detail {
		fmt.Fprintf(&b, "           %s\n", line)
	}
	if f.Mend != "" {
		fmt.Fprintf(&b, "         mend: %s\n", f.Mend)
	}
	_, err := b.WriteTo(d.out)
	return err
}

func (d *doctor) say(f finding) { d.findings = append(d.findings, f) }

// system says where flinch runs.
func (d *doctor) system() {
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	where := "not PID 1"
	if os.Getpid() == 1 {
		where = "PID 1: it reaps whatever is left to it"
	}
	d.say(finding{What: "system", Level: "ok", Text: fmt.Sprintf("Linux %s, %s, %d CPUs, %s", kernel, runtime.GOARCH, runtime.NumCPU(), where)})
}

// Where limits of inotify become tight: flinch needs one instance, and a watch for
// each folder.
const (
	fewInstances = 64
	fewWatches   = 32_768
)

// limits says how much of inotify there is and who holds it.
func (d *doctor) limits() {
	list, denied := holders()
	mine := holding{}
	for _, h := range list {
		if h.uid == uint32(os.Getuid()) {
			mine.instances += h.instances
			mine.watches += h.watches
		}
	}
	d.limit("instances", mine.instances, fewInstances, 512, list, denied)
	d.limit("watches", mine.watches, fewWatches, 524_288, list, denied)
	queue := procInt("/proc/sys/fs/inotify/max_queued_events")
	f := finding{What: "inotify queue", Level: "ok", Text: fmt.Sprintf("%d events; when it is full, flinch looks for itself", queue)}
	if queue >= 0 && queue < 16_384 {
		f.Level, f.Mend = "warning", "sudo sysctl fs.inotify.max_queued_events=16384"
	}
	d.say(f)
}

// limit judges what this user has of one limit.
func (d *doctor) limit(what string, used, few, good int, list []holding, denied int) {
	key := "fs.inotify.max_user_" + what
	most := procInt("/proc/sys/" + strings.ReplaceAll(key, ".", "/"))
	f := finding{What: "inotify " + what, Level: "ok", Text: fmt.Sprintf("%d of the %d that this user may have are in use", used, most)}
	if most < 0 {
		f.Level, f.Text = "error", "the limit cannot be read: is /proc mounted, and does this kernel have inotify?"
		d.say(f)
		return
	}
	if most-used < few {
		f.Level = "warning"
		f.Mend = fmt.Sprintf("sudo sysctl %s=%d; and to keep it: echo %s=%d | sudo tee /etc/sysctl.d/60-inotify.conf", key, max(good, 2*most), key, max(good, 2*most))
	}
	const shown = 5
	for _, h := range list[:min(len(list), shown)] {
		f.Detail = append(f.Detail, fmt.Sprintf("%s (pid %d): %s, %s", h.name, h.pid, plural(h.instances, "instance"), plural(h.watches, "watch")))
	}
	if more := len(list) - shown; more > 0 {
		f.Detail = append(f.Detail, fmt.Sprintf("and %s more", plural(more, "process")))
	}
	if denied > 0 {
		f.Detail = append(f.Detail, fmt.Sprintf("%s could not be looked into: see all with sudo flinch doctor", plural(denied, "process")))
	}
	d.say(f)
}

// capabilities says what this process may do beyond others.
func (d *doctor) capabilities() {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		d.say(finding{What: "capabilities", Level: "info", Text: fmt.Sprintf("cannot be read: %v", err)})
		return
	}
	var have []string
	for name, bit := range map[string]int{"SYS_ADMIN": unix.CAP_SYS_ADMIN, "KILL": unix.CAP_KILL, "DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH} {
		if data[bit/32].Effective&(1<<(bit%32)) != 0 {
			have = append(have, name)
		}
	}
	slices.Sort(have)
	text := "none that matter; none is needed"
	if len(have) > 0 {
		text = strings.Join(have, ", ")
	}
	d.say(finding{What: "capabilities", Level: "ok", Text: text})
}

// mounts watches what flinch would watch here, and tells what is polled.
func (d *doctor) mounts(ctx context.Context) {
	opt := watch.Options{Roots: []string{"."}}
	if cfg, err := d.load(nil, false); err == nil {
		p, err := newPlan(cfg)
		if err != nil {
			d.say(finding{What: "config", Level: "error", Text: err.Error(), Mend: "flinch check"})
			return
		}
		opt = p.watchOptions()
	} else if found, _ := foundConfig(d.config); found {
		d.say(finding{What: "config", Level: "error", Text: "it is not valid", Mend: "flinch check"})
		return
	}
	var warned []watch.Warning
	opt.Logger, opt.Warn = slog.New(slog.DiscardHandler), func(w watch.Warning) { warned = append(warned, w) }
	began := time.Now()
	w, err := watch.New(ctx, opt)
	if err != nil {
		d.say(finding{What: "watch", Level: "error", Text: err.Error(), Mend: hintOf(err)})
		return
	}
	took, stats := time.Since(began), w.Stats()
	_ = w.Close() // after it nobody calls Warn any more
	d.say(finding{What: "watch", Level: "ok", Text: fmt.Sprintf("%s with %s in %s", plural(stats.Dirs, "folder"), plural(stats.Watches, "watch"), roughly(took))})
	for _, v := range warned {
		d.say(finding{What: "watch", Level: "warning", Text: v.String(), Mend: v.Hint()})
	}
	d.mountsOf(stats)
}

func (d *doctor) mountsOf(stats watch.Stats) {
	table := readMounts()
	for _, m := range stats.Mounts {
		f := finding{What: "mount", Level: "ok", Text: fmt.Sprintf("%s: %s tells of every change", table.of(m.Device), m.Backend)}
		if m.Backend == "poll" {
			f.Level = "warning"
			f.Text = table.of(m.Device) + " does not tell of changes made elsewhere: it is polled"
			f.Mend = "let the machine that writes tell: flinch events --json | ssh HOST flinch notify -"
		}
		d.say(f)
	}
}

// foundConfig tells whether there is a config file to be read.
func foundConfig(named string) (bool, error) {
	if named != "" {
		return true, nil
	}
	for dir, err := filepath.Abs("."); ; dir = filepath.Dir(dir) {
		if err != nil {
			return false, err
		}
		if _, err := os.Stat(filepath.Join(dir, "flinch.toml")); err == nil {
			return true, nil
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
	}
}

// socket says whether control commands can work.
func (d *doctor) socket() {
	places, err := control.Places()
	if err != nil {
		d.say(finding{What: "control socket", Level: "warning", Text: err.Error(), Mend: hintOf(err)})
		return
	}
	f := finding{What: "control socket", Level: "ok", Text: "no flinch of this user runs"}
	if len(places) > 0 {
		f.Text = plural(len(places), "flinch") + " of this user"
		for _, p := range places {
			f.Detail = append(f.Detail, fmt.Sprintf("%s (pid %d)", p.Root, p.PID))
		}
	}
	d.say(f)
}

// selfTestMax is how long the self-test waits for what should take milliseconds.
const selfTestMax = 10 * time.Second

// slowLatency is a latency that points to a machine with too much to do.
const slowLatency = 250 * time.Millisecond

// selfTest writes a file below a flinch of its own, and measures the time until
// its command has run.
func (d *doctor) selfTest(ctx context.Context) {
	took, err := selfTest(ctx)
	switch {
	case err != nil:
		d.say(finding{What: "self-test", Level: "error", Text: err.Error(), Mend: "flinch -v -w DIR -- true, and look at what it says"})
	case took > slowLatency:
		d.say(finding{What: "self-test", Level: "warning", Text: "a command ran " + roughly(took) + " after the file was written", Mend: "look at what keeps the machine busy: top"})
	default:
		d.say(finding{What: "self-test", Level: "ok", Text: "a command ran " + roughly(took) + " after the file was written"})
	}
}

func selfTest(ctx context.Context) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, selfTestMax)
	defer cancel()
	dir, err := os.MkdirTemp("", "flinch-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "--no-default-ignores", "--no-start", "--log-format", "text", "--", "sh", "-c", "echo ran")
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, outErr := cmd.StdoutPipe()
	said, saidErr := cmd.StderrPipe()
	if err := errors.Join(outErr, saidErr, cmd.Start()); err != nil {
		return 0, err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	if err := readUntil(said, "ready"); err != nil {
		return 0, fmt.Errorf("flinch did not become ready: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, said) }() // ends with the process
	began := time.Now()
	if err := os.WriteFile(filepath.Join(dir, "probe"), []byte("x"), 0o600); err != nil {
		return 0, err
	}
	if err := readUntil(out, "ran"); err != nil {
		return 0, fmt.Errorf("a file was written and no command ran within %s: %w", selfTestMax, err)
	}
	return time.Since(began), nil
}

// readUntil reads until a text has come.
func readUntil(r io.Reader, text string) error {
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if got = append(got, buf[:n]...); bytes.Contains(got, []byte(text)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(got))
		}
	}
}
