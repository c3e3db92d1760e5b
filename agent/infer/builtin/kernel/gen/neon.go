package main

import "fmt"

// A neon emits Advanced SIMD for 64-bit ARM. Go's assembler lacks most vector
// floating-point instructions, so those are written as words; the encodings are
// from the Arm Architecture Reference Manual (DDI 0487), C7.2, for the 4S arrangement.
// Register R11 holds the arguments, R12 and R13 are scratch.
type neon struct {
	*listing
	kept bool
}

func (r gp) arm() string { return fmt.Sprintf("R%d", int(r)) }

func (m *neon) shape() tile { return tile{8, 2, 4} }
func (m *neon) half() int   { return 4 }

func (m *neon) text(name string) {
	m.kept = false
	m.raw(fmt.Sprintf("\n// func %sNEON(p *args)\nTEXT ·%[1]sNEON(SB), NOSPLIT, $0-8\n", name))
	m.ins("MOVD p+0(FP), R11")
}
func (m *neon) ret() { m.ins("RET") }

func (m *neon) word(w uint32, comment string, a ...any) {
	m.ins("WORD $0x%08x // %s", w, fmt.Sprintf(comment, a...))
}

// three emits an instruction of the shape OP Vd, Vn, Vm.
func (m *neon) three(op uint32, name string, d, n, k vec) {
	m.word(op|uint32(k)<<16|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, v%d.4s", name, d, n, k)
}

// two emits an instruction of the shape OP Vd, Vn.
func (m *neon) two(op uint32, name string, d, n vec) {
	m.word(op|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s", name, d, n)
}

// dup copies lane 0 of v into the others.
func (m *neon) dup(v vec) { m.word(0x4E040400|uint32(v)<<5|uint32(v), "dup v%d.4s, v%d.s[0]", v, v) }

func (m *neon) arg(r gp, off int) { m.ins("MOVD %d(R11), %s", off, r.arm()) }
func (m *neon) argAll(v vec, off int) {
	m.ins("FMOVS %d(R11), F%d", off, v)
	m.dup(v)
}

func (m *neon) move(d, s gp)           { m.ins("MOVD %s, %s", s.arm(), d.arm()) }
func (m *neon) add(d, s gp)            { m.ins("ADD %s, %s", s.arm(), d.arm()) }
func (m *neon) shift(r gp, n int)      { m.ins("LSL $%d, %s", n, r.arm()) }
func (m *neon) deref(d, p gp, off int) { m.ins("MOVD %d(%s), %s", off, p.arm(), d.arm()) }
func (m *neon) jump(l string)          { m.ins("JMP %s", l) }

func (m *neon) addImm(r gp, n int) {
	if n < 0 {
		m.ins("SUB $%d, %s", -n, r.arm())
		return
	}
	m.ins("ADD $%d, %s", n, r.arm())
}

func (m *neon) loop(r gp, l string) {
	m.ins("SUB $1, %s", r.arm())
	m.ins("CBNZ %s, %s", r.arm(), l)
}
func (m *neon) jumpZero(r gp, l string) { m.ins("CBZ %s, %s", r.arm(), l) }

func (m *neon) jumpLess(r gp, n int, l string) {
	m.ins("CMP $%d, %s", n, r.arm())
	m.ins("BLT %s", l)
}

func (m *neon) load(v vec, p gp, off int)  { m.ins("FMOVQ %d(%s), F%d", off, p.arm(), v) }
func (m *neon) store(v vec, p gp, off int) { m.ins("FMOVQ F%d, %d(%s)", v, off, p.arm()) }

func (m *neon) loadAt(v vec, p, i gp, off int) {
	m.ins("ADD %s, %s, R12", p.arm(), i.arm())
	m.ins("FMOVQ %d(R12), F%d", off, v)
}

func (m *neon) loadAll(v vec, p gp, off int) {
	m.loadOne(v, p, off)
	m.dup(v)
}
func (m *neon) loadOne(v vec, p gp, off int)  { m.ins("FMOVS %d(%s), F%d", off, p.arm(), v) }
func (m *neon) storeOne(v vec, p gp, off int) { m.ins("FMOVS F%d, %d(%s)", v, off, p.arm()) }

func (m *neon) set(d, s vec) { m.ins("VMOV V%d.B16, V%d.B16", s, d) }
func (m *neon) zero(d vec)   { m.ins("VEOR V%d.B16, V%[1]d.B16, V%[1]d.B16", d) }

func (m *neon) arith(op arith, d, a, b vec) {
	k := [...]struct {
		op   uint32
		name string
	}{
		{0x4E20D400, "fadd"},
		{0x4EA0D400, "fsub"},
		{0x6E20DC00, "fmul"},
		{0x6E20FC00, "fdiv"},
		{0x4E20F400, "fmax"},
		{0x4EA0F400, "fmin"},
	}[op]
	m.three(k.op, k.name, d, a, b)
}

// extreme is arith: fmax and fmin keep a NaN, unlike fmaxnm and fminnm.
func (m *neon) extreme(op arith, d, a, b, _ vec) { m.arith(op, d, a, b) }

func (m *neon) fma(acc, a, b vec) { m.three(0x4E20CC00, "fmla", acc, a, b) }
func (m *neon) fms(acc, a, b vec) { m.three(0x4EA0CC00, "fmls", acc, a, b) }
func (m *neon) round(d, s vec)    { m.two(0x4E218800, "frintn", d, s) }

func (m *neon) exponent(d, s vec) {
	m.two(0x4E21A800, "fcvtns", d, s)
	m.word(0x4F375400|uint32(d)<<5|uint32(d), "shl v%d.4s, v%d.4s, #23", d, d)
}

func (m *neon) scale(d, s, e vec) { m.ins("VADD V%d.S4, V%d.S4, V%d.S4", e, s, d) }

func (m *neon) loadColumn(p gp, free vec) {
	m.load(free, p, 0)
	m.load(free+1, p, 16)
}

func (m *neon) mulColumn(_ gp, free vec, r int, acc, b []vec) {
	a, lane := uint32(free)+uint32(r/4), uint32(r%4)
	for i := range acc {
		w := 0x4F801000 | (lane&1)<<21 | (a>>4)<<20 | (a&15)<<16 | (lane>>1)<<11 | uint32(b[i])<<5 | uint32(acc[i])
		m.word(w, "fmla v%d.4s, v%d.4s, v%d.s[%d]", acc[i], b[i], a, lane)
	}
}

func (m *neon) loadHalf(v vec, p gp, off int)  { m.load(v, p, off) }
func (m *neon) storeHalf(v vec, p gp, off int) { m.store(v, p, off) }

func (m *neon) load2(even, odd vec, p gp, off int, free vec) {
	m.load(free, p, off)
	m.load(free+1, p, off+16)
	m.three(0x4E801800, "uzp1", even, free, free+1)
	m.three(0x4E805800, "uzp2", odd, free, free+1)
}

func (m *neon) keep(p gp, n int) {
	for i := range n {
		m.loadAll(vec(16+i), p, 4*i)
	}
	m.kept = true
}

func (m *neon) konst(p gp, i int, tmp vec) vec {
	if m.kept {
		return vec(16 + i)
	}
	m.loadAll(tmp, p, 4*i)
	return tmp
}

func (m *neon) copyKonst(d vec, _ gp, i int) { m.set(d, vec(16+i)) }

func (m *neon) invert(d, s, one, _ vec) { m.arith(opDiv, d, one, s) }

func (m *neon) store4(v [4]vec, p gp, off int) {
	for i, r := range v {
		m.set(vec(16+i), r) // the instruction takes neighbours
	}
	m.ins("ADD $%d, %s, R12", off, p.arm())
	m.ins("VST4 [V16.S4, V17.S4, V18.S4, V19.S4], (R12)")
}
