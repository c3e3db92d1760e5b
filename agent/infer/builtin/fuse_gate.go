package builtin

import (
	"math"

	"primespark/agent/infer/builtin/kernel"
)

// fuseSiLU makes x*sigmoid(x) one activation, if c is such a product, and puts
// it into the node that gives x if that can be.
func (c *call) fuseSiLU() (bool, error) {
	x, s := c.in[0], c.in[1]
	if s.producer == nil || s.producer.op != "Sigmoid" {
		x, s = s, x
	}
	g := s.producer
	if g == nil || g.op != "Sigmoid" || g.dropped || len(g.in) != 1 || g.in[0] != x || s.uses != 1 || s.output {
		return false, nil
	}
	act := activation{kind: actSiLU, lo: -inf, hi: inf}
	return true, c.replace([]*node{g}, x, act)
}

// replace makes the call, and the nodes before it that it alone needs, one activation of x, and
// puts it into the node that gives x if that can be. x is used by the call and by one of them.
func (c *call) replace(nodes []*node, x *value, act activation) error {
	for _, n := range nodes {
		n.dropped = true
	}
	if n := c.last(x, 2); n != nil {
		n.fuse.act = act
		c.takeOver(x)
		return nil
	}
	c.in = []*value{x}
	return c.elementwiseActivation(act)
}

// fuseGate makes x*line(x) one activation, if c is such a product: a hard swish, as
// exporters write it that have no operator for it.
func (c *call) fuseGate() (bool, error) {
	for i, x := range c.in {
		line, nodes := lineOf(c.in[1-i], x)
		if len(nodes) > 0 && finite(line.Lo) && finite(line.Hi) && !x.constant {
			return true, c.replace(nodes, x, activation{kind: actGate, lo: -inf, hi: inf, gate: gate{line: line}})
		}
	}
	return false, nil
}

// lineOf is v as a line of x, and the nodes that work it out for nobody else; none if it is not
// such a line.
func lineOf(v, x *value) (kernel.Line, []*node) {
	const longest = 4 // nodes
	line := kernel.Line{Slope: 1, Lo: -inf, Hi: inf}
	var nodes []*node
	for v != x {
		n := v.producer
		if n == nil || n.dropped || n.line == nil || len(n.in) != 1 || v.constant || v.output || v.uses != 1 || len(nodes) == longest {
			return line, nil
		}
		var ok bool
		if line, ok = along(line, *n.line); !ok {
			return line, nil
		}
		nodes, v = append(nodes, n), n.in[0]
	}
	return line, nodes
}

// along is the line that comes of going along inner and then along outer, if that is one.
func along(outer, inner kernel.Line) (kernel.Line, bool) {
	switch {
	case inner.Lo == -inf && inner.Hi == inf:
		outer.Offset += outer.Slope * inner.Offset
		outer.Slope *= inner.Slope
		return outer, finite(outer.Offset) && finite(outer.Slope)
	case outer.Lo == -inf && outer.Hi == inf && outer.Slope > 0:
		at := func(y float32) float32 { return y*outer.Slope + outer.Offset }
		inner = kernel.Line{Slope: inner.Slope * outer.Slope, Offset: at(inner.Offset), Lo: at(inner.Lo), Hi: at(inner.Hi)}
		return inner, finite(inner.Offset) && finite(inner.Slope)
	}
	return outer, false
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// straight is a op b as a line of the operand that is no constant, nil unless the
// other is one number.
func straight(op kernel.Binary, a, b *value) *kernel.Line {
	line := kernel.Line{Slope: 1, Lo: -inf, Hi: inf}
	left := a.constant
	if left {
		a, b = b, a
	}
	if a.constant || !b.constant || b.len() != 1 || len(b.shape) > len(a.shape) {
		return nil
	}
	switch s := b.f[0]; {
	case op == kernel.Add:
		line.Offset = s
	case op == kernel.Sub && left:
		line.Slope, line.Offset = -1, s
	case op == kernel.Sub:
		line.Offset = -s
	case op == kernel.Mul:
		line.Slope = s
	case op == kernel.Div && !left:
		line.Slope = 1 / s
	default:
		return nil
	}
	if !finite(line.Slope) || !finite(line.Offset) {
		return nil
	}
	return &line
}

// fuseLine puts a straight line into the activation with a gate that gives x.
func (c *call) fuseLine(x *value, l kernel.Line) bool {
	if x.constant || x.output || x.home != nil || x.uses != 1 || x.producer == nil || x.producer.dropped {
		return false
	}
	n := x.producer
	if n.fuse.act.kind != actGate || len(n.out) != 1 || n.out[0] != x || l.Slope <= 0 {
		return false
	}
	g := n.fuse.act.gate
	line, ok := along(kernel.Line{Slope: l.Slope, Lo: -inf, Hi: inf}, g.line)
	shift := g.shift*l.Slope + l.Offset
	if !ok || !finite(line.Lo) || !finite(line.Hi) || !finite(shift) {
		return false
	}
	n.fuse.act.gate = gate{line, shift}
	c.takeOver(x)
	return true
}

// fuseFactor multiplies the channels of the node that gives one operand by the other, a constant,
// or divides them by it.
func (c *call) fuseFactor(op kernel.Binary, x, b *value) bool {
	n := c.last(x, 1)
	if n == nil || !b.constant || n.fuse.rows == 0 || !perChannel(x, b, n.fuse.rows) {
		return false
	}
	scale := make([]float32, n.fuse.rows)
	for i := range scale {
		scale[i] = b.f[i%len(b.f)]
		if op == kernel.Div {
			scale[i] = 1 / scale[i]
		}
		if !finite(scale[i]) {
			return false
		}
	}
	return c.fuseScale(x, scale, make([]float32, len(scale)))
}
