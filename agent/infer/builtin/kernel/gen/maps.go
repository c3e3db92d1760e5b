package main

// Offsets of mapArgs: n vectors from a (and b) to dst; s0 to s4 are floats.
const mapN, mapDst, mapA, mapB, mapS0, mapS1, mapS2, mapS3, mapTable, mapS4 = 0, 8, 16, 24, 32, 36, 40, 44, 48, 56

// each emits a function that applies body to every vector of a: body turns
// register 0 into its result, register 1 holding the vector of b if there is one.
func each(m machine, name string, withB bool, setup, body func()) {
	const n, dst, a, b gp = 0, 1, 2, 3
	wide := 4 * m.shape().lanes
	again := m.fresh("vector")
	m.text(name)
	m.arg(n, mapN)
	m.arg(dst, mapDst)
	m.arg(a, mapA)
	if withB {
		m.arg(b, mapB)
	}
	setup()
	m.label(again)
	m.load(0, a, 0)
	m.addImm(a, wide)
	if withB {
		m.load(1, b, 0)
		m.addImm(b, wide)
	}
	body()
	m.store(0, dst, 0)
	m.addImm(dst, wide)
	m.loop(n, again)
	m.ret()
}

// maps emits the element-wise kernels.
func maps(m machine) {
	none := func() {}
	for op, name := range []string{"add", "sub", "mul", "div", "max", "min"} {
		each(m, name, true, none, func() {
			if arith(op) == opMax || arith(op) == opMin {
				m.extreme(arith(op), 0, 0, 1, 2)
				return
			}
			m.arith(arith(op), 0, 0, 1)
		})
	}
	// affine: clamp(x*s0 + s1, s2, s3)
	each(m, "affine", false, func() {
		for i := range 4 {
			m.argAll(vec(4+i), mapS0+4*i)
		}
	}, func() {
		m.set(1, 5)
		m.fma(1, 0, 4)
		m.arith(opMax, 1, 6, 1)
		m.arith(opMin, 0, 7, 1)
	})
	// gate: x*clamp(x*s0 + s1, s2, s3) + s4
	each(m, "gate", false, func() {
		for i := range 4 {
			m.argAll(vec(4+i), mapS0+4*i)
		}
		m.argAll(8, mapS4)
	}, func() {
		m.set(1, 5)
		m.fma(1, 0, 4)
		m.arith(opMax, 1, 6, 1)
		m.arith(opMin, 1, 7, 1)
		m.set(2, 8)
		m.fma(2, 0, 1)
		m.set(0, 2)
	})
	// leaky: max(x,0) + s0*min(x,0)
	each(m, "leaky", false, func() {
		m.argAll(4, mapS0)
		m.zero(5)
	}, func() {
		m.arith(opMin, 1, 5, 0)
		m.arith(opMax, 0, 5, 0)
		m.fma(0, 1, 4)
	})
	const table gp = 4
	load := func() {
		m.arg(table, mapTable)
		m.keep(table, 12)
	}
	each(m, "exp", false, load, func() { exp(m, table, 0) })
	each(m, "sigmoid", false, load, func() {
		sigmoid(m, table)
		m.set(0, 4)
	})
	each(m, "silu", false, load, func() {
		m.set(6, 0)
		sigmoid(m, table)
		m.arith(opMul, 0, 4, 6)
	})
}

// exp turns register x into e to the power of it, by way of registers 1 to 5:
// e^x = 2^n × e^r with n = round(x/ln 2), and the polynomial of Cephes' expf for e^r.
// 2^n is made by adding n to the exponent of e^r, which is near 1.
func exp(m machine, table gp, x vec) {
	const r, n, k vec = 1, 2, 5
	p, q := vec(3), vec(4)
	m.arith(opMax, r, m.konst(table, 0, k), x)
	m.arith(opMin, r, m.konst(table, 1, k), r)
	m.arith(opMul, n, r, m.konst(table, 2, k))
	m.round(n, n)
	m.fms(r, n, m.konst(table, 3, k))
	m.fms(r, n, m.konst(table, 4, k))
	m.copyKonst(p, table, 5)
	for i := range 5 { // Horner's scheme, the sum changing registers
		m.copyKonst(q, table, 6+i)
		m.fma(q, p, r)
		p, q = q, p
	}
	m.arith(opMul, q, r, r)
	m.arith(opAdd, r, r, m.konst(table, 11, k))
	m.fma(r, p, q)
	m.exponent(n, n)
	m.scale(x, r, n)
}

// sigmoid leaves 1/(1+e^-x), x in register 0, in register 4.
func sigmoid(m machine, table gp) {
	m.zero(4)
	m.arith(opSub, 0, 4, 0)
	exp(m, table, 0)
	one := m.konst(table, 11, 5)
	m.arith(opAdd, 0, 0, one)
	m.invert(4, 0, one, 1)
}

// sum adds up n vectors of a, four at a time side by side, into the vector at dst.
func sum(m machine) {
	const n, dst, a gp = 0, 1, 2
	wide := 4 * m.shape().lanes
	four, one, done := m.fresh("four"), m.fresh("one"), m.fresh("done")
	m.text("sum")
	m.arg(n, mapN)
	m.arg(dst, mapDst)
	m.arg(a, mapA)
	for i := range 4 {
		m.zero(vec(i))
	}
	m.label(four)
	m.jumpLess(n, 4, one)
	for i := range 4 {
		m.load(vec(4+i), a, i*wide)
		m.arith(opAdd, vec(i), vec(i), vec(4+i))
	}
	m.addImm(a, 4*wide)
	m.addImm(n, -4)
	m.jump(four)
	m.label(one)
	m.jumpZero(n, done)
	m.load(4, a, 0)
	m.arith(opAdd, 0, 0, 4)
	m.addImm(a, wide)
	m.addImm(n, -1)
	m.jump(one)
	m.label(done)
	m.arith(opAdd, 0, 0, 1)
	m.arith(opAdd, 2, 2, 3)
	m.arith(opAdd, 0, 0, 2)
	m.store(0, dst, 0)
	m.ret()
}
