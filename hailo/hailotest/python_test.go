package hailotest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/worker/frame"
)

// startPython runs the worker in Python on a double of hailo_platform, with env
// before its own environment.
func startPython(t *testing.T, env ...string) *hailotest.Process {
	t.Helper()
	argv := hailotest.Python(t)
	at := slices.Index(argv, "PYTHONDONTWRITEBYTECODE=1") + 1
	return hailotest.Start(t, nil, slices.Insert(argv, at, env...)...)
}

// The same models, the same protocol, the same answers as with the worker in C.
func TestPythonWorker(t *testing.T) {
	t.Parallel()
	p := startPython(t)
	h, err := p.Hello(t.Context())
	if err != nil || h.Worker != "hailo-python" || h.Library != "5.1.1" || h.Fault != frame.OK {
		t.Fatalf("%+v, %v", h, err)
	}
	for name, m := range models() {
		s := load(t, p, m)
		if s.work(t, 6); t.Failed() {
			t.Log("of " + name)
		}
	}
	var d frame.DeviceReply
	if err := p.Ask(t.Context(), frame.Device, &d); err != nil || d.Devices != 1 || d.Arch != 6 || d.Firmware != "5.1.1" || d.Board != "Hailo-10H" {
		t.Errorf("%+v, %v", d, err)
	}
	var sense frame.SenseReply
	if err := p.Ask(t.Context(), frame.Sense, &sense); err != nil || len(sense.TemperatureC) != 2 || sense.TemperatureC[1] != 51.5 || sense.PowerW != nil || sense.PowerStatus == 0 {
		t.Errorf("%+v, %v", sense, err)
	}
	var ping frame.PingReply
	if err := p.Ask(t.Context(), frame.Ping, &ping); err != nil || ping.Frames != 30 || ping.Models != 5 || ping.InFlight != 0 || ping.RSS == 0 {
		t.Errorf("%+v, %v", ping, err)
	}
	if err := p.Ask(t.Context(), frame.Unload, nil); status(err) != frame.Unsupported {
		t.Errorf("unload: %v", err)
	}
	if err := p.Ask(t.Context(), frame.Bye, nil); err != nil {
		t.Error(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestPythonFaults(t *testing.T) {
	t.Parallel()
	p := startPython(t, "HAILORT_DOUBLE_FAULT=configure")
	if err := tryLoad(t, p, nil); status(err) != frame.Crashed || !strings.Contains(err.Error(), "a simulated fault of configure") {
		t.Errorf("%v, want what was raised", err)
	}
	p = startPython(t, "HAILORT_DOUBLE_FAULT=infer@2")
	s := load(t, p, synth.Tensors("one", 64, 1, 100))
	s.work(t, 2)
	in, out := s.plan.Slot(0)
	if _, err := s.Infer(t.Context(), s.model, in, out); status(err) != frame.Crashed {
		t.Errorf("%v, want Crashed", err)
	}
	if _, err := s.Infer(t.Context(), s.model, in, out); status(err) != frame.Broken {
		t.Errorf("then %v, want Broken", err)
	}
	if err := tryLoad(t, p, func(r *frame.LoadRequest) { r.Facts[0].Shape[0]++ }); status(err) != frame.Layout {
		t.Errorf("%v, want Layout", err)
	}
}

func TestPythonWithoutHailo(t *testing.T) {
	t.Parallel()
	p := startPython(t, "PYTHONPATH=")
	h, err := p.Hello(t.Context())
	if err != nil || h.Fault != frame.NoLibrary || !strings.Contains(h.Why, "hailo_platform") {
		t.Errorf("%+v, %v", h, err)
	}
	if err := tryLoad(t, p, nil); status(err) != frame.NoLibrary {
		t.Errorf("load: %v", err)
	}
}

func TestPythonWire(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(hailotest.Root(t), "hailo", "workerpy", "worker.py"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+) = (-?\d+)$`).FindAllStringSubmatch(string(b), -1) {
		want, known := wire[m[1]]
		if got, err := strconv.ParseInt(m[2], 10, 64); known && (err != nil || got != want) {
			t.Errorf("%s is %d, and %d in package frame", m[1], got, want)
		}
		if known {
			found++
		}
	}
	// The types are counted from one, a Hailo's tensors have three dimensions, and are never open, and a unit of systemd runs the worker in C alone.
	if want := len(wire) - 12; found != want {
		t.Errorf("%d numbers in common, want %d", found, want)
	}
	if !strings.Contains(string(b), "HELLO, DEVICE, LOAD, MAP, INFER, PING, SENSE, UNLOAD, BYE = range(1, 10)") {
		t.Error("the types are not as in package frame")
	}
}
