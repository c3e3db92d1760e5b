package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// options are what a Backend gives to its sessions.
type options struct {
	kernels kernel.Set
	threads int
	memory  int64            // bytes
	shapes  map[string][]int // of inputs, for their open dimensions
}

// A compiler turns a model into nodes whose shapes are all known.
type compiler struct {
	ctx     context.Context // of the Load that is under way
	options options
	opset   int64
	values  map[string]*value
	uses    map[string]int // of a name, in the model
	nodes   []*node
	inputs  []*value
	outputs []*value
	work    int64    // operations of one inference
	fixed   int64    // bytes charged so far
	weights int64    // bytes of constants among them
	folded  int      // elements worked out while compiling
	guard   *guard   // of the branch that is being compiled
	scope   []string // names that it has defined so far
}

// Opsets of the operators that are implemented. Older versions of some of them
// mean other things.
const minOpset, maxOpset = 7, 21

func compile(ctx context.Context, m *onnx.Model, o options) (*compiler, error) {
	c := &compiler{ctx: ctx, options: o, opset: m.Opset[""], values: map[string]*value{}, uses: map[string]int{}}
	if c.opset < minOpset || c.opset > maxOpset {
		// Files made by exporters for another domain alone name no opset of ONNX's own.
		return nil, fmt.Errorf("opset %d is not supported, only %d to %d; convert the model", c.opset, minOpset, maxOpset)
	}
	c.countUses(&m.Graph)
	if err := c.constants(&m.Graph); err != nil {
		return nil, err
	}
	if err := c.openInputs(&m.Graph); err != nil {
		return nil, err
	}
	if err := c.addAll(m.Graph.Nodes); err != nil {
		return nil, err
	}
	return c, c.closeOutputs(&m.Graph)
}

// addAll compiles nodes.
func (c *compiler) addAll(nodes []onnx.Node) error {
	for i := range nodes {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		n := &nodes[i]
		if err := c.add(n); err != nil {
			return fmt.Errorf("node %d (%s, %s, opset %d): %w", i, n.Op, n.Label(), c.opset, err)
		}
	}
	return nil
}

// countUses counts what reads each name, in the branches too.
func (c *compiler) countUses(g *onnx.Graph) {
	for _, n := range g.Nodes {
		for _, name := range n.In {
			c.uses[name]++
		}
		for _, a := range n.Attrs {
			if a.Graph != nil {
				c.countUses(a.Graph)
			}
		}
	}
	for _, v := range g.Outputs {
		c.uses[v.Name]++
	}
}

func (c *compiler) constants(g *onnx.Graph) error {
	for i, t := range g.Inits {
		v, err := c.constant(t)
		if err != nil {
			return fmt.Errorf("initializer %d: %w", i, err)
		}
		if err := c.define(t.Name, v); err != nil {
			return fmt.Errorf("initializer %d: %w", i, err)
		}
	}
	return nil
}

// constant decodes a tensor of the file.
func (c *compiler) constant(t *onnx.Tensor) (v *value, err error) {
	if elementType(t.Type) == "" {
		return nil, fmt.Errorf("%s has elements of %v, which are not supported", t.Name, t.Type)
	}
	if err := checked(t.Shape); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	v = &value{typ: t.Type, shape: t.Shape, constant: true}
	if err := c.chargeConstant(v); err != nil {
		return nil, err
	}
	if t.Type.IsFloat() {
		v.f, err = t.Float32s()
	} else {
		v.i, err = t.Int64s()
	}
	return v, err
}

// chargeConstant is charge for the elements of a constant.
func (c *compiler) chargeConstant(v *value) error {
	size := 8 * int64(v.len())
	if v.isFloat() {
		size /= 2
	}
	c.weights += size
	return c.charge(size)
}

// define gives a value its name, which must be new: a graph is in SSA form.
func (c *compiler) define(name string, v *value) error {
	if name == "" {
		return errors.New("a tensor without a name")
	}
	if c.values[name] != nil {
		return fmt.Errorf("%q is defined twice", name)
	}
	v.name, v.uses = name, c.uses[name]
	c.values[name] = v
	c.scope = append(c.scope, name)
	return nil
}

// openInputs makes the inputs of the graph. Open dimensions are as they were asked for;
// otherwise a first one that is open is the batch, and becomes 1.
func (c *compiler) openInputs(g *onnx.Graph) error {
	for i, in := range g.Inputs {
		if c.values[in.Name] != nil {
			continue // an initializer, listed as older files do
		}
		v := &value{typ: in.Type}
		if !in.Shaped || elementType(in.Type) == "" {
			return fmt.Errorf("input %d (%s) has no shape, or elements of %v", i, in.Name, in.Type)
		}
		asked := c.options.shapes[in.Name]
		if len(in.Dims) == 0 && slices.Equal(asked, []int{1}) {
			v.outside, asked = asked, nil // a manifest has no scalars
		}
		var err error
		if v.shape, err = bind(in.Dims, asked); err != nil {
			return fmt.Errorf("input %d (%s): %w", i, in.Name, err)
		}
		if err := checked(v.shape); err != nil {
			return fmt.Errorf("input %d (%s): %w", i, in.Name, err)
		}
		if err := c.define(in.Name, v); err != nil {
			return fmt.Errorf("input %d: %w", i, err)
		}
		c.inputs = append(c.inputs, v)
	}
	return nil
}

// bind gives an input of the file's dimensions the shape that was asked for, nil for none.
func bind(dims []onnx.Dim, asked []int) ([]int, error) {
	if asked != nil && len(asked) != len(dims) {
		return nil, fmt.Errorf("it has %d dimensions, and the shape asked for is %v", len(dims), asked)
	}
	shape := make([]int, len(dims))
	for d, n := range dims {
		switch {
		case n == -1 && asked != nil:
			n = onnx.Dim(asked[d])
		case n == -1 && d == 0:
			n = 1
		case asked != nil && asked[d] != int(n):
			return nil, fmt.Errorf("dimension %d is %d in the file, and the shape asked for is %v", d, n, asked)
		}
		if n < 1 {
			return nil, fmt.Errorf("dimension %d is open or 0; give the input's shape in the manifest, or save the model with a fixed one", d)
		}
		shape[d] = int(n)
	}
	return shape, nil
}

func (c *compiler) closeOutputs(g *onnx.Graph) error {
	if len(g.Outputs) == 0 {
		return errors.New("the graph has no outputs")
	}
	for i, out := range g.Outputs {
		v := c.values[out.Name]
		if v == nil {
			return fmt.Errorf("output %d: nothing gives %q", i, out.Name)
		}
		if elementType(v.typ) == "" {
			return fmt.Errorf("output %d (%s) has elements of %v", i, out.Name, v.typ)
		}
		v.output = true
		c.outputs = append(c.outputs, v)
	}
	return nil
}

// add compiles one node.
func (c *compiler) add(src *onnx.Node) error {
	op := operator(src.Op)
	if op == nil || src.Domain != "" {
		return errUnsupported(src)
	}
	k := &call{compiler: c, src: src, node: &node{op: src.Op, label: src.Label()}}
	for i, name := range src.In {
		v := c.values[name]
		if v == nil && name != "" {
			return fmt.Errorf("nothing before it gives input %d, %q", i, name)
		}
		if v != nil && v.len() == 0 && !takesEmpty[src.Op] {
			return fmt.Errorf("input %d (%s) has no elements", i, name)
		}
		k.in = append(k.in, v)
	}
	for _, a := range src.Attrs {
		if a.Foreign || a.Graph != nil && src.Op != "If" {
			return fmt.Errorf("attribute %s is a sub-graph or a list of texts, which is not supported", a.Name)
		}
	}
	if err := op(k); err != nil {
		return err
	}
	for i, name := range src.Out {
		if name == "" {
			continue
		}
		if i >= len(k.out) || k.out[i] == nil {
			return fmt.Errorf("output %d (%s) is not supported", i, name)
		}
	}
	return c.adopt(k)
}

// adopt takes the outputs of a call into the graph, computing them at once if
// all that they depend on is constant.
func (c *compiler) adopt(k *call) error {
	n := k.node
	n.in = slices.DeleteFunc(slices.Clone(k.in), func(v *value) bool { return v == nil || v.constant })
	for _, v := range k.out {
		if v != nil && v.home == nil && !v.constant && v.producer == n {
			n.out = append(n.out, v)
		}
	}
	if err := c.charge(n.keeps + nodeBytes); err != nil {
		return err
	}
	if len(n.out) > 0 {
		folded, err := c.fold(k)
		if err != nil {
			return err
		}
		if !folded {
			if err := c.toil(k); err != nil {
				return err
			}
			n.index, n.call, n.guard = len(c.nodes), k, c.guard
			c.nodes = append(c.nodes, n)
		}
	}
	for i, name := range k.src.Out {
		if name == "" {
			continue
		}
		if c.values[name] == k.out[i] {
			continue
		}
		if err := c.define(name, k.out[i]); err != nil {
			return err
		}
	}
	return nil
}

// foldLimit bounds the work that a model can make of its constants at load time,
// in elements read and written.
const foldLimit = 1 << 22

// fold computes the outputs now if all inputs are constant and it is cheap.
func (c *compiler) fold(k *call) (bool, error) {
	n := k.node
	cost := 0
	for _, v := range k.in {
		if v != nil {
			if !v.constant {
				return false, nil
			}
			cost += v.len()
		}
	}
	for _, v := range n.out {
		cost += v.len()
	}
	if n.macs > 0 || n.heavy || n.temp != nil {
		return false, nil
	}
	if !n.weights { // those are bounded by the memory that they are charged
		if c.folded+cost > foldLimit {
			return false, nil
		}
		c.folded += cost
	}
	for _, v := range n.out {
		if err := c.chargeConstant(v); err != nil {
			return false, err
		}
		v.alloc()
		v.constant = true
	}
	w := worker{scratch: make([]float32, max(n.scratch, minScratch)+slack)}
	for _, s := range n.bind() {
		for task := range s.tasks {
			s.run(task, &w)
		}
	}
	return true, nil
}
