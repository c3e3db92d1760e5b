package baseline

// A block is the coefficients of one, row by row.
type block [64]int32

// The cosines of the inverse transforms in fixed point, of fixed bits: the method of C.
// Loeffler, A. Ligtenberg and G. Moschytz, "Practical Fast 1-D DCT Algorithms with 11
// Multiplications" (1989), in the form that libjpeg made common. Between the two passes
// numbers have extra bits. What is out of range wraps around, and is nonsense already.
const (
	fixed = 13
	extra = 2

	c0298 = 2446  // 0.298631336
	c0390 = 3196  // 0.390180644
	c0541 = 4433  // 0.541196100
	c0765 = 6270  // 0.765366865
	c0899 = 7373  // 0.899976223
	c1175 = 9633  // 1.175875602
	c1501 = 12299 // 1.501321110
	c1847 = 15137 // 1.847759065
	c1961 = 16069 // 1.961570560
	c2053 = 16819 // 2.053119869
	c2562 = 20995 // 2.562915447
	c3072 = 25172 // 3.072711026
)

// eight is the transform of eight numbers, times 1<<fixed.
func eight(a0, a1, a2, a3, a4, a5, a6, a7 int32) (r0, r1, r2, r3, r4, r5, r6, r7 int32) {
	z := (a2 + a6) * c0541
	e2, e3 := z+a2*c0765, z-a6*c1847
	e0, e1 := (a0+a4)<<fixed, (a0-a4)<<fixed
	s0, s3, s1, s2 := e0+e2, e0-e2, e1+e3, e1-e3

	z2, z3 := a7+a3, a5+a1
	z1 := (z2 + z3) * c1175
	z2, z3 = z1-z2*c1961, z1-z3*c0390
	z1 = -(a7 + a1) * c0899
	o0, o3 := a7*c0298+z1+z2, a1*c1501+z1+z3
	z1 = -(a5 + a3) * c2562
	o1, o2 := a5*c2053+z1+z3, a3*c3072+z1+z2
	return s0 + o3, s1 + o2, s2 + o1, s3 + o0, s3 - o0, s2 - o1, s1 - o2, s0 - o3
}

// inverse8 writes the block at its full size.
func (b *block) inverse8(out []byte, stride int) {
	const (
		first  = fixed - extra
		second = fixed + extra + 3
		r1     = 1 << (first - 1)
	)
	for x := range 8 {
		c := b[x : x+57 : x+57]
		if c[8]|c[16]|c[24]|c[32]|c[40]|c[48]|c[56] == 0 {
			v := c[0] << extra
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		a0, a1, a2, a3, a4, a5, a6, a7 := eight(c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56])
		c[0], c[8], c[16], c[24] = (a0+r1)>>first, (a1+r1)>>first, (a2+r1)>>first, (a3+r1)>>first
		c[32], c[40], c[48], c[56] = (a4+r1)>>first, (a5+r1)>>first, (a6+r1)>>first, (a7+r1)>>first
	}
	for y := range 8 {
		c, o := b[8*y:8*y+8:8*y+8], out[y*stride:y*stride+8:y*stride+8]
		// The middle of the range and the half that rounds, before the shift.
		const half = 1<<(second-fixed-1) + 128<<(second-fixed)
		a0, a1, a2, a3, a4, a5, a6, a7 := eight(c[0]+half, c[1], c[2], c[3], c[4], c[5], c[6], c[7])
		o[0], o[1], o[2], o[3] = clamp(a0>>second), clamp(a1>>second), clamp(a2>>second), clamp(a3>>second)
		o[4], o[5], o[6], o[7] = clamp(a4>>second), clamp(a5>>second), clamp(a6>>second), clamp(a7>>second)
	}
}

// four is the transform of four numbers, times 1<<fixed.
func four(a0, a1, a2, a3 int32) (r0, r1, r2, r3 int32) {
	e0, e1 := (a0+a2)<<fixed, (a0-a2)<<fixed
	z := (a1 + a3) * c0541
	o0, o1 := z+a1*c0765, z-a3*c1847
	return e0 + o0, e1 + o1, e1 - o1, e0 - o0
}

// inverse4 writes the block at half of its size.
func (b *block) inverse4(out []byte, stride int) {
	const (
		first  = fixed - extra
		second = fixed + extra + 3
		r1     = 1 << (first - 1)
		half   = 1<<(second-fixed-1) + 128<<(second-fixed)
	)
	for x := range 4 {
		c := b[x : x+25 : x+25]
		a0, a1, a2, a3 := four(c[0], c[8], c[16], c[24])
		c[0], c[8], c[16], c[24] = (a0+r1)>>first, (a1+r1)>>first, (a2+r1)>>first, (a3+r1)>>first
	}
	for y := range 4 {
		c, o := b[8*y:8*y+4:8*y+4], out[y*stride:y*stride+4:y*stride+4]
		a0, a1, a2, a3 := four(c[0]+half, c[1], c[2], c[3])
		o[0], o[1], o[2], o[3] = clamp(a0>>second), clamp(a1>>second), clamp(a2>>second), clamp(a3>>second)
	}
}

// inverse2 writes the block at a quarter of its size.
func (b *block) inverse2(out []byte, stride int) {
	const half = 4 + 128<<3
	sum, across, down, both := b[0]+half, b[1], b[8], b[9]
	out[0], out[1] = clamp((sum+across+down+both)>>3), clamp((sum-across+down-both)>>3)
	out[stride], out[stride+1] = clamp((sum+across-down-both)>>3), clamp((sum-across-down+both)>>3)
}

// flat writes a block of which only the mean is known, or wanted.
func flat(out []byte, stride, size int, dc int32) {
	v := clamp((dc + 4 + 128<<3) >> 3)
	for y := range size {
		row := out[y*stride : y*stride+size]
		for x := range row {
			row[x] = v
		}
	}
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
