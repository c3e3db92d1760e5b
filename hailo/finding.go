package hailo

import "primespark/shared/worker"

// What every engine's worker tells of itself.
type (
	Code     = worker.Code
	Severity = worker.Severity
	Finding  = worker.Finding
	State    = worker.State
)

// The severities.
const (
	Info    = worker.Info
	Warning = worker.Warning
	Fault   = worker.Fault
)

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

	InferTimeout  = worker.InferTimeout
	InferAborted  = worker.InferAborted
	InferBadInput = worker.InferBadInput
)

func fault(code Code, remedy, detail string, args ...any) Finding {
	return worker.NewFault(code, remedy, detail, args...)
}

func warning(code Code, remedy, detail string, args ...any) Finding {
	return worker.NewWarning(code, remedy, detail, args...)
}

func info(code Code, remedy, detail string, args ...any) Finding {
	f := worker.NewWarning(code, remedy, detail, args...)
	f.Severity = Info
	return f
}

// The states.
const (
	StateOff      = worker.StateOff
	StateStarting = worker.StateStarting
	StateReady    = worker.StateReady
	StateDegraded = worker.StateDegraded
	StateWedged   = worker.StateWedged
	StateStopped  = worker.StateStopped

	StateAbsent     State = "absent"     // no chip on the bus
	StateDriver     State = "driver"     // the driver lacks, or does not do
	StatePermission State = "permission" // this user may not open the device
	StateRuntime    State = "runtime"    // HailoRT lacks, or does not fit the driver
	StateBusy       State = "busy"       // another program has the chip
	StateLost       State = "lost"       // the chip does not answer
)

var states = map[Code]State{
	Absent: StateAbsent, DriverMissing: StateDriver, ProbeFailed: StateDriver, Permission: StatePermission,
	RuntimeMissing: StateRuntime, WorkerMissing: StateRuntime, VersionMismatch: StateRuntime, Unsupported: StateRuntime,
	FirmwareMismatch: StateRuntime, ServiceDown: StateRuntime, ServiceVersion: StateRuntime,
	PageSize: StateDriver, Busy: StateBusy, DeviceLost: StateLost, Wedged: StateWedged,
}

// StateOf is the state that a fault of that code leaves the accelerator in.
func StateOf(c Code) State {
	if s, ok := states[c]; ok {
		return s
	}
	return StateDegraded
}
