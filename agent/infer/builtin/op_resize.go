package builtin

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// opPad is Pad in its modes constant, reflect and edge.
func opPad(c *call) error {
	if err := c.need(1, 4); err != nil {
		return err
	}
	x := c.in[0]
	rank := len(x.shape)
	pads, ok, err := c.ints(1, "pads")
	if err != nil {
		return err
	}
	if !ok {
		return needConstant("padding")
	}
	list, given, err := c.ints(3, "")
	if err != nil {
		return err
	}
	if given {
		if list, err = axes(list, rank); err != nil || len(pads) != 2*len(list) {
			return errors.Join(err, fmt.Errorf("pads %v for axes %v", pads, list))
		}
		whole := make([]int, 2*rank)
		for i, d := range list {
			whole[d], whole[rank+d] = pads[i], pads[len(list)+i]
		}
		pads = whole
	}
	if len(pads) != 2*rank {
		return fmt.Errorf("pads %v for %d dimensions", pads, rank)
	}
	fill := c.float("value", 0)
	if v := c.input(2); v != nil {
		if !v.constant || v.len() != 1 {
			return needConstant("value to pad with")
		}
		if v.isFloat() {
			fill = v.f[0]
		} else {
			fill = float32(v.i[0])
		}
	}
	mode := c.str("mode", "constant")
	shape, tables := make([]int, rank), make([][]int, rank)
	for d, n := range x.shape {
		shape[d] = n + pads[d] + pads[rank+d]
		if shape[d] < 0 || shape[d] > maxWindow {
			return fmt.Errorf("pads %v of shape %v", pads, x.shape)
		}
	}
	if err := c.chargeTables(shape); err != nil {
		return err
	}
	for d, n := range x.shape {
		tables[d] = make([]int, shape[d])
		for i := range tables[d] {
			if tables[d][i], err = padded(mode, i-pads[d], n); err != nil {
				return err
			}
		}
	}
	return c.tabled(x, tables, shape, fill)
}

// chargeTables checks the shape of a result that is made by way of a table for each of its
// dimensions, and counts the tables.
func (c *call) chargeTables(shape []int) error {
	if err := checked(shape); err != nil {
		return err
	}
	entries := 0
	for _, n := range shape {
		entries += n
	}
	return c.charge(int64(entries) * int64(unsafe.Sizeof(blend{})))
}

// padded is the element of n that stands for place i, -1 for none.
func padded(mode string, i, n int) (int, error) {
	switch {
	case i >= 0 && i < n:
		return i, nil
	case mode == "constant":
		return -1, nil
	case mode == "edge":
		return min(max(i, 0), n-1), nil
	case mode == "reflect" && n > 1:
		period := 2 * (n - 1)
		i = (i%period + period) % period
		return min(i, period-i), nil
	case mode == "reflect":
		return 0, nil
	}
	return 0, fmt.Errorf("mode %q", mode)
}

// tabled emits an output whose element at (i, j, …) is that of x at
// (tables[0][i], tables[1][j], …), or fill where one of them is -1.
func (c *call) tabled(x *value, tables [][]int, shape []int, fill float32) error {
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	if len(shape) == 0 {
		return c.view(0, x, 0)
	}
	c.emit(func() []step {
		if y.isFloat() {
			return tabledRows(y.f, x.f, x.shape, tables, shape, fill)
		}
		return tabledRows(y.i, x.i, x.shape, tables, shape, int64(fill))
	})
	return nil
}

func tabledRows[E any](y, x []E, from []int, tables [][]int, shape []int, fill E) []step {
	last := len(shape) - 1
	n := shape[last]
	if len(y) == 0 {
		return nil
	}
	own := strides(from)
	source := func(row int) int { // where the row's source begins, -1 for none
		at := 0
		for d := last - 1; d >= 0; d-- {
			i := tables[d][row%shape[d]]
			row /= shape[d]
			if i < 0 {
				return -1
			}
			at += i * own[d]
		}
		return at
	}
	rows := len(y) / n
	return chunkedBy(rows, max(1, 8192/n), func(first, end int) {
		before := -2
		for row := first; row < end; row++ {
			dst, at := y[row*n:(row+1)*n], source(row)
			if at == before {
				copy(dst, y[(row-1)*n:])
				continue
			}
			before = at
			for i, j := range tables[last] {
				if at < 0 || j < 0 {
					dst[i] = fill
				} else {
					dst[i] = x[at+j]
				}
			}
		}
	})
}

// opResize is Resize, and Upsample as it was before, in the modes nearest and linear.
func opResize(c *call) error {
	if err := c.need(1, 4); err != nil {
		return err
	}
	x := c.in[0]
	if x.len() == 0 {
		return errors.New("an image without elements")
	}
	scales, shape, err := c.sizes(x)
	if err != nil {
		return err
	}
	r := resizer{
		transform: c.str("coordinate_transformation_mode", "half_pixel"), nearest: c.str("nearest_mode", "round_prefer_floor"),
	}
	if c.src.Op == "Upsample" || c.opset < 11 {
		r = resizer{"asymmetric", "floor"}
	}
	switch r.transform {
	case "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric":
	default:
		return fmt.Errorf("coordinate_transformation_mode %q is not supported", r.transform)
	}
	if c.int("antialias", 0) != 0 || c.int("exclude_outside", 0) != 0 || c.src.Attr("axes") != nil ||
		c.str("keep_aspect_ratio_policy", "stretch") != "stretch" {
		return errors.New("antialias, exclude_outside, axes and keep_aspect_ratio_policy are not supported")
	}
	if err := c.chargeTables(shape); err != nil {
		return err
	}
	switch mode := c.str("mode", "nearest"); mode {
	case "nearest":
		tables := make([][]int, len(shape))
		for d, n := range shape {
			tables[d] = make([]int, n)
			for i := range tables[d] {
				tables[d][i] = r.pick(i, n, x.shape[d], scales[d])
			}
		}
		return c.tabled(x, tables, shape, 0)
	case "linear", "bilinear":
		return c.linear(x, r, scales, shape)
	default:
		return fmt.Errorf("mode %q is not supported", mode)
	}
}

// sizes reads the scales or the sizes of a Resize.
func (c *call) sizes(x *value) (scales []float64, shape []int, err error) {
	rank := len(x.shape)
	if sizes, ok, err := c.ints(3, ""); err != nil {
		return nil, nil, err
	} else if ok && len(sizes) > 0 {
		shape = slices.Clone(sizes)
		if len(shape) != rank {
			return nil, nil, fmt.Errorf("sizes %v for %d dimensions", shape, rank)
		}
		for d, n := range shape {
			scales = append(scales, float64(n)/float64(x.shape[d]))
		}
		return scales, shape, checkSizes(shape)
	}
	list := c.src.Attr("scales")
	in := c.input(2)
	if c.src.Op == "Upsample" || c.opset < 11 {
		in = c.input(1)
	}
	var f []float32
	switch {
	case in != nil && in.constant && in.isFloat():
		f = in.f
	case in == nil && list != nil:
		f = list.Floats
	default:
		return nil, nil, needConstant("list of scales")
	}
	if len(f) != rank {
		return nil, nil, fmt.Errorf("%d scales for %d dimensions", len(f), rank)
	}
	for d, s := range f {
		if !(s > 0 && s < maxWindow) {
			return nil, nil, fmt.Errorf("scales %v", f)
		}
		scales = append(scales, float64(s))
		shape = append(shape, int(math.Floor(float64(x.shape[d])*float64(s))))
	}
	return scales, shape, checkSizes(shape)
}

func checkSizes(shape []int) error {
	for _, n := range shape {
		if n < 1 || n > maxWindow {
			return fmt.Errorf("a result of shape %v", shape)
		}
	}
	return nil
}

// A resizer maps places of the result to places of the image.
type resizer struct{ transform, nearest string }

// at is the place in an image of from elements for element i of to.
func (r resizer) at(i, to, from int, scale float64) float64 {
	switch r.transform {
	case "align_corners":
		if to == 1 {
			return 0
		}
		return float64(i) * float64(from-1) / float64(to-1)
	case "asymmetric":
		return float64(i) / scale
	case "pytorch_half_pixel":
		if to == 1 {
			return 0
		}
	}
	return (float64(i)+0.5)/scale - 0.5
}

// pick is the nearest element.
func (r resizer) pick(i, to, from int, scale float64) int {
	at := r.at(i, to, from, scale)
	switch r.nearest {
	case "floor":
		at = math.Floor(at)
	case "ceil":
		at = math.Ceil(at)
	case "round_prefer_ceil":
		at = math.Floor(at + 0.5)
	default:
		at = math.Ceil(at - 0.5)
	}
	return int(min(max(at, 0), float64(from-1)))
}

// A blend is two neighbours of an image and how much the second one counts.
type blend struct {
	a, b int
	part float32
}

func (r resizer) blends(to, from int, scale float64) []blend {
	out := make([]blend, to)
	for i := range out {
		at := min(max(r.at(i, to, from, scale), 0), float64(from-1))
		a := int(at)
		out[i] = blend{a, min(a+1, from-1), float32(at - float64(a))}
	}
	return out
}

// linear emits a bilinear resize of the last two dimensions.
func (c *call) linear(x *value, r resizer, scales []float64, shape []int) error {
	rank := len(shape)
	if rank < 2 || !slices.Equal(shape[:rank-2], x.shape[:rank-2]) || !x.isFloat() {
		return fmt.Errorf("linear from %v to %v; only the last two dimensions may change", x.shape, shape)
	}
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	ih, iw, oh, ow := x.shape[rank-2], x.shape[rank-1], shape[rank-2], shape[rank-1]
	rows, cols := r.blends(oh, ih, scales[rank-2]), r.blends(ow, iw, scales[rank-1])
	c.emit(func() []step {
		return []step{{product(shape[:rank-2]), func(i int, w *worker) {
			src, dst := x.f[i*ih*iw:(i+1)*ih*iw], y.f[i*oh*ow:(i+1)*oh*ow]
			for oy, v := range rows {
				if w.stopped() {
					return
				}
				upper, lower := src[v.a*iw:(v.a+1)*iw], src[v.b*iw:(v.b+1)*iw]
				for ox, h := range cols {
					p := upper[h.a] + (upper[h.b]-upper[h.a])*h.part
					q := lower[h.a] + (lower[h.b]-lower[h.a])*h.part
					dst[oy*ow+ox] = p + (q-p)*v.part
				}
			}
		}}}
	})
	return nil
}
