package main

import "fmt"

// Offsets of gemmArgs.
const (
	gemmK, gemmBlocks, gemmA, gemmB, gemmLDB          = 0, 8, 16, 24, 32
	gemmC, gemmLDC, gemmBias, gemmAdd                 = 40, 48, 56, 64
	gemmLo, gemmHi                                    = 72, 76
	gemmPanels, gemmNextB, gemmNextC, gemmNextCBlocks = 80, 88, 96, 104
)

// gemm multiplies blocks of rows of A by panels of B, vecs vectors wide:
// C = min(max(A×B + bias + add, lo), hi). The tile of C stays in registers through k, and
// the block of A near through the panels.
func gemm(m machine, vecs int) {
	t := m.shape()
	const blocks, start, c, bias, ldb, panels, b, k, plus, a gp = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	acc := make([][]vec, t.rows)
	for r := range acc {
		for i := range vecs {
			acc[r] = append(acc[r], vec(r*t.vecs+i))
		}
	}
	first := vec(t.rows * t.vecs) // the first register that holds no sum
	bv := []vec{first, first + 1}[:vecs]
	block, panel, inner, bare := m.fresh("block"), m.fresh("panel"), m.fresh("k"), m.fresh("bare")
	// goOn moves c, and what is added if there is that, by a step of the arguments.
	goOn := func(step int) {
		done := m.fresh("moved")
		m.arg(k, step)
		m.add(c, k)
		m.jumpZero(plus, done)
		m.add(plus, k)
		m.label(done)
	}

	m.text(fmt.Sprintf("gemm%d", vecs))
	m.arg(blocks, gemmBlocks)
	m.arg(start, gemmA)
	m.arg(c, gemmC)
	m.arg(bias, gemmBias)
	m.arg(ldb, gemmLDB)
	m.arg(plus, gemmAdd)
	m.label(block)
	m.arg(b, gemmB)
	m.arg(panels, gemmPanels)
	m.label(panel)
	for r := range acc {
		m.loadAll(acc[r][0], bias, 4*r)
		for _, v := range acc[r][1:] {
			m.set(v, acc[r][0])
		}
	}
	m.move(a, start)
	m.arg(k, gemmK)
	m.label(inner)
	for i, v := range bv {
		m.load(v, b, 4*t.lanes*i)
	}
	m.loadColumn(a, first+2)
	for r := range acc {
		m.mulColumn(a, first+2, r, acc[r], bv)
	}
	m.addImm(a, 4*t.rows)
	m.add(b, ldb)
	m.loop(k, inner)

	m.arg(k, gemmLDC)
	m.jumpZero(plus, bare)
	for r := range acc {
		for i, v := range acc[r] {
			m.load(first, plus, 4*t.lanes*i)
			m.arith(opAdd, v, v, first)
		}
		m.add(plus, k)
	}
	m.label(bare)
	m.argAll(first, gemmLo)
	m.argAll(first+1, gemmHi)
	for r := range acc {
		for i, v := range acc[r] {
			m.arith(opMax, v, first, v)
			m.arith(opMin, v, first+1, v)
			m.store(v, c, 4*t.lanes*i)
		}
		m.add(c, k)
	}
	m.arg(k, gemmNextB)
	m.add(b, k)
	goOn(gemmNextC)
	m.loop(panels, panel)
	goOn(gemmNextCBlocks)
	m.move(start, a)
	m.addImm(bias, 4*t.rows)
	m.loop(blocks, block)
	m.ret()
}
