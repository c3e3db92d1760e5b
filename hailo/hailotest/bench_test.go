package hailotest_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"primespark/hailo/hailotest"
	"primespark/hailo/hef/synth"
	"primespark/shared/worker/frame"
)

// BenchmarkWorker asks a real worker, in another process: "hello" is the bare
// round trip, "infer" a small model, of which "outside-ns" is what the library
// did not take.
func BenchmarkWorker(b *testing.B) {
	s := load(b, hailotest.Native(b).Start(b), synth.Tensors("one", 16, 1, 10))
	b.Run("hello", func(b *testing.B) {
		for b.Loop() {
			if err := s.Ask(b.Context(), frame.Hello, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("infer", func(b *testing.B) {
		in, out := s.plan.Slot(0)
		var engine int64
		for b.Loop() {
			took, err := s.Infer(b.Context(), s.model, in, out)
			if err != nil {
				b.Fatal(err)
			}
			engine += took.Engine
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds()-engine)/float64(b.N), "outside-ns")
	})
}

// BenchmarkPaced runs a detector of 640×640 on a double that is as fast as yolov8s
// on a Hailo-8 in a Pi 5: 309 frames/s, 6.66 ms for each. "percent" is how much of
// that rate comes through the worker, depth at a time.
func BenchmarkPaced(b *testing.B) {
	const rate, frames = 309.0, 400
	p := hailotest.Native(b).Start(b, "HAILORT_DOUBLE_FPS=309", "HAILORT_DOUBLE_LATENCY=6.66")
	s := load(b, p, synth.Detector("yolov8s", 640, 80, 100))
	for b.Loop() {
		var left atomic.Int64
		left.Store(frames)
		var all sync.WaitGroup
		var lock sync.Mutex
		var took []time.Duration
		begin := time.Now()
		for slot := range depth {
			all.Go(func() {
				in, out := s.plan.Slot(slot)
				for left.Add(-1) >= 0 {
					start := time.Now()
					if _, err := s.Infer(b.Context(), s.model, in, out); err != nil {
						b.Error(err)
						return
					}
					lock.Lock()
					took = append(took, time.Since(start))
					lock.Unlock()
				}
			})
		}
		all.Wait()
		slices.Sort(took)
		b.ReportMetric(100*frames/time.Since(begin).Seconds()/rate, "percent")
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "p50-ms")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1e3, "p99-ms")
	}
}
