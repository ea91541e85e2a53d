package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var chaosRounds = flag.Int("chaos", 8, "rounds of TestChaos a seed, 0.2 s each")

var chaosSeed = flag.Uint64("chaos-seed", 0, "first seed of TestChaos; 0: 1")

// Whatever is done to a project and to flinch in whatever order: when `flinch wait` returns, everything that was built comes
// from what is on the disk, in the order of the needs, and there is one server, started after it.
func TestChaos(t *testing.T) {
	needs(t, "git", "cksum", "find", "xargs")
	for i, config := range []string{
		chaosConfig,
		strings.Replace(chaosConfig, "[task.sum]", "[task.sum]\nbusy = \"restart\"", 1),
		"backend = \"poll\"\npoll = \"10ms\"\n" + chaosConfig,
		strings.Replace(chaosConfig, "[task.sum]", "[task.sum]\nsettle = \"leading\"", 1),
	} {
		seed := max(1, *chaosSeed) + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := newChaos(t, seed, config)
			for range *chaosRounds {
				c.round()
			}
			if state := c.end(syscall.SIGTERM); state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("flinch ended with %v", state)
			}
			c.assertNothingLeft()
		})
	}
}

// chaosConfig: three rules in a row; what they make lies outside the root. Bytes are not compared: a file that was written to and
// back within one run of its rule is no change by then, though that run may have read what was there in between.
const chaosConfig = `
[env]
LC_ALL = "C"

[task.sum]
content = "never"
files = ["src/**"]
run = "find src -type f -print0 | sort -z | xargs -0r cat | cksum >$OUT/sum"

[task.copy]
needs = ["sum"]
run = "cp $OUT/sum $OUT/copy"

[service.web]
needs = ["copy"]
run = "cp $OUT/copy $OUT/web; echo up; exec sleep 1000"
ready = { log = "up" }
stop_timeout = "1s"
`

const chaosSum = "find src -type f -print0 | LC_ALL=C sort -z | xargs -0r cat | cksum"

type chaos struct {
	*session
	random *rand.Rand
	config string
	made   string // where the rules write

	runtime string // where the control socket is
	steps   []string
	n       int
}

func newChaos(t *testing.T, seed uint64, config string) *chaos {
	dir := project(t, map[string]string{"flinch.toml": config, "src/a/1": "1", "src/a/2": "2", "src/b/c/3": "3", "src/4": "4"})
	sh(t, dir, "git init -q . && git config user.email t@t && git config user.name t && git add -A && git commit -qm 0")
	c := &chaos{random: rand.New(rand.NewPCG(seed, 1)), config: config, made: t.TempDir(), runtime: t.TempDir()}
	c.launch(t, dir)
	c.check()
	return c
}

func (c *chaos) launch(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(flinchPath)
	c.session = prepare(t, dir, cmd)
	cmd.Env = append(cmd.Env, "OUT="+c.made, "XDG_RUNTIME_DIR="+c.runtime)
	cmd.Stdout, cmd.Stderr = c.out, c.err
	c.begin()
	c.waitErr("ready")
}

// kill ends flinch as nothing can be prepared for, and starts another.
func (c *chaos) kill() {
	c.t.Helper()
	c.end(syscall.SIGKILL)
	c.assertNothingLeft()
	c.launch(c.t, c.dir)
}

// overflow does more while flinch is stopped than the kernel keeps for it.
func (c *chaos) overflow() {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGSTOP)
	c.script("for i in $(seq 4200); do echo $1 >src/o$i; done; mv src/o7 src/8; rm -f src/o*; echo $1 >src/9; mkdir -p src/a; echo $1 >src/a/8")
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
}

// crash ends the server, which nobody asked for, and calls for it.
func (c *chaos) crash() {
	c.t.Helper()
	for _, p := range marked(c.mark) {
		if strings.HasPrefix(p.args, "sleep 1000") {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	c.flinch("restart", "web")
}

// round does a few things at random and checks what has come of them.
func (c *chaos) round() {
	c.t.Helper()
	c.steps = nil
	for range 1 + c.random.IntN(6) {
		c.step()
		if c.random.IntN(2) == 0 { // meet flinch in the middle of whatever it does about it
			every(c.t, time.Duration(1+c.random.IntN(60))*time.Millisecond, 1, func(int) {})
		}
	}
	c.check()
}

// step is one thing that a user, an editor, git or a script does.
func (c *chaos) step() {
	c.n++
	steps := []struct {
		name string
		do   func()
	}{
		{"write", func() { c.edit(fmt.Sprintf("src/a/%d", c.random.IntN(4))) }},
		{"write below", func() { c.edit(fmt.Sprintf("src/n%d/x/y/z", c.random.IntN(3))) }},
		{"write twice", func() { c.edit("src/4"); c.edit("src/4") }},
		{"replace", func() { c.script("echo $1 >src/.new && mv src/.new src/4") }},
		{"remove", func() { c.script("rm -rf src/a/1 src/n1") }},
		{"move a folder", func() {
			c.script("mkdir -p src/a src/b; if [ -e src/m ]; then mv src/m src/b/m$1; else mv src/a src/m; fi")
		}},
		{"away and back", func() { c.unlessPolled("mkdir -p src; mv src ../away$$ && mv ../away$$ src") }},
		{"all anew", func() { c.script("rm -rf src && mkdir -p src/a && echo $1 >src/a/1") }},
		{"many files", func() { c.script("mkdir -p src/many; for i in $(seq 300); do echo $1 >src/many/$i; done") }},
		{"commit", func() { c.script("git add -A && git commit -qm $1 --allow-empty") }},
		{"checkout", func() {
			c.script("git add -A; git commit -qm $1 --allow-empty; git checkout -q HEAD~1; git checkout -q -B main; mkdir -p src")
		}},
		{"ignore", func() { c.script("echo '# '$1 >.gitignore; echo 'nothing$1' >>.gitignore") }},
		{"config: a comment", func() { c.script("echo '# '$1 >>flinch.toml") }},
		{"config: another rule", func() {
			c.script("printf '[task.t%s]\nfiles=[\"none/%s\"]\nrun=\"true\"\nat_start=false\n' $1 $1 >>flinch.toml")
		}},
		{"config: as it was", func() { write(c.t, filepath.Join(c.dir, "flinch.toml"), c.config) }},
		{"config: broken, then mended", func() { c.script("cp flinch.toml $2/keep; echo 'x = ' >>flinch.toml; cp $2/keep flinch.toml") }},
		{"pause and resume", func() { c.flinch("pause"); c.edit("src/4"); c.flinch("resume") }},
		{"trigger", func() { c.flinch("trigger", "sum") }},
		{"restart", func() { c.flinch("restart", "web") }},
		{"stop and restart", func() { c.flinch("stop", "web"); c.flinch("restart", "web") }},
		{"crash", c.crash},
		{"kill", c.kill},
		{"overflow", c.overflow},
		{"notify", func() { c.flinch("notify", "src/4") }},
		{"wait", func() { c.flinch("wait", "--timeout", "30s") }},
	}
	s := steps[c.random.IntN(len(steps))]
	c.steps = append(c.steps, s.name)
	s.do()
}

func (c *chaos) edit(path string) {
	write(c.t, filepath.Join(c.dir, path), fmt.Sprintln(path, c.n, c.random.Uint64()))
}

func (c *chaos) script(script string) { c.t.Helper(); sh(c.t, c.dir, script, fmt.Sprint(c.n), c.made) }

// unlessPolled is for what leaves no trace for the next look.
func (c *chaos) unlessPolled(script string) {
	c.t.Helper()
	if !strings.Contains(c.config, "poll") {
		c.script(script)
	}
}

// flinch asks or tells the running flinch something.
func (c *chaos) flinch(args ...string) {
	c.t.Helper()
	if out, err := c.control(args...); err != nil {
		c.t.Fatalf("after %s: flinch %s: %v\n%s", strings.Join(c.steps, ", "), strings.Join(args, " "), err, out)
	}
}

func (c *chaos) control(args ...string) ([]byte, error) {
	cmd := exec.Command(flinchPath, args...)
	cmd.Dir, cmd.Env = c.dir, c.cmd.Env
	return cmd.CombinedOutput()
}

// check waits for flinch's verdict and compares what was built with the disk.
func (c *chaos) check() {
	c.t.Helper()
	c.flinch("wait", "--timeout", "30s")
	want := sh(c.t, c.dir, chaosSum)
	for _, name := range []string{"sum", "copy", "web"} {
		if got := content(filepath.Join(c.made, name)); got != want {
			status, _ := c.control("status")
			c.t.Fatalf("after %s: %s is of %q, the disk is %q\n%s", strings.Join(c.steps, ", "), name, got, want, status)
		}
	}
	if n := c.servers(); n > 1 {
		c.t.Fatalf("after %s: %d servers", strings.Join(c.steps, ", "), n)
	}
	eventually(c.t, "one server", func() bool { return c.servers() == 1 }) // one that is being executed has no name for a moment
}

// servers is how many there are, those included that are still a shell.
func (c *chaos) servers() (n int) {
	for _, p := range marked(c.mark) {
		if strings.Contains(p.args, "sleep 1000") {
			n++
		}
	}
	return n
}
