package onnxruntime

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"primespark/shared/watch"
	"primespark/shared/worker"
	"primespark/shared/worker/frame"
)

// A Finding is one thing that is wrong.
type Finding = worker.Finding

// The codes of what may be wrong.
const (
	Absent        worker.Code = "onnxruntime.absent"         // the library is not installed
	WorkerMissing worker.Code = "onnxruntime.worker_missing" // the program is not
	Unusable      worker.Code = "onnxruntime.unusable"       // the library is no ONNX Runtime, or too old
	Memory        worker.Code = "onnxruntime.memory"
	Wedged        worker.Code = "onnxruntime.wedged"
	ModelRefused  worker.Code = "model.refused"
)

// The states that other engines do not have.
const (
	StateAbsent  worker.State = "absent"  // the library is not installed
	StateRuntime worker.State = "runtime" // it cannot be used, or the worker is missing
)

// statusHung is what the supervisor says of an inference that took too long; the
// worker, and ONNX Runtime, whose numbers are positive, never do.
const statusHung frame.Status = -100

// An engine is a worker.Engine.
type engine struct {
	cfg    Config
	status *watch.Value[worker.Status]
}

var _ worker.Engine = (*engine)(nil)

const remedyInstall = "sudo apt install libonnxruntime1.21 (Debian 13, Raspberry Pi OS Trixie), or name the library in onnxruntime.library."

// Diagnose says whether ONNX Runtime can be used on the host, as far as that is seen
// without loading it; nil if so. Library and program are the paths that were found.
func Diagnose(cfg Config) (library, program string, found *worker.Finding) {
	root := cfg.Root
	if root == "" {
		root = "/"
	}
	library, program = cfg.Library, FindWorker(cfg.Worker)
	if library == "" {
		library = FindLibrary(root)
	}
	switch {
	case library == "":
		f := worker.NewWarning(Absent, remedyInstall, "ONNX Runtime is not installed.")
		if !cfg.Wanted {
			f.Severity = worker.Info // most nodes have none, and miss nothing
		}
		return "", program, &f
	case program == "":
		f := worker.NewFault(WorkerMissing, "Install the package prime-spark-agent anew, or give the worker's path in onnxruntime.worker.",
			"ONNX Runtime cannot be served: the worker program %s is not here.", WorkerName)
		return library, "", &f
	}
	return library, program, nil
}

// Look looks for the library and the worker.
func (e *engine) Look() (worker.Program, *worker.Down) {
	library, program, found := Diagnose(e.cfg)
	if found != nil {
		return worker.Program{}, &worker.Down{Finding: *found}
	}
	const mib = 1 << 20
	return worker.Program{
		Argv: []string{program, "--library", library, "--threads", strconv.Itoa(e.cfg.Threads), "--memory", strconv.FormatInt((e.cfg.Memory+mib-1)/mib, 10)},
		Env:  worker.Environment(e.cfg.Dir), Socket: e.cfg.Socket,
	}, nil
}

// Meet warns of a worker that the kernel does not confine.
func (e *engine) Meet(_ context.Context, p *worker.Process) error {
	if !p.Hello.Confined {
		e.cfg.Log.Warn("the worker may use network and files", "remedy", "boot a kernel with CONFIG_SECCOMP_FILTER, as Debian's and Raspberry Pi OS's are")
	}
	return nil
}

// Watch waits: there is no accelerator to be measured.
func (*engine) Watch(ctx context.Context, _ *worker.Process) { <-ctx.Done() }

// Again is never: there is one program.
func (*engine) Again(error) bool { return false }

// Found is the finding that the end of a worker stands for.
func (e *engine) Found(err error, p *worker.Process) worker.Finding {
	if errors.Is(err, worker.ErrWedged) {
		return worker.NewFault(Wedged, "sudo reboot", "The worker of ONNX Runtime cannot be ended.")
	}
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		return e.Explain(failure, p)
	}
	text := err.Error()
	if last := p.LastError(); last != "" {
		text += "; its last word: " + last
	}
	return worker.NewWarning(worker.InferAborted, "It is started again by itself; if that goes on, take the model away that it had last, or set onnxruntime.enabled: off.",
		"The worker of ONNX Runtime failed: %s.", strings.TrimSuffix(text, "."))
}

// Explain is the finding that a failure of a request stands for.
func (e *engine) Explain(f *frame.Failure, _ *worker.Process) worker.Finding {
	told := f.Detail
	if told == "" {
		told = f.Error()
	}
	told = strings.TrimSuffix(told, ".")
	switch {
	case f.Status == frame.NoLibrary && e.cfg.Library != "":
		return worker.NewFault(Unusable, "Correct onnxruntime.library, or leave it out: then the one that is installed is found.",
			"The library that onnxruntime.library names cannot be used: %s.", told)
	case f.Status == frame.NoLibrary || f.Status == frame.Unknown:
		return worker.NewFault(Unusable, "sudo apt install --reinstall libonnxruntime1.21, or name another library in onnxruntime.library.", "ONNX Runtime cannot be used: %s.", told)
	case f.Status == frame.Memory || strings.Contains(told, "bad alloc") || strings.Contains(told, "allocate memory"):
		return worker.NewWarning(Memory, "Set a larger onnxruntime.memory, or unload a model.", "The worker of ONNX Runtime has no memory left: %s.", told)
	case f.Status == statusHung:
		return worker.NewWarning(worker.InferTimeout, "If it happens again, take the model away, or give it a variant for another engine.", "ONNX Runtime gave no result in time; the worker is restarted.")
	case f.Type == frame.Load && f.Status == frame.TooLarge:
		return worker.NewWarning(ModelRefused, "Raise max_elements of that output in the model's manifest.", "ONNX Runtime's answer has no room: %s.", told)
	case f.Status == frame.TooLarge:
		return worker.NewWarning(worker.InferTooLarge, "Raise max_elements of that output in the model's manifest, or send an input in which less is found.",
			"ONNX Runtime's answer has no room: %s.", told)
	case f.Type == frame.Infer && f.Status == frame.Layout:
		return worker.NewWarning(worker.InferBadInput, "Give the outputs in the model's manifest, with -1 for dimensions that the data decide.",
			"The model's answer has another shape than when it was tried out: %s.", told)
	case f.Type == frame.Load:
		return worker.NewWarning(ModelRefused, "Give the model a variant for the builtin engine, or an ONNX file that this ONNX Runtime takes.", "ONNX Runtime does not take the model: %s.", told)
	}
	return worker.NewWarning(worker.InferBadInput, "Send tensors that the model can work with.", "ONNX Runtime could not answer: %s.", told)
}

// Gone is what is told of an inference during which the worker ended.
func (*engine) Gone() worker.Finding {
	return worker.NewWarning(worker.InferAborted, "Try again.", "The worker of ONNX Runtime ended during the inference.")
}

// Hung is the failure of an inference that took too long.
func (*engine) Hung() *frame.Failure {
	return &frame.Failure{Type: frame.Infer, Status: statusHung, Call: "Run", Detail: "no answer in time"}
}

// OfModel reports a finding that leaves the engine as it is.
func (*engine) OfModel(f worker.Finding) bool { return f.Code == ModelRefused || f.Code == Memory }

// OfRequest reports a failure that leaves the worker as good as before: whatever
// ONNX Runtime itself says, since it goes on after an error.
func (*engine) OfRequest(f *frame.Failure) bool {
	return f.Status != statusHung && f.Status != frame.Broken && f.Status != frame.Crashed
}

// Interrupted is never: no error of ONNX Runtime means nothing.
func (*engine) Interrupted(*frame.Failure) bool { return false }

// State is the state that a fault of that code leaves the engine in.
func (*engine) State(c worker.Code) worker.State {
	switch c {
	case Absent:
		return StateAbsent
	case WorkerMissing, Unusable:
		return StateRuntime
	case Wedged:
		return worker.StateWedged
	}
	return worker.StateDegraded
}

// Update changes the status.
func (e *engine) Update(change func(*worker.Status)) {
	e.status.Update(func(st worker.Status) worker.Status {
		change(&st)
		return st
	})
}

// Now is the status.
func (e *engine) Now() worker.Status { return e.status.Get() }

// Sentence says how the engine is, for people.
func Sentence(st worker.Status) string {
	switch {
	case st.Cause != nil:
		return st.Cause.Detail
	case st.State == worker.StateReady:
		return "ONNX Runtime " + st.Library + " is ready."
	case st.State == worker.StateIdle:
		return "ONNX Runtime is there, and no model uses it."
	}
	return "ONNX Runtime is " + string(st.State) + "."
}
