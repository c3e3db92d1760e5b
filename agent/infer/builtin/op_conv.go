package builtin

import (
	"fmt"
	"slices"
)

// A conv is a convolution on its way to its steps.
type conv struct {
	*window
	c      *call
	node   *node
	x      *value
	weight *value
	shift  *value // nil for none, or when it is constant: then it is in node.fuse
	y      *value
	out    int // channels of the result
	groups int
}

func opConv(c *call) error {
	if err := c.needFloats(2, 3); err != nil {
		return err
	}
	x, w, b := c.in[0], c.in[1], c.input(2)
	if len(w.shape) < 3 || len(w.shape) != len(x.shape) {
		return fmt.Errorf("weights of shape %v for an image of shape %v", w.shape, x.shape)
	}
	g, err := c.window2d(x, w.shape[2:], false)
	if err != nil {
		return err
	}
	k := &conv{window: g, c: c, node: c.node, x: x, weight: w, out: w.shape[0], groups: c.int("group", 1)}
	if k.groups < 1 || g.channels%k.groups != 0 || k.out%k.groups != 0 || w.shape[1] != g.channels/k.groups {
		return fmt.Errorf("weights of shape %v in %d groups for %d channels", w.shape, k.groups, g.channels)
	}
	if b != nil && b.len() != k.out {
		return errChannels(b, k.out)
	}
	if k.y, err = c.give(0, x.typ, g.result(k.out)...); err != nil {
		return err
	}
	c.node.macs = int64(k.y.len()) * int64(product(w.shape[1:]))
	if err := k.fusable(w, b, k.out); err != nil {
		return err
	}
	if k.depthwise() {
		return k.planDepth()
	}
	if t := k.winograd(); t != nil {
		t.emit()
		return nil
	}
	return k.planGemm()
}

// fusable opens the node for what follows it.
func (k *conv) fusable(w, b *value, rows int) error {
	if err := k.c.charge(4 * int64(rows)); err != nil {
		return err
	}
	f := fusable{can: true, rows: rows, act: noActivation}
	switch {
	case b == nil:
		f.bias = make([]float32, rows)
	case b.constant:
		f.bias = slices.Clone(b.f)
	default:
		k.shift = b
	}
	if w.constant {
		own := *w // fuse replaces its elements, not those of the file's constant
		f.weights = &own
		k.weight = &own
	}
	k.node.fuse = f
	return nil
}

// depthwise reports whether the channels are to be convolved one by one: each has filters
// of its own, and takes a moment only, since what one channel takes is one piece of work.
func (k *conv) depthwise() bool {
	const most = 1 << 28 // multiplications, some 20 ms
	if c := k.out / k.groups; int64(k.oh*k.ow)*int64(k.kh*k.kw*c) > most {
		return false
	}
	return k.groups == k.channels && k.groups > 1 && k.kh*k.kw <= 1<<10 && k.weight.constant && k.shift == nil
}

func channelsOf(x *value) (int, error) {
	switch {
	case len(x.shape) < 1:
		return 0, fmt.Errorf("a scalar where channels are wanted")
	case len(x.shape) == 1:
		return 1, nil
	}
	return x.shape[1], nil
}

func errChannels(v *value, want int) error {
	return fmt.Errorf("%s has shape %v, want %d elements", v.name, v.shape, want)
}
