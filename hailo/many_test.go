package hailo_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"primespark/hailo"
	"primespark/hailo/hef/synth"
	"primespark/hailo/workertest"
)

// TestManyRestarts replaces the worker a thousand times, each time with a model in
// it: as planned, since a model leaves, and after SIGKILL, by turns. It looks for what
// is left behind: descriptors, memory that is shared, and processes.
func TestManyRestarts(t *testing.T) {
	restarts(t, 1000, newRig(t, workertest.None, impatient))
}

// TestManyRestartsOfTheDouble is TestManyRestarts with the worker that is shipped.
func TestManyRestartsOfTheDouble(t *testing.T) {
	restarts(t, 1000, newDouble(t, impatient))
}

func impatient(c *hailo.Config) { c.Depth = 1 }

// enough is how long the restarts may take: a slow machine does fewer of them, and
// some in any case.
const (
	enough = 40 * time.Second
	some   = 50
)

func restarts(t *testing.T, times int, r rig) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts a thousand processes")
	}
	if raceEnabled {
		times = some // a thousand of them take minutes under the race detector
	}
	hailo.Hurry(r.Supervisor)
	kept := r.add(t, "kept")
	want, err := infer1(soon(t), kept, 9)
	if err != nil {
		t.Fatal(err)
	}
	before := held(t)
	began := time.Now()
	done := 0
	for ; done < times && (done < some || time.Since(began) < enough); done++ {
		pid := r.Status().Get().Worker.PID
		if done%2 == 0 {
			pass(t, r)
		} else if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("after %d: %v", done, err)
		}
		r.until(t, "next worker", func(st hailo.Status) bool { return st.Worker.PID != pid && st.State == hailo.StateReady })
	}
	if got, err := infer1(soon(t), kept, 9); err != nil || got != want {
		t.Errorf("after %d restarts an inference gave %v and %v, want %v", done, got, err, want)
	}
	if n := r.Status().Get().Restarts; n != uint64(done) {
		t.Errorf("%d restarts were counted, want %d", n, done)
	}
	t.Logf("%d restarts in %v", done, time.Since(began))
	after := held(t)
	if after.files > before.files+2 || after.arenas > before.arenas || after.children > before.children {
		t.Errorf("held after %d restarts: %+v, before: %+v", done, after, before)
	}
}

// pass has a model come and go, which replaces the worker.
func pass(t *testing.T, r rig) {
	t.Helper()
	file := modelFile(t, synth.Tensors("passing", 2, 1, 1).Bytes())
	m, err := r.Add(soon(t), hailo.Spec{Name: "passing", File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// A holding is what a process holds.
type holding struct{ files, arenas, children int }

func held(t *testing.T) (h holding) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(fds)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	h.arenas = strings.Count(string(maps), "memfd:")
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		list, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		h.children += len(strings.Fields(string(list)))
	}
	return h
}
