package hailo_test

import (
	"testing"

	"primespark/agent/infer/hailo"
	"primespark/agent/infer/infertest"
	chip "primespark/hailo"
	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/run/runtest"
	"primespark/shared/worker/nativetest"
)

// TestConformanceOfTheDouble keeps the promises of every backend with the worker
// that is shipped, on a double of the library that computes.
func TestConformanceOfTheDouble(t *testing.T) {
	kit := hailotest.Native(t)
	units := nativetest.Units(t, chip.WorkerC, nil, kit.Worker, "--unit")
	for unit, socket := range map[string]string{"": "", chip.WorkerC: units.Socket} {
		t.Run("in unit "+unit, func(t *testing.T) {
			s := chip.New(chip.Config{Library: kit.Library, Socket: socket, Workers: chip.FindWorkers(kit.Worker), Dir: t.TempDir(), Depth: 3})
			runtest.Start(t, s)
			b := hailo.New(s, 3)
			if unit == "" { // the library sees no difference
				t.Run("tensors", func(t *testing.T) { infertest.TestBackend(t, b, synth.Tensors("resnet", 8, 2, 10).Bytes()) })
			}
			t.Run("boxes", func(t *testing.T) { infertest.TestBackend(t, b, synth.Detector("yolo", 16, 3, 5).Bytes()) })
			if got := units.Started.Swap(0) > 0; got != (socket != "") {
				t.Errorf("systemd started its workers: %v", got)
			}
		})
	}
}
