package builtin

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// A recurrence is an LSTM, a GRU or an RNN: a layer that goes through a sequence and
// carries a state along. Its gates are rows of the weights, hidden rows each.
type recurrence struct {
	length, batch, width int // of the input: steps, sequences, numbers in each step
	hidden, gates        int
	directions           int
	backward             bool // the one direction there is goes from the end
	batchFirst           bool // layout 1

	x, w, r          *value
	bias, lens, h, c *value // nil for what is left out
	peep             *value
	y, yh, yc        *value // nil for what nobody wants

	act       []func(float64) float64 // those of each direction, one behind the other
	clip      float64
	coupled   bool // the LSTM's forget gate is 1 minus its input gate
	resetLast bool // the GRU's reset gate applies behind the product
	advance   func(r *recurrence, d int, s *rnnState)
}

// An rnnState is what one sequence works in, in one direction.
type rnnState struct {
	x, h  []float32 // products with the weights of the input and of the state, with bias; a number for each row
	state []float32 // H of the step before, and then of this
	cell  []float32 // C
	aside []float32
}

func opLSTM(c *call) error {
	return c.recur(&recurrence{gates: 4, advance: (*recurrence).lstm, coupled: c.int("input_forget", 0) != 0}, "Sigmoid", "Tanh", "Tanh")
}

func opGRU(c *call) error {
	return c.recur(&recurrence{gates: 3, advance: (*recurrence).gru, resetLast: c.int("linear_before_reset", 0) != 0}, "Sigmoid", "Tanh")
}

func opRNN(c *call) error {
	return c.recur(&recurrence{gates: 1, advance: (*recurrence).rnn}, "Tanh")
}

// curves are the activations that a recurrence may have.
var curves = map[string]func(float64) float64{
	"Sigmoid":  func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	"Tanh":     math.Tanh,
	"Relu":     func(x float64) float64 { return max(x, 0) },
	"Softsign": softsign,
	"Softplus": softplus,
}

func (c *call) recur(r *recurrence, usual ...string) error {
	lstm := r.gates == 4
	if most := map[bool]int{true: 8, false: 6}[lstm]; len(c.in) < 3 || len(c.in) > most {
		return fmt.Errorf("%d inputs, want 3 to %d", len(c.in), most)
	}
	for i, v := range c.in {
		if v != nil && v.isFloat() == (i == 4) || v == nil && i < 3 {
			return fmt.Errorf("input %d is left out, or not of the type it should have", i)
		}
	}
	r.x, r.w, r.r = c.in[0], c.in[1], c.in[2]
	r.bias, r.lens, r.h = c.input(3), c.input(4), c.input(5)
	if lstm {
		r.c, r.peep = c.input(6), c.input(7)
	}
	if err := r.direct(c, usual); err != nil {
		return err
	}
	if err := r.measure(c); err != nil {
		return err
	}
	if r.clip = float64(c.float("clip", 0)); r.clip < 0 || r.clip != r.clip {
		return fmt.Errorf("clip %v", r.clip)
	}
	return r.emit(c)
}

// direct reads the direction and the activations.
func (r *recurrence) direct(c *call, usual []string) error {
	r.directions = 1
	switch d := c.str("direction", "forward"); d {
	case "forward":
	case "reverse":
		r.backward = true
	case "bidirectional":
		r.directions = 2
	default:
		return fmt.Errorf("direction %q", d)
	}
	names := slices.Repeat(usual, r.directions)
	if a := c.src.Attr("activations"); a != nil {
		if len(a.Strs) != len(names) {
			return fmt.Errorf("%d activations, want %d", len(a.Strs), len(names))
		}
		names = a.Strs
	}
	for _, name := range names {
		f := curves[name]
		if f == nil {
			return fmt.Errorf("activation %q is not supported here", name)
		}
		r.act = append(r.act, f)
	}
	return nil
}

// measure checks the shapes.
func (r *recurrence) measure(c *call) error {
	if len(r.x.shape) != 3 || len(r.w.shape) != 3 || len(r.r.shape) != 3 {
		return fmt.Errorf("shapes %v, %v and %v", r.x.shape, r.w.shape, r.r.shape)
	}
	r.length, r.batch, r.width = r.x.shape[0], r.x.shape[1], r.x.shape[2]
	r.batchFirst = c.int("layout", 0) != 0
	if r.batchFirst {
		r.length, r.batch = r.batch, r.length
	}
	r.hidden = r.r.shape[2]
	rows := r.gates * r.hidden
	if n := c.int("hidden_size", r.hidden); n != r.hidden {
		return fmt.Errorf("hidden_size %d for weights of shape %v", n, r.r.shape)
	}
	first := []int{r.directions, r.batch, r.hidden}
	if r.batchFirst {
		first = []int{r.batch, r.directions, r.hidden}
	}
	for _, check := range []struct {
		v    *value
		want []int
	}{
		{r.w, []int{r.directions, rows, r.width}},
		{r.r, []int{r.directions, rows, r.hidden}},
		{r.bias, []int{r.directions, 2 * rows}},
		{r.lens, []int{r.batch}},
		{r.h, first},
		{r.c, first},
		{r.peep, []int{r.directions, 3 * r.hidden}},
	} {
		if check.v != nil && !slices.Equal(check.v.shape, check.want) {
			return fmt.Errorf("%s has shape %v, want %v", check.v.name, check.v.shape, check.want)
		}
	}
	return nil
}

func (r *recurrence) emit(c *call) (err error) {
	whole, last := []int{r.length, r.directions, r.batch, r.hidden}, []int{r.directions, r.batch, r.hidden}
	if r.batchFirst {
		whole, last = []int{r.batch, r.length, r.directions, r.hidden}, []int{r.batch, r.directions, r.hidden}
	}
	for i, out := range []**value{&r.y, &r.yh, &r.yc} {
		if i >= len(c.src.Out) || c.src.Out[i] == "" {
			continue
		}
		if i == 2 && r.gates != 4 {
			return errors.New("output 2 is an LSTM's alone")
		}
		shape := last
		if i == 0 {
			shape = whole
		}
		if *out, err = c.give(i, r.x.typ, shape...); err != nil {
			return err
		}
	}
	rows := r.gates * r.hidden
	c.node.scratch = 2*rows + 3*r.hidden
	c.node.heavy = true
	c.node.macs = int64(r.length) * int64(r.batch) * (int64(r.w.len()) + int64(r.r.len()))
	c.emit(func() []step {
		return []step{{r.directions * r.batch, func(task int, w *worker) { r.run(task/r.batch, task%r.batch, w) }}}
	})
	return nil
}

// run takes one sequence of the batch through in one direction.
func (r *recurrence) run(d, b int, w *worker) {
	rows, n := r.gates*r.hidden, r.hidden
	at := w.scratch
	s := &w.rnn
	*s = rnnState{x: at[:rows], h: at[rows : 2*rows], state: at[2*rows:][:n], cell: at[2*rows+n:][:n], aside: at[2*rows+2*n:][:n]}
	begin := (d*r.batch + b) * n // of this sequence in tensors of a state for each
	if r.batchFirst {
		begin = (b*r.directions + d) * n
	}
	clear(s.state)
	clear(s.cell)
	if r.h != nil {
		copy(s.state, r.h.f[begin:])
	}
	if r.c != nil {
		copy(s.cell, r.c.f[begin:])
	}
	steps := r.length
	if r.lens != nil {
		steps = int(min(max(r.lens.i[b], 0), int64(r.length)))
	}
	for i := range r.length {
		if w.stopped() {
			return
		}
		t := i
		if (r.backward || d == 1) && i < steps {
			t = steps - 1 - i
		}
		x, y := (t*r.batch+b)*r.width, ((t*r.directions+d)*r.batch+b)*n
		if r.batchFirst {
			x, y = (b*r.length+t)*r.width, ((b*r.length+t)*r.directions+d)*n
		}
		if i >= steps { // behind the end of a sequence that is shorter than others
			if r.y != nil {
				clear(r.y.f[y : y+n])
			}
			continue
		}
		r.multiply(d, r.x.f[x:x+r.width], s)
		r.advance(r, d, s)
		if r.y != nil {
			copy(r.y.f[y:y+n], s.state)
		}
	}
	if r.yh != nil {
		copy(r.yh.f[begin:], s.state)
	}
	if r.yc != nil {
		copy(r.yc.f[begin:], s.cell)
	}
}

// multiply works out the products of a step.
func (r *recurrence) multiply(d int, x []float32, s *rnnState) {
	rows := r.gates * r.hidden
	w, u := r.w.f[d*rows*r.width:], r.r.f[d*rows*r.hidden:]
	for i := range rows {
		s.x[i] = dot(w[i*r.width:(i+1)*r.width], x)
		s.h[i] = dot(u[i*r.hidden:(i+1)*r.hidden], s.state)
	}
	if r.bias != nil {
		b := r.bias.f[d*2*rows : (d+1)*2*rows]
		for i := range rows {
			s.x[i] += b[i]
			s.h[i] += b[rows+i]
		}
	}
}

// dot adds in four places at once, as the processor would rather not wait for each sum.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + (s2 + s3)
}

// clipped holds a number between minus and plus the clip, if there is one.
func (r *recurrence) clipped(v float64) float64 {
	if r.clip == 0 {
		return v
	}
	return min(max(v, -r.clip), r.clip)
}

// lstm has its gates in the order input, output, forget, cell.
func (r *recurrence) lstm(d int, s *rnnState) {
	n := r.hidden
	f, g, h := r.act[3*d], r.act[3*d+1], r.act[3*d+2]
	gate := func(which, i int, cell float32) float64 {
		v := float64(s.x[which*n+i]) + float64(s.h[which*n+i])
		if r.peep != nil {
			v += float64(r.peep.f[(3*d+which)*n+i]) * float64(cell)
		}
		return f(r.clipped(v))
	}
	for i := range n {
		before := s.cell[i]
		in := gate(0, i, before)
		forget := 1 - in
		if !r.coupled {
			forget = gate(2, i, before)
		}
		fresh := g(r.clipped(float64(s.x[3*n+i]) + float64(s.h[3*n+i])))
		s.cell[i] = float32(forget*float64(before) + in*fresh)
		s.state[i] = float32(gate(1, i, s.cell[i]) * h(float64(s.cell[i])))
	}
}

// gru has its gates in the order update, reset, hidden.
func (r *recurrence) gru(d int, s *rnnState) {
	n := r.hidden
	f, g := r.act[2*d], r.act[2*d+1]
	if !r.resetLast {
		for i := range n {
			reset := f(r.clipped(float64(s.x[n+i]) + float64(s.h[n+i])))
			s.aside[i] = float32(reset) * s.state[i]
		}
	}
	rows := 3 * n
	for i := range n {
		var from float64
		if r.resetLast {
			from = f(r.clipped(float64(s.x[n+i])+float64(s.h[n+i]))) * float64(s.h[2*n+i])
		} else {
			at := (d*rows + 2*n + i) * n
			from = float64(dot(r.r.f[at:at+n], s.aside))
			if r.bias != nil {
				from += float64(r.bias.f[d*2*rows+rows+2*n+i])
			}
		}
		fresh := g(r.clipped(float64(s.x[2*n+i]) + from))
		update := f(r.clipped(float64(s.x[i]) + float64(s.h[i])))
		s.state[i] = float32((1-update)*fresh + update*float64(s.state[i]))
	}
}

func (r *recurrence) rnn(d int, s *rnnState) {
	for i := range s.state {
		s.state[i] = float32(r.act[d](r.clipped(float64(s.x[i]) + float64(s.h[i]))))
	}
}
