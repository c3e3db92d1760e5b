package builtin

import (
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/onnx"
)

func opIdentity(c *call) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	return c.view(0, c.in[0], 0, c.in[0].shape...)
}

// opDropout does nothing, as it should outside of training.
func opDropout(c *call) error {
	if t := c.input(2); t != nil && (!t.constant || t.isFloat() || slices.ContainsFunc(t.i, func(v int64) bool { return v != 0 })) {
		return errTraining
	}
	return opIdentity(c)
}

func opReshape(c *call) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	x := c.in[0]
	shape, ok, err := c.ints(1, "shape")
	if err != nil {
		return err
	}
	if !ok {
		return needConstant("shape")
	}
	if len(shape) > onnx.MaxRank {
		return fmt.Errorf("%d dimensions", len(shape))
	}
	shape = slices.Clone(shape)
	open, known := -1, 1
	for i, d := range shape {
		switch {
		case d == -1 && open == -1:
			open = i
			continue
		case d == 0 && c.int("allowzero", 0) == 0:
			if i >= len(x.shape) {
				return fmt.Errorf("shape %v for a tensor of %d dimensions", shape, len(x.shape))
			}
			shape[i] = x.shape[i]
		case d < 0:
			return fmt.Errorf("shape %v", shape)
		}
		if known, err = times(known, shape[i]); err != nil {
			return fmt.Errorf("shape %v for %d elements", shape, x.len())
		}
	}
	if open >= 0 {
		if known == 0 || x.len()%known != 0 {
			return fmt.Errorf("shape %v for %d elements", shape, x.len())
		}
		shape[open] = x.len() / known
		known *= shape[open]
	}
	if known != x.len() {
		return fmt.Errorf("shape %v for %d elements", shape, x.len())
	}
	return c.view(0, x, 0, shape...)
}

func needConstant(what string) error { return fmt.Errorf("the %s is not a constant", what) }

func opFlatten(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	a := c.int("axis", 1)
	if a < 0 {
		a += len(x.shape)
	}
	if a < 0 || a > len(x.shape) {
		return fmt.Errorf("axis %d of %d dimensions", a, len(x.shape))
	}
	return c.view(0, x, 0, product(x.shape[:a]), product(x.shape[a:]))
}

func opSqueeze(c *call) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	x := c.in[0]
	list, ok, err := c.ints(1, "axes")
	if err != nil {
		return err
	}
	if !ok {
		for i, d := range x.shape {
			if d == 1 {
				list = append(list, i)
			}
		}
	}
	list, err = axes(list, len(x.shape))
	if err != nil {
		return err
	}
	var shape []int
	for i, d := range x.shape {
		if !slices.Contains(list, i) {
			shape = append(shape, d)
		} else if d != 1 {
			return fmt.Errorf("axis %d has %d elements", i, d)
		}
	}
	return c.view(0, x, 0, shape...)
}

func opUnsqueeze(c *call) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	x := c.in[0]
	list, ok, err := c.ints(1, "axes")
	if err != nil {
		return err
	}
	if !ok {
		return needConstant("list of axes")
	}
	rank := len(x.shape) + len(list)
	if rank > onnx.MaxRank {
		return fmt.Errorf("%d dimensions", rank)
	}
	list, err = axes(list, rank)
	if err != nil {
		return err
	}
	rest := x.shape
	shape := make([]int, rank)
	for i := range shape {
		if slices.Contains(list, i) {
			shape[i] = 1
		} else {
			shape[i], rest = rest[0], rest[1:]
		}
	}
	return c.view(0, x, 0, shape...)
}

// known gives output 0 as a constant of integers.
func (c *call) known(v []int64, shape ...int) error {
	y, err := c.give(0, onnx.Int64, shape...)
	if err != nil {
		return err
	}
	y.constant, y.i = true, v
	return c.chargeConstant(y)
}

func opShape(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	shape := c.in[0].shape
	n := len(shape)
	within := func(i int) int {
		if i < 0 {
			i += n
		}
		return min(max(i, 0), n)
	}
	from, to := within(c.int("start", 0)), within(c.int("end", n))
	var v []int64
	for _, d := range shape[min(from, to):to] {
		v = append(v, int64(d))
	}
	return c.known(v, len(v))
}

func opSize(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	return c.known([]int64{int64(c.in[0].len())})
}

func opConstant(c *call) error {
	t := &onnx.Tensor{}
	for _, a := range c.src.Attrs {
		switch a.Name {
		case "value":
			if a.Tensor == nil {
				return errors.New("a value that is no tensor")
			}
			t = a.Tensor
		case "value_int":
			return c.known([]int64{a.Int})
		case "value_ints":
			return c.known(a.Ints, len(a.Ints))
		case "value_float":
			return c.knownFloats([]float32{a.Float})
		case "value_floats":
			return c.knownFloats(a.Floats, len(a.Floats))
		default:
			return fmt.Errorf("attribute %s is not supported", a.Name)
		}
	}
	v, err := c.constant(t)
	if err != nil {
		return err
	}
	c.out = []*value{v}
	return nil
}

func (c *call) knownFloats(v []float32, shape ...int) error {
	y, err := c.give(0, onnx.Float, shape...)
	if err != nil {
		return err
	}
	y.constant, y.f = true, v
	return c.chargeConstant(y)
}

func opConstantOfShape(c *call) error {
	shape, ok, err := c.ints(0, "")
	if err != nil {
		return err
	}
	if !ok {
		return needConstant("shape")
	}
	fill := &value{typ: onnx.Float, f: []float32{0}}
	if a := c.src.Attr("value"); a != nil && a.Tensor != nil {
		if fill, err = c.constant(a.Tensor); err != nil {
			return err
		}
		if fill.len() != 1 {
			return fmt.Errorf("a value of %d elements", fill.len())
		}
	}
	y, err := c.give(0, fill.typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		return single(func() {
			for i := range y.f {
				y.f[i] = fill.f[0]
			}
			for i := range y.i {
				y.i[i] = fill.i[0]
			}
		})
	})
	return nil
}

func opRange(c *call) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	for _, v := range c.in {
		if !v.constant || v.isFloat() || v.len() != 1 {
			return errors.New("bounds that are not one constant integer each")
		}
	}
	from, to, by := c.in[0].i[0], c.in[1].i[0], c.in[2].i[0]
	if by == 0 || from > maxNumber || from < -maxNumber || to > maxNumber || to < -maxNumber || by > maxNumber || by < -maxNumber {
		return fmt.Errorf("range from %d to %d by %d", from, to, by)
	}
	n := (to - from) / by
	if n*by != to-from {
		n++
	}
	y, err := c.give(0, c.in[0].typ, max(0, int(n)))
	if err != nil {
		return err
	}
	c.emit(func() []step {
		return single(func() {
			for i := range y.i {
				y.i[i] = from + int64(i)*by
			}
		})
	})
	return nil
}

func opCast(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	return c.cast(onnx.Type(c.int("to", 1)))
}

func opCastLike(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	return c.cast(c.in[1].typ)
}

func (c *call) cast(to onnx.Type) error {
	x := c.in[0]
	if elementType(to) == "" {
		return fmt.Errorf("a cast to %v is not supported", to)
	}
	if to == x.typ {
		return c.view(0, x, 0, x.shape...)
	}
	y, err := c.give(0, to, x.shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		return chunked(y.len(), func(from, end int) {
			for i := from; i < end; i++ {
				switch {
				case y.isFloat() && x.isFloat():
					y.f[i] = x.f[i] // narrowing to half precision is left to the output
				case y.isFloat():
					y.f[i] = float32(x.i[i])
				case x.isFloat():
					y.i[i] = fromFloat(to, x.f[i])
				case to == onnx.Bool:
					y.i[i] = truth(x.i[i] != 0)
				default:
					y.i[i] = cut(to, x.i[i])
				}
			}
		})
	})
	return nil
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// fromFloat rounds towards zero; what is out of range, or not a number, is
// undefined in ONNX, and is held within int64 here.
func fromFloat(to onnx.Type, v float32) int64 {
	switch {
	case to == onnx.Bool:
		return truth(v != 0)
	case v != v:
		return 0
	}
	return cut(to, int64(min(max(v, -1<<62), 1<<62)))
}
