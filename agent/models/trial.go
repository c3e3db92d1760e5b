package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"primespark/agent/infer"
	"primespark/shared/tensor"
)

// A trial is what single runs on some inputs gave, for wider sessions to compare with.
type trial struct {
	in, out [][]tensor.Tensor // of each run
	cost    time.Duration     // of the quickest
}

// trials are how many different inputs a trial has.
const trials = 3

func newTrial(ctx context.Context, l *live) (*trial, error) {
	t := &trial{cost: math.MaxInt64}
	for i := range trials {
		in, inErr := blank(l.session.Inputs())
		out, outErr := blank(l.session.Outputs())
		if err := errors.Join(inErr, outErr); err != nil {
			return nil, err
		}
		for _, tt := range in {
			sample(tt, i)
		}
		begin := time.Now()
		if err := l.session.Infer(ctx, in, out); err != nil {
			return nil, err
		}
		t.cost = min(t.cost, time.Since(begin))
		t.in, t.out = append(t.in, in), append(t.out, out)
	}
	return t, nil
}

// sample fills a tensor with numbers from 0 to 1, or 0 and 1, that differ by seed.
func sample(t tensor.Tensor, seed int) {
	if t.Type == tensor.Float32 {
		for i := range t.Float32s() {
			t.Float32s()[i] = float32((i*7+seed*13)%64) / 64
		}
		return
	}
	width := t.Type.Size()
	for i := 0; i < len(t.Data); i += width {
		if t.Type != tensor.Float16 && t.Type != tensor.BF16 && t.Type != tensor.Float64 {
			t.Data[i] = byte((i/width + seed) % 2)
		}
	}
}

// compare runs a session for n inferences, and reports a row that is not what the same
// input gave alone. The cost is that of the quickest run.
func (t *trial) compare(ctx context.Context, s infer.Session, n int) (cost time.Duration, err error) {
	want := slices.Concat(widened(specsOf(t.in[0]), n), widened(specsOf(t.out[0]), n))
	for i, have := range slices.Concat(s.Inputs(), s.Outputs()) {
		if err := want[i].Fits(have.Type, have.Shape); err != nil || have.Name != want[i].Name {
			return 0, fmt.Errorf("tensor %q has shape %v there, so its first dimension does not tell requests apart", have.Name, have.Shape)
		}
	}
	in, inErr := blank(s.Inputs())
	out, outErr := blank(s.Outputs())
	if err := errors.Join(inErr, outErr); err != nil {
		return 0, err
	}
	for i := range in {
		for row := range n {
			copy(in[i].Data[row*len(in[i].Data)/n:], t.in[row%trials][i].Data)
		}
	}
	cost = math.MaxInt64
	for range trials {
		begin := time.Now()
		if err := s.Infer(ctx, in, out); err != nil {
			return 0, err
		}
		cost = min(cost, time.Since(begin))
	}
	for i := range out {
		for row := range n {
			part := out[i].Data[row*len(out[i].Data)/n : (row+1)*len(out[i].Data)/n]
			if alone := t.out[row%trials][i]; !alike(tensor.Tensor{Type: alone.Type, Shape: alone.Shape, Data: part}, alone) {
				return 0, fmt.Errorf("output %q of an input among others differs from what it gives alone", out[i].Name)
			}
		}
	}
	return cost, nil
}

func specsOf(all []tensor.Tensor) []tensor.Spec {
	specs := make([]tensor.Spec, len(all))
	for i, t := range all {
		specs[i] = tensor.Spec{Name: t.Name, Type: t.Type, Shape: t.Shape}
	}
	return specs
}

// alike compares outputs. Sums of floats may be made in another order: a thousandth of
// the largest is the same.
func alike(a, b tensor.Tensor) bool {
	if a.Type != tensor.Float32 {
		return bytes.Equal(a.Data, b.Data)
	}
	x, y := a.Float32s(), b.Float32s()
	largest := 1e-6
	for _, v := range y {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range y {
		both := x[i] != x[i] && y[i] != y[i] // neither is a number
		if !both && !(math.Abs(float64(x[i])-float64(y[i])) <= largest/1000) {
			return false
		}
	}
	return true
}
