package hailo

import "fmt"

// A Code names what is wrong. It never changes its meaning.
type Code string

// The codes of what the host lacks, or the chip.
const (
	Absent           Code = "hailo.absent"
	DriverMissing    Code = "hailo.driver_missing"
	ProbeFailed      Code = "hailo.probe_failed"
	Permission       Code = "hailo.permission"
	RuntimeMissing   Code = "hailo.runtime_missing"
	WorkerMissing    Code = "hailo.worker_missing"
	VersionMismatch  Code = "hailo.version_mismatch"
	FirmwareMismatch Code = "hailo.firmware_mismatch"
	Busy             Code = "hailo.busy"
	ServiceDown      Code = "hailo.service_down"
	ServiceVersion   Code = "hailo.service_version"
	PageSize         Code = "hailo.page_size"
	DeviceLost       Code = "hailo.device_lost"
	Wedged           Code = "hailo.wedged"
	HostMemory       Code = "hailo.host_memory"
	Unsupported      Code = "hailo.unsupported_chip"
	Unknown          Code = "hailo.unknown"

	TwoDrivers   Code = "hailo.two_drivers"
	SlowLink     Code = "hailo.slow_link"
	Undervoltage Code = "hailo.undervoltage"
	LinkErrors   Code = "hailo.link_errors"
	Hot          Code = "hailo.hot"
)

// The codes of what is wrong with a model, or with one inference.
const (
	ModelCorrupt   Code = "model.corrupt"
	ModelTooNew    Code = "model.too_new"
	ModelWrongArch Code = "model.wrong_arch"
	ModelTooMany   Code = "model.too_many"

	InferTimeout  Code = "infer.timeout"
	InferAborted  Code = "infer.aborted"
	InferBadInput Code = "infer.bad_input"
)

// A Severity says what a finding does to the accelerator.
type Severity string

// The severities.
const (
	Info    Severity = "info"    // worth knowing
	Warning Severity = "warning" // it works less well than it should, or will not for long
	Fault   Severity = "fault"   // nothing runs on the chip until it is mended
)

// A Finding is one thing that is wrong, and the command that mends it.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Detail   string   `json:"detail"` // one sentence: what is wrong
	Remedy   string   `json:"remedy,omitempty"`
}

func (f Finding) String() string { return f.Detail }

func fault(code Code, remedy, detail string, args ...any) Finding {
	return Finding{code, Fault, fmt.Sprintf(detail, args...), remedy}
}

func warning(code Code, remedy, detail string, args ...any) Finding {
	return Finding{code, Warning, fmt.Sprintf(detail, args...), remedy}
}

// A State is how the accelerator is, in a word.
type State string

// The states.
const (
	StateOff        State = "off"        // by configuration
	StateAbsent     State = "absent"     // no chip on the bus
	StateDriver     State = "driver"     // the driver lacks, or does not do
	StatePermission State = "permission" // this user may not open the device
	StateRuntime    State = "runtime"    // HailoRT lacks, or does not fit the driver
	StateStarting   State = "starting"   // the worker is being started, or loads models
	StateReady      State = "ready"
	StateBusy       State = "busy"     // another program has the chip
	StateDegraded   State = "degraded" // the worker died, and is started again in a while
	StateLost       State = "lost"     // the chip does not answer
	StateWedged     State = "wedged"   // the worker cannot even be killed: the driver hangs
	StateStopped    State = "stopped"
)

var states = map[Code]State{
	Absent: StateAbsent, DriverMissing: StateDriver, ProbeFailed: StateDriver, Permission: StatePermission,
	RuntimeMissing: StateRuntime, WorkerMissing: StateRuntime, VersionMismatch: StateRuntime, Unsupported: StateRuntime,
	FirmwareMismatch: StateRuntime, ServiceDown: StateRuntime, ServiceVersion: StateRuntime,
	PageSize: StateDriver, Busy: StateBusy, DeviceLost: StateLost, Wedged: StateWedged,
}

// State is the state that a fault of that code leaves the accelerator in.
func (c Code) State() State {
	if s, ok := states[c]; ok {
		return s
	}
	return StateDegraded
}
