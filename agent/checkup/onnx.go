package checkup

import (
	"context"

	"primespark/shared/doctor"
	"primespark/shared/worker"
)

// An ONNX is ONNX Runtime on the node.
type ONNX struct {
	Off     bool            // by configuration
	Library string          // its path; empty if there is none
	Found   *worker.Finding // what is wrong; nil if nothing is
	Running string          // how it is, as the running agent says; empty without one
}

// Checks are those of the engine.
func (o ONNX) Checks() []doctor.Check {
	return []doctor.Check{{Section: "engines", Name: "onnxruntime", Look: o.look}}
}

func (o ONNX) look(context.Context) []doctor.Result {
	switch {
	case o.Off:
		return doctor.One(doctor.Info, "ONNX Runtime is switched off: onnxruntime.enabled is off.", "Set onnxruntime.enabled: auto.")
	case o.Found != nil:
		return []doctor.Result{{Severity: severities[o.Found.Severity], Code: string(o.Found.Code), Detail: o.Found.Detail, Remedy: o.Found.Remedy}}
	case o.Running != "":
		return doctor.One(doctor.OK, o.Running+" "+o.Library, "")
	}
	return doctor.One(doctor.OK, o.Library+" is there", "")
}
