package builtin

import (
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/onnx"
)

// A guard says when the nodes of a branch run: if the condition, which is worked out
// before them, is as wanted, and the guard of the branch around them is open too.
type guard struct {
	cond  *value
	want  bool
	outer *guard
}

// open reports whether the nodes run; those without a guard always do.
func (g *guard) open() bool {
	for ; g != nil; g = g.outer {
		if (g.cond.i[0] != 0) != g.want {
			return false
		}
	}
	return true
}

// opIf compiles one branch if the condition is constant, as it often is when shapes are
// known, and otherwise both: their nodes get guards, and the results of the one that
// ran are copied to where the results of If are.
func opIf(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	cond := c.in[0]
	if cond.typ != onnx.Bool || cond.len() != 1 {
		return fmt.Errorf("a condition of type %v and shape %v", cond.typ, cond.shape)
	}
	if cond.constant {
		taken, err := c.branch(cond.i[0] != 0, nil)
		if err != nil {
			return err
		}
		for i, v := range taken {
			// A view, as the branch may give what is used elsewhere, too.
			if err := c.view(i, v, 0, v.shape...); err != nil {
				return err
			}
		}
		return nil
	}
	then, err := c.tried(cond, true)
	if err != nil {
		return err
	}
	other, err := c.tried(cond, false)
	if err != nil {
		return err
	}
	if then.err != nil && other.err != nil {
		return errors.Join(then.err, other.err)
	}
	return c.join(then, other)
}

// A branch is one of the two of an If, compiled.
type branch struct {
	guard *guard
	outs  []*value
	err   error // why it cannot work on inputs of these shapes
}

// tried compiles a branch that may be taken. One that is not made for the shapes of the
// inputs, such as that for another sample rate, does not keep the model from being
// loaded: an inference that would take it is refused.
func (c *call) tried(cond *value, want bool) (b branch, err error) {
	m := c.compiler
	b.guard = &guard{cond: cond, want: want, outer: m.guard}
	before := len(m.nodes)
	b.outs, b.err = c.branch(want, b.guard)
	switch {
	case b.err == nil:
		return b, nil
	case m.ctx.Err() != nil, errors.Is(b.err, infer.ErrMemory), errors.Is(b.err, errOperator):
		return b, b.err
	}
	m.nodes = m.nodes[:before]
	m.nodes = append(m.nodes, &node{
		op: "If", label: c.node.label, in: []*value{cond}, guard: b.guard, index: before, call: c,
		bind:   func() []step { return single(func() {}) },
		refuse: fmt.Errorf("the inputs ask for a part of the model that cannot work on their shapes: %w", b.err),
	})
	return b, nil
}

// join gives the results of an If, which are copied from the branch that ran.
func (c *call) join(then, other branch) error {
	if then.err != nil {
		then, other = other, then
	}
	for j, v := range then.outs {
		if other.err == nil {
			if w := other.outs[j]; v.typ != w.typ || !slices.Equal(v.shape, w.shape) {
				return fmt.Errorf("output %d is %v %v in one branch and %v %v in the other; run the model on another engine, or save it with the condition fixed",
					j, v.typ, v.shape, w.typ, w.shape)
			}
		}
		y, err := c.give(j, v.typ, v.shape...)
		if err != nil {
			return err
		}
		c.merge(y, v, then.guard)
		if other.err == nil {
			c.merge(y, other.outs[j], other.guard)
		}
	}
	c.emit(func() []step { return nil }) // of the node itself; the copies are nodes of their own
	return nil
}

// branch compiles a branch and returns its outputs. Its names end with it.
func (c *call) branch(which bool, g *guard) ([]*value, error) {
	name := "else_branch"
	if which {
		name = "then_branch"
	}
	a := c.src.Attr(name)
	if a == nil || a.Graph == nil {
		return nil, fmt.Errorf("no %s", name)
	}
	if len(a.Graph.Inputs) > 0 {
		return nil, errors.New(name + " has inputs")
	}
	if len(a.Graph.Outputs) < len(c.src.Out) {
		return nil, fmt.Errorf("%s has %d outputs, the node %d", name, len(a.Graph.Outputs), len(c.src.Out))
	}
	m := c.compiler
	outer, names := m.guard, len(m.scope)
	if g != nil {
		m.guard = g
	}
	defer func() {
		m.guard = outer
		for _, n := range m.scope[names:] {
			delete(m.values, n)
		}
		m.scope = m.scope[:names]
	}()
	if err := m.constants(a.Graph); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := m.addAll(a.Graph.Nodes); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var outs []*value
	for i, out := range a.Graph.Outputs[:len(c.src.Out)] {
		v := m.values[out.Name]
		if v == nil {
			return nil, fmt.Errorf("%s: output %d: nothing gives %q", name, i, out.Name)
		}
		outs = append(outs, v)
	}
	return outs, nil
}

// merge adds a node that copies what a branch gives to the result of its If.
func (c *call) merge(y, v *value, g *guard) {
	n := &node{op: "If", label: c.node.label, in: []*value{g.cond}, out: []*value{y}, index: len(c.nodes), guard: g}
	if !v.constant {
		n.in = append(n.in, v)
	}
	n.bind = func() []step {
		return chunked(y.len(), func(from, to int) {
			if y.isFloat() {
				copy(y.f[from:to], v.f[from:to])
			} else {
				copy(y.i[from:to], v.i[from:to])
			}
		})
	}
	n.call = c
	c.compiler.nodes = append(c.compiler.nodes, n)
}
