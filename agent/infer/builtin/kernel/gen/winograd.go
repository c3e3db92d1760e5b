package main

// Offsets of tilesArgs.
const (
	tilesN, tilesSrc, tilesDst, tilesOffs, tilesAside     = 0, 8, 16, 24, 32
	tilesStep, tilesStep6, tilesDstStep                   = 40, 48, 56
	tilesTwo, tilesFour, tilesFive, tilesEight            = 64, 68, 72, 76
	tilesBias, tilesLo, tilesHi                           = 80, 84, 88
	tileTwo, tileFour, tileFive, tileEight            vec = 12, 13, 14, 14
)

// tilesIn turns tiles of 6 by 6 elements into the 36 products' factors, a vector of tiles at
// once: columns first, and then rows.
func tilesIn(m machine) {
	const src, dst, n, offs, off, d, step, aside gp = 0, 1, 2, 3, 4, 5, 6, 7
	wide := 4 * m.shape().lanes
	again := m.fresh("tiles")
	m.text("tilesIn")
	m.arg(n, tilesN)
	m.arg(src, tilesSrc)
	m.arg(dst, tilesDst)
	m.arg(offs, tilesOffs)
	m.arg(aside, tilesAside)
	m.arg(step, tilesStep)
	m.argAll(tileTwo, tilesTwo)
	m.argAll(tileFour, tilesFour)
	m.argAll(tileFive, tilesFive)
	m.label(again)
	for j := range 6 {
		for i := range 6 {
			m.deref(off, offs, 8*(6*i+j))
			m.loadAt(vec(i), src, off, 0)
		}
		for i, v := range tileIn(m) {
			m.store(v, aside, wide*(6*i+j))
		}
	}
	m.move(d, dst)
	for i := range 6 {
		for j := range 6 {
			m.load(vec(j), aside, wide*(6*i+j))
		}
		for _, v := range tileIn(m) {
			m.store(v, d, 0)
			m.add(d, step)
		}
	}
	m.addImm(src, wide)
	m.addImm(dst, wide)
	m.loop(n, again)
	m.ret()
}

// tileIn multiplies registers 0 to 5 by the matrix of F(4,3) for the image.
func tileIn(m machine) [6]vec {
	m.set(6, 4) // 4 d0 - 5 d2 + d4
	m.fms(6, 2, tileFive)
	m.fma(6, 0, tileFour)
	m.set(7, 4) // d4 - 4 d2, more or less d3 - 4 d1
	m.fms(7, 2, tileFour)
	m.set(8, 3)
	m.fms(8, 1, tileFour)
	m.arith(opAdd, 9, 7, 8)
	m.arith(opSub, 10, 7, 8)
	m.arith(opSub, 7, 4, 2) // d4 - d2, more or less 2 (d3 - d1)
	m.arith(opSub, 8, 3, 1)
	m.arith(opMul, 8, 8, tileTwo)
	m.arith(opAdd, 11, 7, 8)
	m.arith(opSub, 7, 7, 8)
	m.set(8, 5) // 4 d1 - 5 d3 + d5
	m.fms(8, 3, tileFive)
	m.fma(8, 1, tileFour)
	return [6]vec{6, 9, 10, 11, 7, 8}
}

// tilesOut turns 36 products into tiles of 4 by 4 places of the result, a vector of tiles at
// once, and puts each of their four rows down as it stands in the image.
func tilesOut(m machine) {
	const src, dst, n, s, step, step6, aside, d, column, dstStep gp = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	wide := 4 * m.shape().lanes
	again := m.fresh("tiles")
	m.text("tilesOut")
	m.arg(n, tilesN)
	m.arg(src, tilesSrc)
	m.arg(dst, tilesDst)
	m.arg(aside, tilesAside)
	m.arg(step, tilesStep)
	m.arg(step6, tilesStep6)
	m.arg(dstStep, tilesDstStep)
	m.argAll(tileTwo, tilesTwo)
	m.argAll(tileFour, tilesFour)
	m.argAll(tileEight, tilesEight)
	m.label(again)
	m.move(column, src)
	for j := range 6 {
		m.move(s, column)
		for i := range 6 {
			m.load(vec(i), s, 0)
			m.add(s, step6)
		}
		m.add(column, step)
		for i, v := range tileOut(m) {
			m.store(v, aside, wide*(6*i+j))
		}
	}
	m.move(d, dst)
	for i := range 4 {
		for j := range 6 {
			m.load(vec(j), aside, wide*(6*i+j))
		}
		y := tileOut(m)
		m.argAll(0, tilesBias)
		m.argAll(1, tilesLo)
		m.argAll(2, tilesHi)
		for _, v := range y {
			m.arith(opAdd, v, v, 0)
			m.arith(opMax, v, 1, v)
			m.arith(opMin, v, 2, v)
		}
		m.store4(y, d, 0)
		m.add(d, dstStep)
	}
	m.addImm(src, wide)
	m.addImm(dst, 4*wide)
	m.loop(n, again)
	m.ret()
}

// tileOut multiplies registers 0 to 5 by the matrix of F(4,3) for the result.
func tileOut(m machine) [4]vec {
	m.arith(opAdd, 6, 1, 2)
	m.arith(opSub, 7, 1, 2)
	m.arith(opAdd, 8, 3, 4)
	m.arith(opSub, 9, 3, 4)
	m.arith(opAdd, 10, 0, 6) // the sum of the first five
	m.arith(opAdd, 10, 10, 8)
	m.set(11, 7) // m1 - m2 + 2 (m3 - m4)
	m.fma(11, 9, tileTwo)
	m.fma(6, 8, tileFour)  // m1 + m2 + 4 (m3 + m4)
	m.fma(7, 9, tileEight) // m1 - m2 + 8 (m3 - m4) + m5
	m.arith(opAdd, 7, 7, 5)
	return [4]vec{10, 11, 6, 7}
}
