package infer_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/shared/tensor"
)

func TestFaulty(t *testing.T) {
	fake := &infertest.Fake{
		Inputs:  []tensor.Spec{{Name: "in", Type: tensor.Float32, Shape: []int{4}}},
		Outputs: []tensor.Spec{{Name: "out", Type: tensor.Float32, Shape: []int{4}}},
		Answer: func(_, out []tensor.Tensor) error {
			out[0].Float32s()[0] = 7
			return nil
		},
	}
	for fault, check := range map[infer.Fault]func(t *testing.T, err error, took time.Duration, out []float32){
		infer.Crash: func(t *testing.T, err error, _ time.Duration, _ []float32) {
			if !errors.Is(err, infer.ErrCrashed) {
				t.Errorf("err = %v, want ErrCrashed", err)
			}
		},
		infer.Hang: func(t *testing.T, err error, took time.Duration, _ []float32) {
			if !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
				t.Errorf("err = %v after %v, want the deadline after 1m", err, took)
			}
		},
		infer.Garbage: func(t *testing.T, err error, _ time.Duration, out []float32) {
			if err != nil || !math.IsNaN(float64(out[0])) {
				t.Errorf("out = %v, err = %v, want NaN and nil", out, err)
			}
		},
		infer.Paced: func(t *testing.T, err error, took time.Duration, out []float32) {
			if err != nil || took != infer.PacedBy || out[0] != 7 {
				t.Errorf("out = %v, err = %v after %v, want what it was before, after %v", out, err, took, infer.PacedBy)
			}
		},
		infer.Slow: func(t *testing.T, err error, took time.Duration, _ []float32) {
			if err != nil || took != infer.SlowBy {
				t.Errorf("err = %v after %v, want nil after %v", err, took, infer.SlowBy)
			}
		},
	} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := infertest.Load(t, infer.Faulty(fake, fault, 1), []byte(infertest.Model))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				out := infertest.Outputs(t, s)
				start := time.Now()
				if err := s.Infer(ctx, infertest.Inputs(t, s), out); err != nil || time.Since(start) != 0 {
					t.Fatalf("the first inference, which is to be good, gave %v after %v", err, time.Since(start))
				}
				clear(out[0].Data)
				err := s.Infer(ctx, infertest.Inputs(t, s), out)
				check(t, err, time.Since(start), out[0].Float32s())
			})
		})
	}
}
