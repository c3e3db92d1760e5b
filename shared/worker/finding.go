package worker

import "fmt"

// A Code names what is wrong. It never changes its meaning.
type Code string

// The codes that every engine has. Each adds its own.
const (
	InferTimeout  Code = "infer.timeout"
	InferAborted  Code = "infer.aborted"
	InferBadInput Code = "infer.bad_input"
	InferTooLarge Code = "infer.too_large" // the answer has no room
	Stopping      Code = "worker.stopping" // the node is shutting down
	Parked        Code = "worker.parked"   // somebody has it rest for a while
)

// A Severity says what a finding does to the engine.
type Severity string

// The severities.
const (
	Info    Severity = "info"    // worth knowing
	Warning Severity = "warning" // it works less well than it should, or will not for long
	Fault   Severity = "fault"   // nothing runs on it until it is mended
)

// A Finding is one thing that is wrong, and the command that mends it.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Detail   string   `json:"detail"` // one sentence: what is wrong
	Remedy   string   `json:"remedy,omitempty"`
}

func (f Finding) String() string { return f.Detail }

// NewFault is a finding of severity Fault.
func NewFault(code Code, remedy, detail string, args ...any) Finding {
	return Finding{code, Fault, fmt.Sprintf(detail, args...), remedy}
}

// NewWarning is a finding of severity Warning.
func NewWarning(code Code, remedy, detail string, args ...any) Finding {
	return Finding{code, Warning, fmt.Sprintf(detail, args...), remedy}
}

// Park ends the contexts of parts that are to rest, with a reason: a Supervisor that is
// ended by one says so to all who ask, until it is run again.
func Park(remedy, detail string) error {
	return &Down{Finding: Finding{Parked, Info, detail, remedy}}
}

// A State is how the engine is, in a word.
type State string

// The states that every engine has. Each adds its own, for what its host may lack.
const (
	StateOff      State = "off"      // by configuration
	StateStarting State = "starting" // the worker is being started, or loads models
	StateReady    State = "ready"
	StateIdle     State = "idle"     // no model uses it, so no worker runs
	StateDegraded State = "degraded" // the worker died, and is started again in a while
	StateWedged   State = "wedged"   // the worker cannot even be killed: a driver hangs
	StateStopped  State = "stopped"
)
