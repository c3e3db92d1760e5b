package builtin

import (
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/kernel"
)

// A matrix is a matrix of a tensor, with the steps along its rows and columns.
type matrix struct {
	v        *value
	down, on int   // elements from one row to the next, and from one column to the next
	batch    []int // strides of the dimensions before
}

// A product is y = alpha a×b + beta c, for each matrix of a batch.
type matmul struct {
	c          *call
	node       *node
	a, b       matrix
	y          *value
	rows, cols int
	k          int
	batch      []int
	alpha      float32
	add        *value // nil, or of y's shape when broadcast
	beta       float32
}

func opMatMul(c *call) error {
	if err := c.needFloats(2, 2); err != nil {
		return err
	}
	a, b := c.in[0], c.in[1]
	if len(a.shape) == 0 || len(b.shape) == 0 {
		return errors.New("a scalar operand")
	}
	sa, sb := a.shape, b.shape
	if len(sa) == 1 {
		sa = []int{1, sa[0]}
	}
	if len(sb) == 1 {
		sb = []int{sb[0], 1}
	}
	ra, rb := len(sa), len(sb)
	if sa[ra-1] != sb[rb-2] {
		return fmt.Errorf("shapes %v and %v", a.shape, b.shape)
	}
	batch, err := joinShapes(sa[:ra-2], sb[:rb-2])
	if err != nil {
		return err
	}
	m := &matmul{c: c, node: c.node, rows: sa[ra-2], cols: sb[rb-1], k: sa[ra-1], batch: batch, alpha: 1}
	m.a = matrix{a, sa[ra-1], 1, batchSteps(sa, batch)}
	m.b = matrix{b, sb[rb-1], 1, batchSteps(sb, batch)}
	shape := slices.Clone(batch)
	if len(a.shape) > 1 {
		shape = append(shape, m.rows)
	}
	if len(b.shape) > 1 {
		shape = append(shape, m.cols)
	}
	return m.emit(shape)
}

// batchSteps are the strides of the dimensions before a matrix.
func batchSteps(shape, batch []int) []int {
	n := len(shape) - 2
	steps := spread(shape[:n], batch)
	for i := range steps {
		steps[i] *= shape[n] * shape[n+1]
	}
	return steps
}

func opGemm(c *call) error {
	if err := c.needFloats(2, 3); err != nil {
		return err
	}
	a, b, add := c.in[0], c.in[1], c.input(2)
	if len(a.shape) != 2 || len(b.shape) != 2 {
		return fmt.Errorf("shapes %v and %v", a.shape, b.shape)
	}
	m := &matmul{c: c, node: c.node, alpha: c.float("alpha", 1), beta: c.float("beta", 1), add: add}
	var k int
	m.a, m.rows, m.k = orient(a, c.int("transA", 0) != 0)
	m.b, k, m.cols = orient(b, c.int("transB", 0) != 0)
	if k != m.k {
		return fmt.Errorf("shapes %v and %v do not multiply", a.shape, b.shape)
	}
	shape := []int{m.rows, m.cols}
	if add != nil {
		if to, err := joinShapes(shape, add.shape); err != nil || !slices.Equal(to, shape) {
			return fmt.Errorf("input 2 has shape %v, the product %v", add.shape, shape)
		}
	}
	return m.emit(shape)
}

func orient(v *value, transposed bool) (m matrix, rows, cols int) {
	if transposed {
		return matrix{v, 1, v.shape[1], nil}, v.shape[1], v.shape[0]
	}
	return matrix{v, v.shape[1], 1, nil}, v.shape[0], v.shape[1]
}

func (m *matmul) emit(shape []int) (err error) {
	if m.y, err = m.c.give(0, m.a.v.typ, shape...); err != nil {
		return err
	}
	m.node.macs = int64(m.y.len()) * int64(m.k)
	tile := m.c.kernels().Tile()
	m.node.scratch = m.k*tile.Cols() + tile.Rows*tile.Cols()
	// A is packed anew for every matrix of the batch; B by panels as they are needed.
	full := (m.rows + tile.Rows - 1) / tile.Rows * tile.Rows
	m.node.temp = &value{typ: m.y.typ, shape: []int{product(m.batch), full * m.k}}
	if err := checked(m.node.temp.shape); err != nil {
		return err
	}
	m.node.keeps = 4 * int64(full) // a bias of zeros
	if m.fixedB() {
		panels := (m.cols + tile.Cols() - 1) / tile.Cols()
		m.node.keeps += 4 * int64(panels) * int64(m.k) * int64(tile.Cols())
	}
	m.c.emit(m.steps)
	return nil
}

// fixedB reports whether B can be packed once and for all.
func (m *matmul) fixedB() bool { return m.b.v.constant && product(m.batch) == 1 }

func (m *matmul) steps() []step {
	set := m.c.kernels()
	tile := set.Tile()
	count := product(m.batch)
	full := (m.rows + tile.Rows - 1) / tile.Rows * tile.Rows
	panels := (m.cols + tile.Cols() - 1) / tile.Cols()
	packed := m.node.temp.f
	zeros := make([]float32, full)
	w := newWalk(append(slices.Clone(m.batch), 1), append(slices.Clone(m.a.batch), 0), append(slices.Clone(m.b.batch), 0))
	start := func(t, i int) int { // walk joins dimensions, so look through runs
		return w.start(t, i/w.run()) + i%w.run()*w.along(t)
	}
	var ready [][]float32
	if m.fixedB() {
		for i := range panels {
			b := make([]float32, m.k*tile.Cols())
			m.packB(b, 0, i*tile.Cols(), tile.Cols())
			ready = append(ready, b)
		}
	}
	steps := []step{
		{count, func(i int, _ *worker) { m.packA(packed[i*full*m.k:(i+1)*full*m.k], start(0, i), tile.Rows) }},
		{count * panels, func(task int, w *worker) {
			i, c0 := task/panels, task%panels*tile.Cols()
			p := panel{
				set: set, tile: tile, k: m.k, rows: m.rows, cols: min(tile.Cols(), m.cols-c0),
				a: packed[i*full*m.k:], b: w.scratch, ldb: tile.Cols(), bias: zeros,
				c: m.y.f[i*m.rows*m.cols+c0:], ldc: m.cols, lo: -inf, hi: inf,
			}
			if ready != nil {
				p.b = ready[task%panels]
			} else {
				m.packB(p.b, start(1, i), c0, tile.Cols())
			}
			p.run(w.scratch[m.k*tile.Cols():])
		}},
	}
	if m.add != nil && m.beta != 0 {
		steps = append(steps, m.addSteps(set)...)
	}
	return steps
}

// packA packs a matrix of the batch in the order that kernel.Gemm wants, times alpha.
func (m *matmul) packA(dst []float32, at, block int) {
	clear(dst)
	src := m.a.v.f[at:]
	for r := range m.rows {
		out := dst[r/block*block*m.k+r%block:]
		for k := range m.k {
			out[k*block] = m.alpha * src[r*m.a.down+k*m.a.on]
		}
	}
}

// packB packs the columns of a panel.
func (m *matmul) packB(dst []float32, at, c0, width int) {
	n := min(width, m.cols-c0)
	src := m.b.v.f[at:]
	for k := range m.k {
		row := dst[k*width : (k+1)*width]
		from := k*m.b.down + c0*m.b.on
		if m.b.on == 1 {
			copy(row, src[from:from+n])
		} else {
			for i := range n {
				row[i] = src[from+i*m.b.on]
			}
		}
		clear(row[n:])
	}
}

// addSteps adds beta times the third operand of Gemm.
func (m *matmul) addSteps(set kernel.Set) []step {
	row := spread(m.add.shape, m.y.shape)
	return []step{{m.rows, func(r int, _ *worker) {
		y, c := m.y.f[r*m.cols:(r+1)*m.cols], m.add.f[r*row[0]:]
		if row[1] == 0 {
			set.Affine(y, y, 1, m.beta*c[0], -inf, inf)
			return
		}
		for i := range y {
			y[i] += m.beta * c[i]
		}
	}}}
}
