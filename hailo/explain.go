package hailo

import (
	"errors"
	"slices"

	"primespark/shared/worker"
	"primespark/shared/worker/frame"
)

// Again reports whether the worker does not know the library, and another one,
// which comes with the library, may: that is tried next.
func (e *engine) Again(err error) bool {
	failure, ok := errors.AsType[*frame.Failure](err)
	if !ok || e.python || failure.Status != frame.Unknown && failure.Status != frame.Layout {
		return false
	}
	e.python = slices.ContainsFunc(e.cfg.Workers, func(w Worker) bool { return w.Kind == "python" })
	if e.python {
		e.cfg.Log.Warn("the Python worker takes over, the other one does not know this HailoRT", "err", err)
	}
	return e.python
}

// Found is the finding that the end of a worker stands for.
func (e *engine) Found(err error, p *worker.Process) Finding {
	facts := e.cfg.Facts()
	if errors.Is(err, worker.ErrWedged) {
		return fault(Wedged, "sudo reboot", "The Hailo's driver hangs, and its worker cannot be ended.")
	}
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		if failure.Status == frame.NoLibrary && p != nil && p.Kind == "python" {
			return noPython(failure, facts)
		}
		if failure.Status == frame.NoLibrary && e.cfg.Library != "" {
			return fault(RuntimeMissing, "Correct hailo.library, or leave it out: then the HailoRT that is installed is found.", "The library that hailo.library names cannot be used: %s.", words(failure, ""))
		}
		return Explain(failure, p.LastError(), facts)
	}
	for _, f := range Diagnose(facts) {
		if f.Severity == Fault {
			return f // the host tells a better reason than the worker's end does
		}
	}
	text := err.Error()
	if last := p.LastError(); last != "" {
		text += "; its last word: " + last
	}
	return warning(InferAborted, "It is started again by itself; if that goes on, send the output of prime-spark-agent hailo selftest --json.", "The Hailo's worker failed: %s.", text)
}

// noPython is the finding of a library that only the worker in Python serves, and
// whose Python package cannot be used.
func noPython(failure *frame.Failure, facts Facts) Finding {
	remedy := "sudo apt install python3-hailort python3-numpy"
	if chip, _ := facts.Chip(); chip.SoC() {
		remedy = "sudo apt install python3-h10-hailort python3-numpy"
	}
	which := "This HailoRT"
	if library, ok := facts.Library(); ok && library.Version != (Version{}) {
		which = "HailoRT " + library.Version.String()
	}
	return fault(Unsupported, remedy, "%s is served by the Python worker only, and what that needs cannot be used: %s.", which, words(failure, ""))
}

// Explain is the finding that a failure of a request stands for, on the host as
// it is now.
func (e *engine) Explain(f *frame.Failure, p *worker.Process) Finding {
	return Explain(f, p.LastError(), e.cfg.Facts())
}

// Gone is what is told of an inference during which the worker ended.
func (*engine) Gone() Finding {
	return warning(InferAborted, "Try again.", "The Hailo's worker ended during the inference.")
}

// Hung is the failure of an inference that took too long.
func (*engine) Hung() *frame.Failure {
	return &frame.Failure{Type: frame.Infer, Status: statusTimeout, Call: "hailo_vstream_read_raw_buffer", Detail: "no answer in time"}
}

// OfModel reports a finding that leaves the chip as it is.
func (*engine) OfModel(f Finding) bool { return StateOf(f.Code) == StateDegraded }

// OfRequest reports a failure for which only the request is to blame.
func (*engine) OfRequest(f *frame.Failure) bool { return OfRequest(f) }

// Interrupted reports a call that a signal cut short: the driver gives up waiting
// then, with nothing wrong.
func (*engine) Interrupted(f *frame.Failure) bool { return f.Status == statusInterrupted }

// State is the state that a fault of that code leaves the accelerator in.
func (*engine) State(c Code) State { return StateOf(c) }
