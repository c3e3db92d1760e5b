package builtin

import (
	"context"
	"fmt"
	"sync"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/kernel"
	"primespark/shared/tensor"
)

// A Session is a model that is ready to run. Infer calls must not overlap; Close
// may come at any time, and waits for an Infer that is under way.
type Session struct {
	inputs, outputs []tensor.Spec
	in, out         []*value
	steps           []stage
	pool            *pool
	stats           Stats

	mu     sync.Mutex // held by Infer and Close
	closed bool
	broken error // wraps infer.ErrBroken: a fault was met
}

// A stage is a step and the node that it belongs to, for errors.
type stage struct {
	step
	guard     *guard
	refuse    error
	op, label string
}

// Stats tell what a session costs.
type Stats struct {
	Kernels kernel.Set
	Threads int
	Nodes   int   // layers, after fusion
	MACs    int64 // multiplications with addition of one inference, of convolutions and matrix products
	Arena   int64 // bytes of the tensors' shared memory
	Scratch int64 // bytes of all workers' scratch memory
	Weights int64 // bytes of the model's constants, as they stand in the file
	Fixed   int64 // bytes of constants, tables and packed weights, at most
}

func newSession(c *compiler, p plan) (*Session, error) {
	s := &Session{in: c.inputs, out: c.outputs, inputs: specs(c.inputs), outputs: specs(c.outputs)}
	c.place(p)
	s.stats = Stats{
		Kernels: c.options.kernels, Threads: c.options.threads, Nodes: len(c.nodes), Weights: c.weights, Fixed: c.fixed,
		Arena: int64(p.floats+slack)*4 + int64(p.ints)*8, Scratch: int64(c.options.threads) * int64(p.scratch+slack) * 4,
	}
	for _, n := range c.nodes {
		if err := context.Cause(c.ctx); err != nil {
			return nil, err
		}
		s.stats.MACs += n.macs
		for _, step := range n.bind() {
			if step.tasks > 0 {
				s.steps = append(s.steps, stage{step, n.guard, n.refuse, n.op, n.label})
			}
		}
	}
	c.release()
	s.pool = newPool(c.options.threads)
	for i := range s.pool.workers {
		s.pool.workers[i].scratch = make([]float32, p.scratch+slack)
	}
	return s, nil
}

// release lets go of the file and of constants that nodes have packed for themselves:
// the steps hold on to what they read, and through their call to the compiler.
func (c *compiler) release() {
	for _, n := range c.nodes {
		n.call.src = nil
	}
	c.ctx, c.values, c.uses, c.nodes, c.scope = nil, nil, nil, nil, nil
}

func specs(values []*value) []tensor.Spec {
	out := make([]tensor.Spec, len(values))
	for i, v := range values {
		out[i] = tensor.Spec{Name: v.name, Type: elementType(v.typ), Shape: v.shape}
		if v.outside != nil {
			out[i].Shape = v.outside
		}
	}
	return out
}

// Inputs describes the tensors that Infer reads.
func (s *Session) Inputs() []tensor.Spec { return s.inputs }

// Outputs describes the tensors that Infer fills.
func (s *Session) Outputs() []tensor.Spec { return s.outputs }

// Stats tells what the session costs.
func (s *Session) Stats() Stats { return s.stats }

// Memory is how many bytes the session holds, at most: constants that were let go of
// for packed ones are counted too.
func (s *Session) Memory() int64 { return s.stats.Arena + s.stats.Scratch + s.stats.Fixed }

// Infer runs the model. It allocates nothing unless it fails. The context is
// looked at between tasks, the parts of a layer that workers share.
func (s *Session) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return infer.ErrClosed
	}
	if s.broken != nil {
		return s.broken
	}
	if err := match("input", s.inputs, in); err != nil {
		return err
	}
	if err := match("output", s.outputs, out); err != nil {
		return err
	}
	for i, v := range s.in {
		v.read(in[i].Data)
	}
	for i := range s.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := &s.steps[i]
		if !at.guard.open() {
			continue
		}
		if at.refuse != nil {
			return at.refuse
		}
		s.pool.run(ctx, &at.step)
		if f := s.pool.fault.Load(); f != nil {
			s.broken = fmt.Errorf("%w: a fault of the builtin engine in node %s (%s): %v; please report it with the model", infer.ErrBroken, at.label, at.op, f.said)
			return s.broken
		}
	}
	if err := ctx.Err(); err != nil {
		return err // the last step may have been cut short
	}
	for i, v := range s.out {
		v.write(out[i].Data)
	}
	return nil
}

// match checks tensors against what the model has.
func match(kind string, want []tensor.Spec, got []tensor.Tensor) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d %ss given, the model has %d", len(got), kind, len(want))
	}
	for i := range want {
		if err := want[i].Fits(got[i].Type, got[i].Shape); err != nil {
			return fmt.Errorf("%s %d: %w", kind, i, err)
		}
		n, err := tensor.Count(got[i].Shape)
		if err != nil {
			return fmt.Errorf("%s %d: %w", kind, i, err)
		}
		if size := n * got[i].Type.Size(); len(got[i].Data) != size {
			return fmt.Errorf("%s %d: tensor %q has %d bytes, want %d", kind, i, want[i].Name, len(got[i].Data), size)
		}
	}
	return nil
}

// Close ends the session's goroutines and waits for them.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.pool.close()
		s.steps, s.in, s.out = nil, nil, nil // and with them the memory
	}
	return nil
}
