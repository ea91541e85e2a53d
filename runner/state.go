package runner

// State is what a rule is doing, as `flinch status` shows it.
type State uint8

const (
	Idle State = iota
	Waiting
	Starting
	Running
	Ready
	Stopping
	Backoff
	Held
	Blocked
	Broken // "failed"
	Paused
)

var stateNames = [...]string{
	Idle: "idle", Waiting: "waiting", Starting: "starting", Running: "running", Ready: "ready", Stopping: "stopping",
	Backoff: "backoff", Held: "held", Blocked: "blocked", Broken: "failed", Paused: "paused",
}

func (s State) String() string { return stateNames[s] }

// MarshalText makes a state its name in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// state is what the rule is doing, in the contract's words.
func (m *machine) state(j *job) State {
	switch j.phase {
	case starting, handover:
		return Starting
	case stopping, abandoning:
		return Stopping
	case backoff:
		return Backoff
	case crashed:
		return Held
	case up, retiring:
		return j.upState()
	case down:
	}
	switch {
	case j.loop.held:
		return Held
	case j.paused:
		return Paused
	case j.blocked != "":
		return Blocked
	case !j.dirt.empty():
		return Waiting
	case j.broken:
		return Broken
	}
	return Idle
}

// upState is the state of a rule that runs.
func (j *job) upState() State {
	switch {
	case !j.service():
		return Running
	case j.blocked != "":
		return Blocked
	case j.loop.held:
		return Held
	case j.broken:
		return Broken
	case !j.rule.probed():
		return Running
	}
	return Ready
}

// phase is where a rule's processes are. What the rule still has to do is not
// part of it: that is its dirt, and gate says what the dirt waits for.
type phase uint8

const (
	down       phase = iota // nothing runs
	starting                // cur runs; a service is not ready yet
	up                      // cur runs
	stopping                // cur, and with a handover old or next, are told to end
	backoff                 // nothing runs; a timer starts the service again
	crashed                 // nothing runs; it crashed too often to be started again
	handover                // cur serves, next is starting
	retiring                // cur serves, old is told to end
	abandoning              // cur serves, next is told to end
	phases                  // how many there are
)

var phaseNames = [...]string{
	down: "down", starting: "starting", up: "up", stopping: "stopping", backoff: "backoff", crashed: "crashed",
	handover: "handover", retiring: "retiring", abandoning: "abandoning",
}

func (p phase) String() string { return phaseNames[p] }

// input is what can happen to a rule.
type input uint8

const (
	triggered input = iota // dirt has been added
	forced                 // and somebody wants a restart, busy or not
	due                    // the gate is open: act on the dirt
	started                // the process of cur (in a handover: next) is there
	gotReady               // that run can do its work
	unready                // that run did not get ready in time
	curOver                // no process of cur is left
	nextOver
	oldOver
	expired // the time of a task is over
	retry   // the back-off is over
	halt    // stop for good: by command, for a new config, at the end
	inputs  // how many there are
)

var inputNames = [...]string{
	triggered: "triggered", forced: "forced", due: "due", started: "started", gotReady: "ready", unready: "unready", curOver: "cur over",
	nextOver: "next over", oldOver: "old over", expired: "expired", retry: "retry", halt: "halt",
}

func (i input) String() string { return inputNames[i] }

// answer is what a rule does about an input in a phase.
type answer func(*machine, *job)

// table has an answer to every pair of phase and input. A pair that cannot occur,
// or whose answer is that the dirt waits, is answered by stay.
type table [phases][inputs]answer

// answers is a function because the answers themselves lead to further inputs.
func answers() *table {
	return &table{
		down: {
			triggered: stay, forced: stay, due: start, started: stay, gotReady: stay, unready: stay,
			curOver: stay, nextOver: stay, oldOver: stay, expired: stay, retry: stay, halt: rest,
		},
		starting: {
			triggered: interrupt, forced: replace, due: startOver, started: wentUp, gotReady: becameReady, unready: giveUp,
			curOver: ended, nextOver: stay, oldOver: stay, expired: timeOut, retry: stay, halt: stopAll,
		},
		up: {
			triggered: interrupt, forced: replace, due: renew, started: stay, gotReady: stay, unready: stay,
			curOver: ended, nextOver: stay, oldOver: stay, expired: timeOut, retry: stay, halt: stopAll,
		},
		stopping: {
			triggered: stay, forced: stay, due: stay, started: stay, gotReady: stay, unready: stay,
			curOver: stopped, nextOver: stopped, oldOver: stopped, expired: stay, retry: stay, halt: stopAll,
		},
		backoff: {
			triggered: revive, forced: revive, due: stay, started: stay, gotReady: stay, unready: stay,
			curOver: stay, nextOver: stay, oldOver: stay, expired: stay, retry: again, halt: rest,
		},
		crashed: {
			triggered: revive, forced: revive, due: stay, started: stay, gotReady: stay, unready: stay,
			curOver: stay, nextOver: stay, oldOver: stay, expired: stay, retry: stay, halt: rest,
		},
		handover: {
			triggered: interrupt, forced: abandon, due: abandon, started: nextUp, gotReady: promote, unready: giveUpNext,
			curOver: lostOld, nextOver: lostNext, oldOver: stay, expired: stay, retry: stay, halt: stopAll,
		},
		retiring: {
			triggered: interrupt, forced: stay, due: stay, started: stay, gotReady: stay, unready: stay,
			curOver: lostNew, nextOver: stay, oldOver: retired, expired: stay, retry: stay, halt: stopAll,
		},
		abandoning: {
			triggered: interrupt, forced: stay, due: stay, started: stay, gotReady: stay, unready: stay,
			curOver: lostServing, nextOver: abandoned, oldOver: stay, expired: stay, retry: stay, halt: stopAll,
		},
	}
}
