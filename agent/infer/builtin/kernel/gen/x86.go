package main

import "fmt"

// An x86 emits AVX2 with FMA, or AVX-512 (F and VL). Register DI holds the arguments.
type x86 struct {
	*listing
	suffix string
	reg    string // register name's letter
	tile   tile
	kept   bool // upper registers hold the constants
}

func newAVX2(l *listing) *x86 { return &x86{listing: l, suffix: "AVX2", reg: "Y", tile: tile{6, 2, 8}} }

func newAVX512(l *listing) *x86 {
	return &x86{listing: l, suffix: "AVX512", reg: "Z", tile: tile{8, 2, 16}}
}

var x86GPs = [...]string{"AX", "BX", "CX", "DX", "SI", "R8", "R9", "R10", "R11", "R12", "R13"}

func (r gp) x86() string { return x86GPs[r] }

func (m *x86) v(v vec) string { return fmt.Sprintf("%s%d", m.reg, v) }
func (m *x86) wide() bool     { return m.reg == "Z" }
func (m *x86) shape() tile    { return m.tile }

func (m *x86) text(name string) {
	m.kept = false
	m.raw(fmt.Sprintf("\n// func %s%s(p *args)\nTEXT ·%[1]s%[2]s(SB), NOSPLIT, $0-8\n", name, m.suffix))
	m.ins("MOVQ p+0(FP), DI")
}

func (m *x86) ret() { m.ins("VZEROUPPER"); m.ins("RET") }

func (m *x86) arg(r gp, off int)     { m.ins("MOVQ %d(DI), %s", off, r.x86()) }
func (m *x86) argAll(v vec, off int) { m.ins("VBROADCASTSS %d(DI), %s", off, m.v(v)) }

func (m *x86) move(d, s gp)            { m.ins("MOVQ %s, %s", s.x86(), d.x86()) }
func (m *x86) addImm(r gp, n int)      { m.ins("ADDQ $%d, %s", n, r.x86()) }
func (m *x86) add(d, s gp)             { m.ins("ADDQ %s, %s", s.x86(), d.x86()) }
func (m *x86) shift(r gp, n int)       { m.ins("SHLQ $%d, %s", n, r.x86()) }
func (m *x86) deref(d, p gp, off int)  { m.ins("MOVQ %d(%s), %s", off, p.x86(), d.x86()) }
func (m *x86) jump(l string)           { m.ins("JMP %s", l) }
func (m *x86) loop(r gp, l string)     { m.ins("DECQ %s", r.x86()); m.ins("JNZ %s", l) }
func (m *x86) jumpZero(r gp, l string) { m.ins("TESTQ %s, %[1]s", r.x86()); m.ins("JZ %s", l) }

func (m *x86) jumpLess(r gp, n int, l string) {
	m.ins("CMPQ %s, $%d", r.x86(), n)
	m.ins("JLT %s", l)
}

func (m *x86) load(v vec, p gp, off int)  { m.ins("VMOVUPS %d(%s), %s", off, p.x86(), m.v(v)) }
func (m *x86) store(v vec, p gp, off int) { m.ins("VMOVUPS %s, %d(%s)", m.v(v), off, p.x86()) }

func (m *x86) loadAt(v vec, p, i gp, off int) {
	m.ins("VMOVUPS %d(%s)(%s*1), %s", off, p.x86(), i.x86(), m.v(v))
}

func (m *x86) loadAll(v vec, p gp, off int) {
	m.ins("VBROADCASTSS %d(%s), %s", off, p.x86(), m.v(v))
}
func (m *x86) loadOne(v vec, p gp, off int)  { m.ins("VMOVSS %d(%s), X%d", off, p.x86(), v) }
func (m *x86) storeOne(v vec, p gp, off int) { m.ins("VMOVSS X%d, %d(%s)", v, off, p.x86()) }

func (m *x86) set(d, s vec) { m.ins("VMOVAPS %s, %s", m.v(s), m.v(d)) }

func (m *x86) zero(d vec) {
	if m.wide() {
		m.ins("VPXORD %s, %[1]s, %[1]s", m.v(d))
		return
	}
	m.ins("VXORPS %s, %[1]s, %[1]s", m.v(d))
}

func (m *x86) arith(op arith, d, a, b vec) {
	name := [...]string{"VADDPS", "VSUBPS", "VMULPS", "VDIVPS", "VMAXPS", "VMINPS"}[op]
	m.ins("%s %s, %s, %s", name, m.v(b), m.v(a), m.v(d))
}

// extreme does the operation in both orders: of two of which one is a NaN, the instruction
// gives the second. Put together bit by bit, a NaN stays one, and equal numbers as they are.
func (m *x86) extreme(op arith, d, a, b, free vec) {
	m.arith(op, free, a, b)
	m.arith(op, d, b, a)
	m.ins("VORPS %s, %s, %[2]s", m.v(free), m.v(d))
}

func (m *x86) fma(acc, a, b vec) { m.ins("VFMADD231PS %s, %s, %s", m.v(b), m.v(a), m.v(acc)) }
func (m *x86) fms(acc, a, b vec) { m.ins("VFNMADD231PS %s, %s, %s", m.v(b), m.v(a), m.v(acc)) }

func (m *x86) round(d, s vec) {
	name := "VROUNDPS"
	if m.wide() {
		name = "VRNDSCALEPS"
	}
	m.ins("%s $0, %s, %s", name, m.v(s), m.v(d))
}

func (m *x86) exponent(d, s vec) {
	m.ins("VCVTPS2DQ %s, %s", m.v(s), m.v(d))
	m.ins("VPSLLD $23, %s, %[1]s", m.v(d))
}

func (m *x86) scale(d, s, e vec) { m.ins("VPADDD %s, %s, %s", m.v(e), m.v(s), m.v(d)) }

func (m *x86) loadColumn(gp, vec) {}

func (m *x86) mulColumn(p gp, free vec, r int, acc, b []vec) {
	a := free + vec(r%2)
	m.loadAll(a, p, 4*r)
	for i := range acc {
		m.fma(acc[i], b[i], a)
	}
}

func (m *x86) half() int { return 8 }

func (m *x86) loadHalf(v vec, p gp, off int) { m.ins("VMOVUPS %d(%s), Y%d", off, p.x86(), v) }

func (m *x86) storeHalf(v vec, p gp, off int) { m.ins("VMOVUPS Y%d, %d(%s)", v, off, p.x86()) }

func (m *x86) load2(even, odd vec, p gp, off int, free vec) {
	m.ins("VMOVUPS %d(%s), Y%d", off, p.x86(), free)
	m.ins("VMOVUPS %d(%s), Y%d", off+32, p.x86(), free+1)
	m.ins("VSHUFPS $0x88, Y%d, Y%d, Y%d", free+1, free, even)
	m.ins("VSHUFPS $0xDD, Y%d, Y%d, Y%d", free+1, free, odd)
	m.ins("VPERMPD $0xD8, Y%d, Y%[1]d", even)
	m.ins("VPERMPD $0xD8, Y%d, Y%[1]d", odd)
}

func (m *x86) keep(p gp, n int) {
	if !m.wide() {
		return
	}
	for i := range n {
		m.loadAll(vec(16+i), p, 4*i)
	}
	m.kept = true
}

func (m *x86) konst(p gp, i int, tmp vec) vec {
	if m.kept {
		return vec(16 + i)
	}
	m.loadAll(tmp, p, 4*i)
	return tmp
}

func (m *x86) copyKonst(d vec, p gp, i int) {
	if m.kept {
		m.set(d, vec(16+i))
		return
	}
	m.loadAll(d, p, 4*i)
}

// invert divides, or where division is slow for its width takes the approximation of 14 bits
// and one step of Newton's method, which makes them 28.
func (m *x86) invert(d, s, one, free vec) {
	if !m.wide() {
		m.arith(opDiv, d, one, s)
		return
	}
	m.ins("VRCP14PS %s, %s", m.v(s), m.v(d))
	m.set(free, one)
	m.fms(free, s, d)
	m.fma(d, d, free)
}

func (m *x86) store4(v [4]vec, p gp, off int) {
	pairs := func(op string, d, a, b vec) { m.ins("%s %s, %s, %s", op, m.v(b), m.v(a), m.v(d)) }
	pairs("VUNPCKLPS", 0, v[0], v[1])
	pairs("VUNPCKHPS", 1, v[0], v[1])
	pairs("VUNPCKLPS", 2, v[2], v[3])
	pairs("VUNPCKHPS", 3, v[2], v[3])
	fours := [4]vec{4, 5, 8, 9} // each with every fourth lane of all four
	pairs("VUNPCKLPD", fours[0], 0, 2)
	pairs("VUNPCKHPD", fours[1], 0, 2)
	pairs("VUNPCKLPD", fours[2], 1, 3)
	pairs("VUNPCKHPD", fours[3], 1, 3)
	extract := "VEXTRACTF128"
	if m.wide() {
		extract = "VEXTRACTF32X4"
	}
	for i := range m.tile.lanes {
		m.ins("%s $%d, %s, %d(%s)", extract, i/4, m.v(fours[i%4]), off+16*i, p.x86())
	}
}
