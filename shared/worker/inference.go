package worker

import (
	"context"
	"errors"
	"time"

	"primespark/shared/worker/frame"
)

// Shape is the model's tensors as the worker wants and gives them.
func (m *Model) Shape() frame.LoadReply { return m.shape }

// Memory is how many bytes are shared with the worker for the model's tensors.
func (m *Model) Memory() int64 { return m.plan.Size }

// Close frees the model's place, once nobody waits for it any more. A second
// Close does nothing.
func (m *Model) Close() error {
	m.sup.mu.Lock()
	m.closed = true
	m.sup.mu.Unlock()
	m.sup.prune()
	m.sup.wake() // if it has a place, the worker is replaced
	return nil
}

// ErrClosed means that the model was closed.
var ErrClosed = errors.New("the model was unloaded")

// Timing is where the time of an inference went.
type Timing struct {
	Library time.Duration // within the engine, its device included
	Queue   time.Duration // in the worker, before it
}

// Infer runs the model. Fill writes the inputs, each into its own memory, and
// take reads the outputs; neither may keep them. Shapes are those of the outputs, where
// the data decide one; nil otherwise. While a worker is being replaced
// it waits, for as long as ctx lasts.
//
// It fails with a *Down if the engine is out of service, or falls out of it during
// the inference; with ErrClosed; or with ctx's error, soon after ctx ends: what
// the engine still does then is of no consequence.
func (m *Model) Infer(ctx context.Context, fill func(tensors [][]byte), take func(tensors [][]byte, shapes [][]int)) (Timing, error) {
	for again := false; ; {
		p, err := m.enter(ctx)
		if err != nil {
			return Timing{}, err
		}
		timing, err := m.in(ctx, p, fill, take)
		switch {
		case errors.Is(err, errReplaced):
		case m.sup.interrupted(err) && !again:
			again = true
		default:
			m.counts.add(timing, err)
			return timing, err
		}
	}
}

// interrupted reports a call that failed with nothing wrong, so that it is tried
// once more.
func (s *Supervisor) interrupted(err error) bool {
	failure, ok := errors.AsType[*frame.Failure](err)
	return ok && s.cfg.Engine.Interrupted(failure)
}

// errReplaced means that the generation went before the inference had begun.
var errReplaced = errors.New("the worker is being replaced")

// enter waits for a generation in which the model has its place, and counts the
// inference in; the place's gen is to be told when it is over.
func (m *Model) enter(ctx context.Context) (*place, error) {
	s := m.sup
	for {
		s.mu.Lock()
		if m.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if p := m.place; p != nil && p.gen == s.gen && !p.gen.failed() {
			p.gen.asked.Add(1)
			s.mu.Unlock()
			return p, nil
		}
		down, turn := s.down, s.turn
		s.mu.Unlock()
		if down != nil && !down.soon() {
			return nil, down
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// in runs the inference in a slot of the place.
func (m *Model) in(ctx context.Context, p *place, fill func([][]byte), take func([][]byte, [][]int)) (Timing, error) {
	var slot int
	select {
	case <-p.slots.free:
		slot = p.slots.take()
		if p.gen.failed() { // the engine may still write to it
			p.slots.give(slot)
			p.gen.asked.Done()
			return Timing{}, errReplaced
		}
	case <-ctx.Done():
		p.gen.asked.Done()
		return Timing{}, ctx.Err()
	case <-p.gen.bad:
		p.gen.asked.Done()
		return Timing{}, errReplaced
	case <-p.gone:
		p.gen.asked.Done()
		return Timing{}, errReplaced // and then ErrClosed
	}
	giveBack := func() {
		p.slots.give(slot)
		p.gen.asked.Done()
	}
	in, out := m.plan.Slot(slot)
	fill(views(p.arena.Bytes(), in, m.plan.In, m.shape.Inputs))
	reply, err := p.gen.proc.Begin(frame.Message{Header: frame.Header{Type: frame.Infer, Model: p.id, A: uint64(in), B: uint64(out)}})
	if err != nil {
		defer giveBack()
		return Timing{}, m.failed(p.gen, err)
	}
	hang := time.NewTimer(m.counts.patience(m.sup.cfg.Cap))
	select {
	case r, ok := <-reply:
		hang.Stop()
		defer giveBack()
		t, err := m.outcome(p, r, ok)
		if err != nil {
			return t, m.failed(p.gen, err)
		}
		var shapes [][]int
		if m.shape.Open() {
			if shapes, err = m.shape.Shapes(r); err != nil {
				return t, m.failed(p.gen, err)
			}
		}
		take(views(p.arena.Bytes(), out, m.plan.Out, m.shape.Outputs), shapes)
		return t, nil
	case <-hang.C:
		defer giveBack()
		return Timing{}, m.failed(p.gen, m.hung(p))
	case <-ctx.Done():
		go func() { // ends with the answer or with the worker; asked counts it
			defer giveBack()
			defer hang.Stop()
			select {
			case r, ok := <-reply:
				_, _ = m.outcome(p, r, ok) // it has told the generation if that has to go
			case <-hang.C:
				_ = m.hung(p)
			}
		}()
		return Timing{}, ctx.Err()
	}
}

// outcome is what a reply, or its failing to come, says. A failure that is not the
// request's own is the end of the generation.
func (m *Model) outcome(p *place, r frame.Message, ok bool) (Timing, error) {
	if !ok {
		p.gen.fail(frame.ErrGone)
		return Timing{}, frame.ErrGone
	}
	t := Timing{time.Duration(r.A), time.Duration(r.B)}
	err := r.Err()
	if failure, ok := errors.AsType[*frame.Failure](err); ok && !m.sup.cfg.Engine.OfRequest(failure) {
		p.gen.fail(err)
	}
	return t, err
}

// hung ends a worker whose engine hangs. It does not wait for that, which may take
// for ever if the driver hangs, too: nobody is given a slot of it any more.
func (m *Model) hung(p *place) error {
	err := m.sup.cfg.Engine.Hung()
	p.gen.fail(err)
	return err
}

// failed is the error of an inference that the worker did not do.
func (m *Model) failed(g *generation, err error) error {
	if failure, ok := errors.AsType[*frame.Failure](err); ok {
		found := m.sup.cfg.Engine.Explain(failure, g.proc)
		if m.sup.cfg.Engine.OfRequest(failure) {
			return &Refused{found, err}
		}
		return &Down{Finding: found, Err: err}
	}
	g.fail(err)
	return &Down{Finding: m.sup.cfg.Engine.Gone(), Err: err}
}

// views are the tensors of one side of a slot.
func views(arena []byte, base int64, at []int64, tensors []frame.Tensor) [][]byte {
	all := make([][]byte, len(at))
	for i, off := range at {
		all[i] = arena[base+off:][:tensors[i].Bytes:tensors[i].Bytes]
	}
	return all
}
