package hailo_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/hailo"
	"primespark/agent/models"
	"primespark/agent/models/shelf"
	chip "primespark/hailo"
	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/run/runtest"
	"primespark/shared/tensor"
	"primespark/shared/worker/frame"
)

// pace is what a Hailo-8 does on a Pi 5 with yolov8s, in frames a second; depth is
// how many are under way.
const (
	pace  = "309"
	depth = 4
)

// BenchmarkAgent measures what the agent costs over the worker alone, in the same
// run and by turns: the rate at depth 4, and the time of one at a time. Agent means
// the registry, its queue, the copy into shared memory and the reading of boxes;
// the double is paced like a chip.
func BenchmarkAgent(b *testing.B) {
	kit := hailotest.Native(b)
	b.Setenv("HAILORT_DOUBLE_FPS", pace)
	file := synth.Detector("yolov8s", 640, 80, 100).Bytes()
	worker, agent := bare(b, kit, file), whole(b, kit, file)
	var workerRate, agentRate, busy []float64
	var workerTook, agentTook []time.Duration
	const rounds, frames = 3, 200
	for range rounds {
		workerRate = append(workerRate, rate(b, frames, worker))
		cpu := processor(b)
		agentRate = append(agentRate, rate(b, frames, agent))
		busy = append(busy, (processor(b)-cpu).Seconds()*1000/frames)
		for range frames {
			workerTook = append(workerTook, once(b, worker))
			agentTook = append(agentTook, once(b, agent))
		}
	}
	for b.Loop() { // what go test counts: one frame through the agent
		once(b, agent)
	}
	added := func(share float64) float64 { return (at(agentTook, share) - at(workerTook, share)).Seconds() * 1000 }
	b.ReportMetric(slices.Max(workerRate), "worker-frames/s")
	b.ReportMetric(slices.Max(agentRate), "agent-frames/s")
	b.ReportMetric(100*slices.Max(agentRate)/slices.Max(workerRate), "%-of-worker")
	b.ReportMetric(slices.Min(busy), "agent-cpu-ms/frame")
	b.ReportMetric(added(.5), "added-ms-p50")
	b.ReportMetric(added(.99), "added-ms-p99")
}

// processor is the processor time of this process so far.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func at(took []time.Duration, share float64) time.Duration {
	slices.Sort(took)
	return took[int(share*float64(len(took)-1))]
}

func once(b *testing.B, one func(slot int) error) time.Duration {
	b.Helper()
	begin := time.Now()
	if err := one(0); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

// rate runs so many, depth at a time, and returns how many that are a second.
func rate(b *testing.B, frames int, one func(slot int) error) float64 {
	b.Helper()
	var all sync.WaitGroup
	var taken atomic.Int64
	begin := time.Now()
	for slot := range depth {
		all.Go(func() {
			for taken.Add(1) <= int64(frames) {
				if err := one(slot); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(frames) / time.Since(begin).Seconds()
}

// bare is the worker alone: its socket, and nothing of the agent.
func bare(b *testing.B, kit hailotest.Kit, file []byte) func(slot int) error {
	b.Helper()
	w := kit.Start(b)
	ctx := b.Context()
	if _, err := w.Hello(ctx); err != nil {
		b.Fatal(err)
	}
	id, loaded, err := w.Load(ctx, frame.LoadRequest{Name: "yolov8s", Depth: depth, Timeout: 10 * time.Second}, hailotest.File(b, file))
	if err != nil {
		b.Fatal(err)
	}
	plan, err := frame.PlanSlots(loaded, depth)
	if err != nil {
		b.Fatal(err)
	}
	arena, err := frame.NewArena(plan.Size)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := arena.Close(); err != nil {
			b.Error(err)
		}
	})
	if err := w.Map(ctx, id, arena); err != nil {
		b.Fatal(err)
	}
	return func(slot int) error {
		in, out := plan.Slot(slot)
		_, err := w.Infer(ctx, id, in, out)
		return err
	}
}

// whole is the agent's registry over the same worker and double.
func whole(b *testing.B, kit hailotest.Kit, file []byte) func(slot int) error {
	b.Helper()
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "yolov8s_h8.hef"), file, 0o600); err != nil {
		b.Fatal(err)
	}
	s := chip.New(chip.Config{Library: kit.Library, Workers: chip.FindWorkers(kit.Worker), Dir: b.TempDir(), Depth: depth})
	r, err := models.New(models.Config{
		Backends: []infer.Backend{hailo.New(s, depth)}, Embedded: map[string]models.Files{}, Shelf: shelf.Shelf{Dir: dir}, Load: []string{"yolov8s"},
	})
	if err != nil {
		b.Fatal(err)
	}
	runtest.Start(b, s, r)
	select {
	case <-r.Settled():
	case <-time.After(time.Minute):
		b.Fatal("the model is not loaded within a minute")
	}
	m, err := r.Metadata("yolov8s", "")
	if err != nil {
		b.Fatalf("%v: %+v", err, r.Index())
	}
	picture, err := tensor.New(m.Inputs[0].Name, m.Inputs[0].Type, m.Inputs[0].Shape...)
	if err != nil {
		b.Fatal(err)
	}
	yes := true
	return func(int) error {
		_, err := r.Infer(b.Context(), "yolov8s", "", infer.Request{Inputs: []tensor.Tensor{picture}, Postprocess: &yes})
		return err
	}
}
