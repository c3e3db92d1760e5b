package models

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"primespark/agent/infer"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// A joiner runs requests of several clients in one run of the engine (`batching` in the
// manifest). Shapes are fixed when a model is loaded, so it has a session for each size
// of a run.
type joiner struct {
	sizes []size // ascending; the first is the model's own session
	joint *infer.Joint
}

// A size is a session for so many inferences at a time.
type size struct {
	n       int
	session infer.Session
	cost    time.Duration // of a run, when it was loaded
	buffers *sync.Pool    // of *buffers
}

func newSize(n int, s infer.Session, cost time.Duration) size {
	return size{n, s, cost, &sync.Pool{New: func() any { return new(buffers) }}}
}

// A ride is a request in a run.
type ride struct {
	in, out []tensor.Tensor
	begun   time.Time
	took    time.Duration
	run     infer.Run
	failed  error // of the engine, as opposed to the queue's word
}

// most is how many inferences a request, and a run, of l may have.
func (l *live) most() int {
	if l.joiner == nil {
		return 1
	}
	return l.joiner.joint.Most
}

// join makes l join requests, if its manifest wants it to and its engine can and profits
// from it. What speaks against it is in the log: the model serves as well without. Room
// is how many bytes that may take; it returns how many it does.
func (r *Registry) join(ctx context.Context, l *live, b infer.Backend, v model.Variant, room int64) (memory int64) {
	if l.Batching == nil {
		return 0
	}
	own := l.Inputs[0].Shape[0]
	j := &joiner{sizes: []size{newSize(own, l.session, 0)}}
	if own == 1 {
		var err error
		if memory, err = j.load(ctx, l, b, v, room); err != nil {
			r.cfg.Log.Warn("requests are not joined", "model", l.Name, "engine", l.engine, "err", err,
				"remedy", "give the model's file an open first dimension and room in models.memory, or leave batching out of the manifest")
		}
		if len(j.sizes) == 1 {
			return 0
		}
	}
	j.joint = &infer.Joint{
		Most: j.sizes[len(j.sizes)-1].n, Take: j.take, Enough: j.enough, Delay: l.Batching.Delay.D(),
		Begin: func() func() { l.users.stay(); return l.users.leave },
		Run:   l.ride,
	}
	l.joiner = j
	return memory
}

// load makes the sessions of the manifest's sizes. An error says why there are not all
// of them.
func (j *joiner) load(ctx context.Context, l *live, b infer.Backend, v model.Variant, room int64) (memory int64, err error) {
	shaper, ok := b.(infer.Shaper)
	if !ok {
		return 0, fmt.Errorf("the engine %s takes models as their files are", l.engine)
	}
	proof, err := newTrial(ctx, l)
	if err != nil {
		return 0, err
	}
	j.sizes[0].cost = proof.cost
	file := l.networks[v.File]
	for _, want := range l.Batching.Sizes() {
		s, err := shaper.Shaped(widened(shapes(l.Inputs), want), nil).Load(ctx, file.file, file.size, max(1, min(room-memory, l.allowance(v))))
		if err != nil {
			return memory, fmt.Errorf("a run of %d: %w", want, err)
		}
		need, err := weigh(s)
		if err == nil && need > room-memory {
			err = infer.ErrMemory
		}
		var cost time.Duration
		if err == nil {
			cost, err = proof.compare(ctx, s, want)
		}
		if err == nil && cost >= time.Duration(want)*proof.cost {
			err = fmt.Errorf("it takes %v, and %d singly %v", cost, want, time.Duration(want)*proof.cost)
		}
		if err != nil {
			return memory, errors.Join(fmt.Errorf("a run of %d: %w", want, err), s.Close())
		}
		memory += need
		j.sizes = append(j.sizes, newSize(want, s, cost))
	}
	return memory, nil
}

// widened are specs with another first dimension.
func widened(specs []tensor.Spec, n int) []tensor.Spec {
	wide := slices.Clone(specs)
	for i, s := range wide {
		wide[i].Shape = slices.Clone(s.Shape)
		wide[i].Shape[0] = n
	}
	return wide
}

// fit is the session that does so many inferences, or the largest one, in the least time
// for each; rows are how many it does.
func (j *joiner) fit(waiting int) (s *size, rows int) {
	best := math.MaxFloat64
	for i := range j.sizes {
		n := min(j.sizes[i].n, waiting)
		if each := float64(j.sizes[i].cost) / float64(n); s == nil || each < best {
			s, rows, best = &j.sizes[i], n, each
		}
	}
	return s, rows
}

func (j *joiner) take(waiting int) int { _, rows := j.fit(waiting); return rows }

// enough reports whether so many fill a session that the manifest wants filled.
func (j *joiner) enough(waiting int) bool {
	return waiting >= j.sizes[min(1, len(j.sizes)-1)].n
}

// holding is the session for a run of so many, which may be more than fit would take.
func (j *joiner) holding(rows int) *size {
	if s, n := j.fit(rows); n == rows {
		return s
	}
	for i := range j.sizes {
		if j.sizes[i].n >= rows {
			return &j.sizes[i]
		}
	}
	return &j.sizes[len(j.sizes)-1]
}

// fill makes the tensors of a session, unless they are there.
func (b *buffers) fill(s infer.Session) (err error) {
	if b.in == nil {
		if b.in, err = blank(s.Inputs()); err != nil {
			return err
		}
	}
	if b.out == nil {
		b.out, err = blank(s.Outputs())
	}
	return err
}

// ride does one run for all.
func (l *live) ride(ctx context.Context, all []*infer.Member) error {
	rows := 0
	for _, m := range all {
		rows += m.Rows
	}
	s := l.joiner.holding(rows)
	begin := time.Now()
	if len(all) == 1 && rows == s.n { // nothing to put together
		one := all[0].Item.(*ride)
		one.begun, one.run = begin, infer.Run{Size: rows, First: true}
		one.took, one.failed = l.work(ctx, s, one.in, one.out)
		return one.failed
	}
	b := s.buffers.Get().(*buffers)
	defer s.buffers.Put(b)
	if err := b.fill(s.session); err != nil {
		return err
	}
	at := 0
	for _, m := range all {
		m.Stay(func() {
			one := m.Item.(*ride)
			one.begun = begin
			for i, t := range b.in {
				copy(t.Data[at*len(t.Data)/s.n:], one.in[i].Data)
			}
		})
		at += m.Rows
	}
	for _, t := range b.in {
		clear(t.Data[at*len(t.Data)/s.n:])
	}
	took, err := l.work(ctx, s, b.in, b.out)
	at = 0
	first := true // of those who are still there
	for _, m := range all {
		m.Stay(func() {
			one := m.Item.(*ride)
			one.took, one.failed, one.run = took, err, infer.Run{Size: rows, First: first}
			first = false
			for i, t := range b.out {
				copy(one.out[i].Data, t.Data[at*len(t.Data)/s.n:])
			}
		})
		at += m.Rows
	}
	return err
}

// rows is how many inferences the inputs of a request are.
func (l *live) rows(in []tensor.Tensor) (int, error) {
	if l.joiner == nil {
		return 1, nil
	}
	n := in[0].Shape[0]
	for _, t := range in {
		if t.Shape[0] != n {
			return 0, problem.New(problem.Invalid, "Give all inputs the same first dimension.",
				"The input %q has %d inferences, and %q has %d.", in[0].Name, n, t.Name, t.Shape[0])
		}
	}
	if n < 1 || n > l.most() {
		return 0, problem.New(problem.Invalid, fmt.Sprintf("Send 1 to %d in a request.", l.most()),
			"The first dimension of the inputs of model %s is %d.", l.Name, n)
	}
	return n, nil
}

// inputs and outputs are the session's for so many inferences; -1 for any number, which
// is what callers of a model that joins are told.
func (l *live) inputs(rows int) []tensor.Spec  { return l.wide(l.session.Inputs(), rows) }
func (l *live) outputs(rows int) []tensor.Spec { return l.wide(l.session.Outputs(), rows) }

func (l *live) wide(specs []tensor.Spec, rows int) []tensor.Spec {
	if l.joiner == nil {
		return slices.Clone(specs)
	}
	return widened(specs, rows)
}
