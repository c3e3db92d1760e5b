// Package native makes sessions of models in a worker process, whatever its engine:
// what becomes of the process is package primespark/shared/worker's matter; here it only
// becomes an error that the agent knows.
package native

import (
	"cmp"
	"context"
	"errors"

	"primespark/agent/infer"
	"primespark/shared/tensor"
	"primespark/shared/worker"
)

// A Session is an infer.Session over a model in a worker.
type Session struct {
	Model *worker.Model
	In    []tensor.Spec
	Out   []tensor.Spec
	Holds int64 // bytes
	// Take copies what the worker gave for output i, where that is more than a copy; nil
	// for none.
	Take func(i int, to, from []byte)
}

// Inputs describes what goes in.
func (s *Session) Inputs() []tensor.Spec { return s.In }

// Outputs describes what comes out.
func (s *Session) Outputs() []tensor.Spec { return s.Out }

// Memory is Holds.
func (s *Session) Memory() int64 { return s.Holds }

// Close gives the model's place up.
func (s *Session) Close() error { return s.Model.Close() }

// Infer runs the model.
func (s *Session) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	if err := errors.Join(infer.Fit(in, s.In), infer.Fit(out, s.Out)); err != nil {
		return err
	}
	var odd error
	_, err := s.Model.Infer(ctx,
		func(to [][]byte) {
			for i := range to {
				copy(to[i], in[i].Data)
			}
		},
		func(from [][]byte, shapes [][]int) {
			for i := range from {
				switch {
				case s.Take != nil:
					s.Take(i, out[i].Data, from[i])
				case shapes != nil && s.Out[i].Open():
					var t tensor.Tensor
					if t, odd = tensor.New(out[i].Name, out[i].Type, shapes[i]...); odd != nil {
						return
					}
					copy(t.Data, from[i])
					out[i] = t
				default:
					copy(out[i].Data, from[i])
				}
			}
		})
	return cmp.Or(Known(err), odd)
}

// Known tells an error of a worker in the agent's words.
func Known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, worker.ErrDown):
		return &down{err}
	case errors.Is(err, worker.ErrClosed):
		return infer.ErrClosed
	}
	if r, ok := errors.AsType[*worker.Refused](err); ok && (r.Code == worker.InferBadInput || r.Code == worker.InferTooLarge) {
		return &infer.Refused{Detail: r.Detail, Remedy: r.Remedy, Err: err}
	}
	return err
}

// A down is infer.ErrDown, in the engine's words.
type down struct{ err error }

func (d *down) Error() string   { return d.err.Error() }
func (d *down) Unwrap() []error { return []error{infer.ErrDown, d.err} }
