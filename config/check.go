package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// finish fills in what depends on several keys and checks what is between
// rules. Of a file that was cut by a syntax error only what cannot be cured
// by its unread part is checked.
func (r *reader) finish() {
	for _, rule := range r.cfg.Rules {
		r.files(rule)
		r.wait(rule)
		r.command(rule)
	}
	r.twice()
	r.terminal()
	r.sockets()
	if r.doc != nil && r.doc.cut {
		return
	}
	if len(r.cfg.Rules) == 0 && len(r.errs) == 0 {
		r.fail(Pos{Line: 1, Col: 1, Len: 1}, "", "write a [task.NAME] with a run key, or let flinch init do it", "no rules: nothing would ever run")
	}
	for _, rule := range r.cfg.Rules {
		if !rule.IsSet("run") && r.doc != nil && !rule.broken {
			r.fail(rule.pos, "", `write run = "COMMAND"`, fmt.Sprintf("%s %s has no run", rule.Kind, rule.Name))
		}
	}
	r.needs()
}

// files: a rule with needs and no files of its own reacts to its needs only.
func (r *reader) files(rule *Rule) {
	if !rule.IsSet("files") && len(rule.Needs) > 0 {
		rule.Files = []string{}
	}
}

// wait keeps max_wait from cutting a fixed quiet time short.
func (r *reader) wait(rule *Rule) {
	quiet := rule.Settle.Duration
	if rule.MaxWait >= quiet {
		return
	}
	if !rule.IsSet("max_wait") {
		rule.MaxWait = max(quiet, time.Nanosecond)
		return
	}
	r.fail(rule.Pos("max_wait"), "max_wait", "", fmt.Sprintf("%v is shorter than settle, %v", rule.MaxWait, quiet))
}

// command asks about a command only here, as the shell may stand after it.
func (r *reader) command(rule *Rule) {
	if r.opt.Run == nil || rule.Run.IsZero() {
		return
	}
	err := r.opt.Run(rule.Run, rule.Shell)
	if err == nil {
		return
	}
	pos, text := rule.Pos("run"), rule.Run.Line
	var p *Problem
	if errors.As(err, &p) && p.Elem < len(rule.Run.Argv) {
		pos, text = rule.Pos("run", p.Elem), rule.Run.Argv[p.Elem]
	}
	if r.doc == nil {
		pos = Pos{Flag: "--"}
	}
	r.problem(pos, "run", text, err)
}

// twice refuses a task and a service of one name. (Two tasks of one name are
// found as the text is read.)
func (r *reader) twice() {
	first := map[string]*Rule{}
	for _, rule := range r.cfg.Rules {
		if other := first[rule.Name]; other != nil {
			r.fail(rule.pos, "", "give one of them another name",
				fmt.Sprintf("%s %s has the name of the %s on line %d", rule.Kind, rule.Name, other.Kind, other.pos.Line))
			continue
		}
		first[rule.Name] = rule
	}
}

// terminal: there is one, so one rule can have it.
func (r *reader) terminal() {
	var owner *Rule
	for _, rule := range r.cfg.Rules {
		switch {
		case rule.Input != InputTerminal:
		case owner == nil:
			owner = rule
		default:
			r.fail(rule.Pos("input"), "input", "", fmt.Sprintf("only one rule can have the terminal, and %s has it", owner.Name))
		}
	}
}

// sockets refuses an address that is opened twice.
func (r *reader) sockets() {
	owner := map[Listen]*Rule{}
	for _, rule := range r.cfg.Rules {
		for i, socket := range rule.Listen {
			key := Listen{Network: socket.Network, Address: socket.Address}
			switch other := owner[key]; {
			case key.Network == "" || strings.HasSuffix(key.Address, ":0"):
			case other == nil:
				owner[key] = rule
			default:
				r.fail(rule.Pos("listen", i), "listen", "", fmt.Sprintf("%s is opened by %s already", socket, other.Name))
			}
		}
	}
}

// needs refuses names that nobody has, then circles.
func (r *reader) needs() {
	c := circles{r: r, rules: map[string]*Rule{}, state: map[*Rule]int{}}
	for _, rule := range slices.Backward(r.cfg.Rules) {
		c.rules[rule.Name] = rule // of one name, the first
	}
	for _, rule := range r.cfg.Rules {
		for i, need := range rule.Needs {
			if c.rules[need] == nil {
				others := slices.DeleteFunc(r.cfg.Names(), func(name string) bool { return name == rule.Name })
				r.fail(rule.Pos("needs", i), "needs", "", fmt.Sprintf("no rule %q%s", need, didYouMean(need, others)))
			}
		}
	}
	for _, rule := range r.cfg.Rules {
		c.visit(rule)
	}
}

// circles is a walk along needs, depth first.
type circles struct {
	r     *reader
	rules map[string]*Rule
	state map[*Rule]int // 0 new, 1 on the path, 2 done
	path  []string
}

func (c *circles) visit(rule *Rule) {
	c.state[rule] = 1
	c.path = append(c.path, rule.Name)
	for i, need := range rule.Needs {
		next := c.rules[need]
		switch {
		case next == nil:
		case c.state[next] == 1:
			circle := append(slices.Clone(c.path[slices.Index(c.path, need):]), need)
			c.r.fail(rule.Pos("needs", i), "needs", "", "a circle: "+strings.Join(circle, " -> "))
		case c.state[next] == 0:
			c.visit(next)
		}
	}
	c.path = c.path[:len(c.path)-1]
	c.state[rule] = 2
}
