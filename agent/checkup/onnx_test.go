package checkup_test

import (
	"fmt"
	"strings"
	"testing"

	"primespark/agent/checkup"
	"primespark/agent/onnxruntime"
	"primespark/shared/doctor"
	"primespark/shared/goldentest"
)

func TestONNX(t *testing.T) {
	const path = "/usr/lib/aarch64-linux-gnu/libonnxruntime.so.1.21"
	_, _, absent := onnxruntime.Diagnose(onnxruntime.Config{Root: t.TempDir()})
	_, _, wanted := onnxruntime.Diagnose(onnxruntime.Config{Root: t.TempDir(), Wanted: true})
	_, _, worker := onnxruntime.Diagnose(onnxruntime.Config{Library: path})
	var b strings.Builder
	for _, row := range []struct {
		name string
		onnx checkup.ONNX
	}{
		{"off", checkup.ONNX{Off: true}},
		{"not installed", checkup.ONNX{Found: absent}},
		{"not installed, and wanted", checkup.ONNX{Found: wanted}},
		{"no worker", checkup.ONNX{Library: path, Found: worker}},
		{"the agent does not run", checkup.ONNX{Library: path}},
		{"in order", checkup.ONNX{Library: path, Running: "ONNX Runtime 1.21.0 is ready."}},
	} {
		r := doctor.Run(t.Context(), "pi-1", row.onnx.Checks())
		fmt.Fprintf(&b, "## %s: %s\n%s", row.name, r.Verdict, told(r.Results))
	}
	goldentest.Compare(t, "onnx.txt", b.String())
}
