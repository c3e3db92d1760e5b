package hailo_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"primespark/hailo"
	"primespark/hailo/hef/synth"
	"primespark/hailo/workertest"
)

// TestManyRestarts replaces the worker a thousand times, each time with a model in
// it, and looks for what is left behind: descriptors, memory that is shared, and
// processes.
func TestManyRestarts(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts a thousand processes")
	}
	times := 1000
	if raceEnabled {
		times = 50 // a thousand of them take minutes under the race detector
	}
	r := newRig(t, workertest.None, func(c *hailo.Config) { c.Depth = 1 })
	kept := r.add(t, "kept")
	good(t, kept)
	before := held(t)
	for i := range times {
		file := modelFile(t, synth.Tensors("passing", 2, 1, 1).Bytes())
		m, err := r.Add(soon(t), hailo.Spec{Name: "passing", File: file})
		if err != nil {
			t.Fatalf("after %d: %v", i, err)
		}
		if err := errors.Join(m.Close(), file.Close()); err != nil {
			t.Fatal(err)
		}
		r.until(t, "next worker", func(st hailo.Status) bool { return st.Restarts == uint64(i+1) && st.State == hailo.StateReady })
	}
	good(t, kept)
	if after := held(t); after.files > before.files+2 || after.arenas > before.arenas || after.children > before.children {
		t.Errorf("held after %d restarts: %+v, before: %+v", times, after, before)
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
		for pid := range strings.FieldsSeq(string(list)) {
			if _, err := strconv.Atoi(pid); err == nil {
				h.children++
			}
		}
	}
	return h
}
