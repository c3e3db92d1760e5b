package doctor_test

import (
	"fmt"
	"strings"
	"testing"

	"primespark/agent/doctor"
	"primespark/agent/onnxruntime"
)

func TestONNX(t *testing.T) {
	const path = "/usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.21"
	_, _, absent := onnxruntime.Diagnose(onnxruntime.Config{Root: t.TempDir()})
	_, _, wanted := onnxruntime.Diagnose(onnxruntime.Config{Root: t.TempDir(), Wanted: true})
	_, _, worker := onnxruntime.Diagnose(onnxruntime.Config{Library: path})
	var b strings.Builder
	for _, row := range []struct {
		name string
		onnx doctor.ONNX
	}{
		{"off", doctor.ONNX{Off: true}},
		{"not installed", doctor.ONNX{Found: absent}},
		{"not installed, and wanted", doctor.ONNX{Found: wanted}},
		{"no worker", doctor.ONNX{Library: path, Found: worker}},
		{"the agent does not run", doctor.ONNX{Library: path}},
		{"in order", doctor.ONNX{Library: path, Running: "ONNX Runtime 1.21.0 is ready."}},
	} {
		r := doctor.Run(t.Context(), "pi-1", row.onnx.Checks())
		fmt.Fprintf(&b, "## %s: %s\n%s", row.name, r.Verdict, told(r.Results))
	}
	golden(t, "onnx.txt", b.String())
}
