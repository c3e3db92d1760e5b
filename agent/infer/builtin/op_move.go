package builtin

import (
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/onnx"
)

// move emits a copy of x's elements to y, as a walk tells, whose tensor 0 is y and
// tensor 1 is x from element offset on. It is how most operators that only rearrange are done.
func (c *call) move(y, x *value, offset int, w walk) []step {
	if y.isFloat() {
		if w.along(0) == 1 && w.along(1) == 1 {
			return moveRuns(&w, y.f, x.f, offset)
		}
		if w.along(0) == 1 && w.along(1) == 2 {
			return c.moveEven(&w, y.f, x.f, offset)
		}
		if len(w.dims) >= 2 {
			return moveTiles(&w, y.f, x.f, offset)
		}
		return moveElements(&w, y.f, x.f, offset)
	}
	if w.along(0) == 1 && w.along(1) == 1 {
		return moveRuns(&w, y.i, x.i, offset)
	}
	return moveElements(&w, y.i, x.i, offset)
}

func moveRuns[E any](w *walk, y, x []E, offset int) []step {
	return w.share(func(run, from, to int) {
		at := w.start(0, run)
		copy(y[at+from:at+to], x[offset+w.start(1, run)+from:])
	})
}

func moveElements[E any](w *walk, y, x []E, offset int) []step {
	sy, sx := w.along(0), w.along(1)
	return w.share(func(run, from, to int) {
		oy, ox := w.start(0, run), offset+w.start(1, run)
		for i := from; i < to; i++ {
			y[oy+i*sy] = x[ox+i*sx]
		}
	})
}

func opConcat(c *call) error {
	if err := c.need(1, 1<<16); err != nil {
		return err
	}
	first := c.in[0]
	ax, err := axis(c.int("axis", 1), len(first.shape))
	if err != nil {
		return err
	}
	shape := slices.Clone(first.shape)
	shape[ax] = 0
	for i, v := range c.in {
		if v == nil || v.typ != first.typ || len(v.shape) != len(shape) {
			return fmt.Errorf("input %d differs in type or number of dimensions", i)
		}
		for d, n := range v.shape {
			if d != ax && n != shape[d] {
				return fmt.Errorf("input %d has shape %v, the first one %v", i, v.shape, first.shape)
			}
		}
		shape[ax] += v.shape[ax]
		if shape[ax] > maxNumber {
			return errors.New("an output that is too large")
		}
	}
	y, err := c.give(0, first.typ, shape...)
	if err != nil {
		return err
	}
	whole := product(shape[:ax]) == 1 // the inputs stand one behind the other
	c.emit(func() []step {
		var steps []step
		own, at := strides(shape), 0
		for _, v := range c.in {
			size := v.shape[ax] * own[ax]
			if v.len() > 0 && !(whole && v.within(y, at)) {
				steps = append(steps, c.moveInto(y, v, at)...)
			}
			at += size
		}
		return join(steps)
	})
	if whole {
		c.node.gather, c.node.parts = true, c.in
	}
	return nil
}

// within reports whether v's elements are those of y from element at on.
func (v *value) within(y *value, at int) bool {
	if v.constant || y.constant {
		return false
	}
	vr, vo := v.root()
	yr, yo := y.root()
	return vr == yr && vo == yo+at
}

// moveInto copies the whole of v into the block of y that begins at element at.
func (c *call) moveInto(y, v *value, at int) []step {
	steps := c.move(&value{typ: y.typ, f: y.f[min(at, len(y.f)):], i: y.i[min(at, len(y.i)):]}, v, 0,
		newWalk(v.shape, strides(y.shape), strides(v.shape)))
	return steps
}

// join makes one step of several that do not depend on each other.
func join(steps []step) []step {
	if len(steps) < 2 {
		return steps
	}
	total := 0
	for _, s := range steps {
		total += s.tasks
	}
	return []step{{total, func(task int, w *worker) {
		for i := range steps {
			if task < steps[i].tasks {
				steps[i].run(task, w)
				return
			}
			task -= steps[i].tasks
		}
	}}}
}

func opSplit(c *call) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	x := c.in[0]
	ax, err := axis(c.int("axis", 0), len(x.shape))
	if err != nil {
		return err
	}
	sizes, ok, err := c.ints(1, "split")
	if err != nil {
		return err
	}
	n := len(c.src.Out)
	if !ok {
		if n == 0 {
			return errors.New("no outputs")
		}
		per := (x.shape[ax] + n - 1) / n
		for i := range n {
			sizes = append(sizes, min(per, max(0, x.shape[ax]-i*per)))
		}
	}
	total := 0
	for _, s := range sizes {
		if s < 0 || s > x.shape[ax] {
			return fmt.Errorf("parts of %v out of %d", sizes, x.shape[ax])
		}
		total += s
	}
	if len(sizes) != n || total != x.shape[ax] {
		return fmt.Errorf("%d outputs and parts of %v out of %d", n, sizes, x.shape[ax])
	}
	from := make([]int, len(x.shape))
	for i, s := range sizes {
		shape := slices.Clone(x.shape)
		shape[ax] = s
		if err := c.window(i, x, from, shape, nil); err != nil {
			return err
		}
		from[ax] += s
	}
	return nil
}

// window gives output i the part of x that begins at from and steps along its
// dimensions by by (nil: by one), without a copy where the part is one block.
func (c *call) window(i int, x *value, from, shape, by []int) error {
	own := strides(x.shape)
	offset, block := 0, true
	inner := true // all dimensions behind this one are whole
	for d := len(shape) - 1; d >= 0; d-- {
		if shape[d] > 0 {
			offset += from[d] * own[d]
		}
		if shape[d] != 1 {
			block = block && inner && (by == nil || by[d] == 1)
		}
		inner = inner && shape[d] == x.shape[d]
	}
	if product(shape) == 0 {
		offset = 0
	}
	if block {
		return c.view(i, x, offset, shape...)
	}
	y, err := c.give(i, x.typ, shape...)
	if err != nil {
		return err
	}
	steps := slices.Clone(own)
	for d := range by {
		steps[d] *= by[d]
	}
	before := c.node.bind
	c.emit(func() []step {
		var all []step
		if before != nil {
			all = before()
		}
		if y.len() > 0 {
			all = append(all, c.move(y, x, offset, newWalk(shape, strides(shape), steps))...)
		}
		return join(all)
	})
	return nil
}

func opSlice(c *call) error {
	if err := c.need(1, 5); err != nil {
		return err
	}
	x := c.in[0]
	rank := len(x.shape)
	starts, ok, err := c.ints(1, "starts")
	ends, ok2, err2 := c.ints(2, "ends")
	along, given, err3 := c.ints(3, "axes")
	by, stepped, err4 := c.ints(4, "")
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	if !ok || !ok2 || len(starts) != len(ends) || given && len(along) != len(starts) || stepped && len(by) != len(starts) {
		return errors.New("starts, ends, axes and steps do not fit each other")
	}
	if !given {
		for i := range starts {
			along = append(along, i)
		}
	}
	if along, err = axes(along, rank); err != nil {
		return err
	}
	from, shape, steps := make([]int, rank), slices.Clone(x.shape), make([]int, rank)
	for i := range steps {
		steps[i] = 1
	}
	for i, d := range along {
		step := 1
		if stepped {
			step = by[i]
		}
		if step == 0 {
			return errors.New("a step of 0")
		}
		from[d], shape[d] = span(starts[i], ends[i], step, x.shape[d])
		steps[d] = step
		if shape[d] <= 1 {
			steps[d] = 1
		}
	}
	return c.window(0, x, from, shape, steps)
}

// span is where a slice of n elements begins, and how many it has.
func span(start, end, step, n int) (from, count int) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		return start, max(0, (end-start+step-1)/step)
	}
	start, end = min(max(start, -1), n-1), min(max(end, -1), n-1)
	return max(start, 0), max(0, (start-end-step-1)/-step)
}

func opTranspose(c *call) error {
	if err := c.need(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	rank := len(x.shape)
	perm, ok, err := c.ints(1, "perm")
	if err != nil {
		return err
	}
	if !ok {
		for i := range rank {
			perm = append(perm, rank-1-i)
		}
	}
	if perm, err = axes(perm, rank); err != nil || len(perm) != rank {
		return errors.Join(err, fmt.Errorf("permutation %v of %d dimensions", perm, rank))
	}
	shape, steps, own := make([]int, rank), make([]int, rank), strides(x.shape)
	for i, p := range perm {
		shape[i], steps[i] = x.shape[p], own[p]
	}
	w := newWalk(shape, strides(shape), steps)
	if len(w.dims) == 1 && w.along(1) == 1 {
		return c.view(0, x, 0, shape...) // only dimensions of 1 change places
	}
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step { return c.move(y, x, 0, w) })
	return nil
}

func opExpand(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x := c.in[0]
	shape, _, err := c.ints(1, "")
	if err != nil {
		return err
	}
	if slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		return fmt.Errorf("shape %v", shape)
	}
	if shape, err = joinShapes(x.shape, shape); err != nil {
		return err
	}
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		if y.len() == 0 {
			return nil
		}
		return c.move(y, x, 0, newWalk(shape, strides(shape), spread(x.shape, shape)))
	})
	return nil
}

func opTile(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x := c.in[0]
	repeats, _, err := c.ints(1, "")
	if err != nil || len(repeats) != len(x.shape) || 2*len(repeats) > onnx.MaxRank {
		return errors.Join(err, fmt.Errorf("repeats %v of %d dimensions", repeats, len(x.shape)))
	}
	// Each dimension becomes two: the repeats, and the original.
	var shape, apart, steps []int
	for i, s := range strides(x.shape) {
		if repeats[i] < 1 {
			return fmt.Errorf("repeats %v", repeats)
		}
		n, err := times(repeats[i], x.shape[i])
		if err != nil {
			return err
		}
		apart, steps, shape = append(apart, repeats[i], x.shape[i]), append(steps, 0, s), append(shape, n)
	}
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step { return c.move(y, x, 0, newWalk(apart, strides(apart), steps)) })
	return nil
}

func opGather(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x, index := c.in[0], c.in[1]
	ax, err := axis(c.int("axis", 0), len(x.shape))
	if err != nil {
		return err
	}
	if index.isFloat() {
		return errors.New("indices that are floats")
	}
	n := x.shape[ax]
	y, err := c.give(0, x.typ, slices.Concat(x.shape[:ax], index.shape, x.shape[ax+1:])...)
	if err != nil {
		return err
	}
	outer, inner, count := product(x.shape[:ax]), product(x.shape[ax+1:]), index.len()
	c.emit(func() []step {
		return single(func() {
			for o := range outer {
				for j, k := range index.i {
					if k < 0 {
						k += int64(n)
					}
					k = min(max(k, 0), int64(n-1)) // an index out of range takes the nearest
					at, from := (o*count+j)*inner, (o*n+int(k))*inner
					if y.isFloat() {
						copy(y.f[at:at+inner], x.f[from:])
					} else {
						copy(y.i[at:at+inner], x.i[from:])
					}
				}
			}
		})
	})
	return nil
}

func opDepthToSpace(c *call) error {
	n, err := c.blocks()
	if err != nil {
		return err
	}
	s := c.in[0].shape
	if s[1]%(n*n) != 0 {
		return fmt.Errorf("%d channels in blocks of %d", s[1], n)
	}
	depth := s[1] / (n * n)
	apart := []int{s[0], n, n, depth, s[2], s[3]}
	perm := []int{0, 3, 4, 1, 5, 2}
	if c.str("mode", "DCR") == "CRD" {
		apart, perm = []int{s[0], depth, n, n, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return c.permute(apart, perm, s[0], depth, s[2]*n, s[3]*n)
}

func opSpaceToDepth(c *call) error {
	n, err := c.blocks()
	if err != nil {
		return err
	}
	s := c.in[0].shape
	if s[2]%n != 0 || s[3]%n != 0 {
		return fmt.Errorf("shape %v in blocks of %d", s, n)
	}
	return c.permute([]int{s[0], s[1], s[2] / n, n, s[3] / n, n}, []int{0, 3, 5, 1, 2, 4}, s[0], s[1]*n*n, s[2]/n, s[3]/n)
}

func (c *call) blocks() (int, error) {
	if err := c.need(1, 1); err != nil {
		return 0, err
	}
	n := c.int("blocksize", 0)
	if n < 1 || n > 1<<10 || len(c.in[0].shape) != 4 {
		return 0, fmt.Errorf("blocks of %d in a tensor of %d dimensions", n, len(c.in[0].shape))
	}
	return n, nil
}

// permute emits the transposition of input 0, seen in the shape apart, as an output of shape.
func (c *call) permute(apart, perm []int, shape ...int) error {
	x := c.in[0]
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	dims, steps, own := make([]int, len(perm)), make([]int, len(perm)), strides(apart)
	for i, p := range perm {
		dims[i], steps[i] = apart[p], own[p]
	}
	c.emit(func() []step { return c.move(y, x, 0, newWalk(dims, strides(dims), steps)) })
	return nil
}
