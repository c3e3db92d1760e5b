package builtin

import (
	"math"
	"slices"
)

// fusable is what a convolution (or a matrix product) can take in of the nodes
// behind it: y = activation(conv(x)*scale + shift + shortcut).
type fusable struct {
	can      bool
	rows     int       // channels of the output; scaling and shifting go by channel
	weights  *value    // constant, or no scaling
	own      bool      // the weights' elements are the node's own, not those of the constant
	bias     []float32 // the node's own; nil when it is not a constant
	shortcut *value
	act      activation
}

// last returns the node that gives v, if v is needed by nobody but the node that
// is being compiled, so that it can be changed; users is how many uses that node makes.
func (c *call) last(v *value, users int) *node {
	if v == nil || v.constant || v.output || v.home != nil || v.uses != users || v.producer == nil || v.producer.dropped {
		return nil
	}
	n := v.producer
	if !n.fuse.can || n.fuse.act.kind != actNone || len(n.out) != 1 || n.out[0] != v {
		return nil
	}
	return n
}

// takeOver makes the output of the call that of n, which has fused it.
func (c *call) takeOver(v *value) {
	v.uses = 0 // set anew by define
	c.out = []*value{v}
}

// fuseActivation puts an activation into the node that gives the input.
func (c *call) fuseActivation(a activation) bool {
	n := c.last(c.in[0], 1)
	if n == nil {
		return false
	}
	n.fuse.act = a
	c.takeOver(c.in[0])
	return true
}

// fuseScale multiplies each channel of the node that gives x by scale and adds shift.
func (c *call) fuseScale(x *value, scale, shift []float32) bool {
	n := c.last(x, 1)
	if n == nil || n.fuse.weights == nil || n.fuse.bias == nil || n.fuse.shortcut != nil || len(scale) != n.fuse.rows {
		return false
	}
	w, bias := n.fuse.weights, n.fuse.bias
	if !n.fuse.own {
		if c.charge(4*int64(len(w.f))) != nil {
			return false // whatever is charged next is refused
		}
		w.f, n.fuse.own = slices.Clone(w.f), true
	}
	per := len(w.f) / n.fuse.rows
	for r := range bias {
		c.kernels().Affine(w.f[r*per:(r+1)*per], w.f[r*per:(r+1)*per], scale[r], 0, -inf, inf)
		bias[r] = bias[r]*scale[r] + shift[r]
	}
	c.takeOver(x)
	return true
}

// fuseAdd puts the addition of b into the node that gives a: as part of the bias, or
// as a shortcut, which must have been computed before that node.
func (c *call) fuseAdd(a, b *value) bool {
	n := c.last(a, 1)
	if n == nil {
		return false
	}
	if b.constant && n.fuse.bias != nil && n.fuse.shortcut == nil && perChannel(a, b, n.fuse.rows) {
		for i := range n.fuse.bias {
			n.fuse.bias[i] += b.f[i%len(b.f)]
		}
		c.takeOver(a)
		return true
	}
	if b.constant || b.typ != a.typ || n.fuse.shortcut != nil || !sameShape(a, b) || !c.before(b, n) {
		return false
	}
	n.fuse.shortcut = b
	n.in = append(n.in, b)
	c.takeOver(a)
	return true
}

// perChannel reports whether b is one number, or one for each of the channels of
// a, which are dimension 1, or of a matrix the last one.
func perChannel(a, b *value, rows int) bool {
	if len(b.shape) > len(a.shape) {
		return false
	}
	if b.len() == 1 {
		return true
	}
	channel := len(a.shape) - 1 // counted from the end
	return len(a.shape) > 2 && b.len() == rows && len(b.shape) >= channel && dimFromEnd(b.shape, channel) == rows
}

// before reports whether v is there when n runs.
func (c *call) before(v *value, n *node) bool {
	root, _ := v.root()
	if root.producer == nil {
		return true
	}
	return root.producer.index < n.index
}

func opBatchNorm(c *call) error {
	if err := c.needFloats(5, 5); err != nil {
		return err
	}
	x := c.in[0]
	channels, err := channelsOf(x)
	if err != nil {
		return err
	}
	if c.int("training_mode", 0) != 0 {
		return errTraining
	}
	for _, v := range c.in[1:] {
		if v.len() != channels {
			return errChannels(v, channels)
		}
	}
	if err := c.charge(8 * int64(channels)); err != nil {
		return err
	}
	eps := float64(c.float("epsilon", 1e-5))
	scale, shift := make([]float32, channels), make([]float32, channels)
	prepare := func() {
		for i := range scale {
			k := float64(c.in[1].f[i]) / math.Sqrt(float64(c.in[4].f[i])+eps)
			scale[i], shift[i] = float32(k), float32(float64(c.in[2].f[i])-float64(c.in[3].f[i])*k)
		}
	}
	fixed := !slices.ContainsFunc(c.in[1:], func(v *value) bool { return !v.constant })
	if fixed {
		prepare()
		if c.fuseScale(x, scale, shift) {
			return nil
		}
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	set, planes := c.kernels(), x.shape[0]*channels
	c.emit(func() []step {
		size := x.len() / planes
		steps := []step{{planes, func(p int, _ *worker) {
			set.Affine(y.f[p*size:(p+1)*size], x.f[p*size:], scale[p%channels], shift[p%channels], -inf, inf)
		}}}
		if !fixed {
			steps = slices.Concat(single(prepare), steps)
		}
		return steps
	})
	return nil
}
