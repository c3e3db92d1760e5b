package hailo_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"primespark/hailo"
	"primespark/hailo/hailotest"
	. "primespark/hailo/hosttest"
	"primespark/hailo/workertest"
)

// newDouble is newRig with the worker in C on the double of the library.
func newDouble(t *testing.T, change func(*hailo.Config)) rig {
	t.Helper()
	return newRig(t, workertest.None, func(c *hailo.Config) {
		double(t, c)
		if change != nil {
			change(c)
		}
	})
}

// double puts the worker in C and the double of the library into a configuration.
func double(t *testing.T, c *hailo.Config) {
	t.Helper()
	kit := hailotest.Native(t)
	c.Library, c.Workers = kit.Library, hailo.FindWorkers(kit.Worker)
}

// TestTakeover has a library that the worker in C does not know: that in Python
// takes over, and gives the same answers.
func TestTakeover(t *testing.T) {
	known := newDouble(t, nil)
	want, err := infer1(soon(t), known.add(t, "one"), 200)
	if err != nil || known.Status().Get().Worker.Kind != "hailo-c" {
		t.Fatalf("%v from %+v", err, known.Status().Get().Worker)
	}
	python := hailotest.Python(t)
	t.Setenv("HAILORT_DOUBLE_VERSION", "5.1.1")
	r := newDouble(t, func(c *hailo.Config) {
		c.Workers = append(c.Workers, hailo.Worker{Kind: "python", Argv: python})
	})
	m := r.add(t, "one")
	st := r.Status().Get()
	if st.Worker.Kind != "hailo-python" || st.Library != "5.1.1" || st.Arch != "hailo10h" || st.Restarts != 0 {
		t.Errorf("status %+v", st)
	}
	if n := strings.Count(r.log.String(), "the Python worker takes over"); n != 1 || strings.Contains(r.log.String(), "out of service") {
		t.Errorf("it was told %d times:\n%s", n, r.log)
	}
	if got, err := infer1(soon(t), m, 200); err != nil || got != want {
		t.Errorf("it gave %v and %v, and the worker in C %v", got, err, want)
	}
	if err := syscall.Kill(st.Worker.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	next := r.until(t, "next worker", func(now hailo.Status) bool { return now.State == hailo.StateReady && now.Worker.PID != st.Worker.PID })
	if got, err := infer1(soon(t), m, 200); err != nil || got != want || next.Worker.Kind != "hailo-python" || next.Restarts != 1 {
		t.Errorf("the next one, %+v, gave %v and %v", next.Worker, got, err)
	}
}

// TestNoPython has such a library, and no Python package: what is told is what to
// install, and not that there is no HailoRT.
func TestNoPython(t *testing.T) {
	python := hailotest.Python(t)
	t.Setenv("HAILORT_DOUBLE_VERSION", "5.1.1")
	python = slices.Insert(python, slices.Index(python, "PYTHONDONTWRITEBYTECODE=1"), "PYTHONPATH=")
	r := newDouble(t, func(c *hailo.Config) { c.Workers = append(c.Workers, hailo.Worker{Kind: "python", Argv: python}) })
	st := r.until(t, "cause", func(st hailo.Status) bool { return st.Cause != nil })
	if c := st.Cause; c.Code != hailo.Unsupported || !strings.Contains(c.Detail, "No module named 'hailo_platform'") || c.Remedy != "sudo apt install python3-hailort python3-numpy" {
		t.Errorf("cause %+v", c)
	}
}

// TestShared goes through hailort.service, and says so when that is down. Whoever
// has the chip alone does not need it.
func TestShared(t *testing.T) {
	share := func(c *hailo.Config) { c.Share = true }
	r := newDouble(t, share)
	if _, err := infer1(soon(t), r.add(t, "one"), 1); err != nil {
		t.Error(err)
	}
	r.until(t, "temperature, which takes a device of its own", func(st hailo.Status) bool { return st.Temperature != nil })

	t.Setenv("HAILORT_DOUBLE_SERVICE", "down")
	alone := newDouble(t, nil)
	if _, err := infer1(soon(t), alone.add(t, "one"), 1); err != nil {
		t.Error(err)
	}
	r = newDouble(t, share)
	r.state(t, hailo.StateReady)
	_, err := r.Add(soon(t), hailo.Spec{Name: "one", File: modelFile(t, tiny())})
	if down, ok := errors.AsType[*hailo.Down](err); !ok || down.Code != hailo.ServiceDown || !strings.Contains(down.Remedy, "systemctl restart hailort.service") {
		t.Errorf("with the service down: %v", err)
	}
}

// TestBusy has the library tell how busy the chip is, and no more once its
// worker is gone.
func TestBusy(t *testing.T) {
	root := Good().Make(t)
	t.Setenv("HAILORT_DOUBLE_MONITOR", filepath.Join(root, "tmp/hmon_files"))
	r := newDouble(t, func(c *hailo.Config) { c.Host.Root = root })
	r.add(t, "one")
	st := r.until(t, "utilization", func(st hailo.Status) bool { return st.Utilization != nil })
	if *st.Utilization != .625 {
		t.Errorf("it is %v", *st.Utilization)
	}
	t.Setenv("HAILORT_DOUBLE_MONITOR", "") // the next one tells nothing
	if err := syscall.Kill(st.Worker.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	next := r.until(t, "next worker", func(now hailo.Status) bool { return now.State == hailo.StateReady && now.Worker.PID != st.Worker.PID })
	if next.Utilization != nil {
		t.Errorf("it is %v of a worker that is gone", *next.Utilization)
	}
}
