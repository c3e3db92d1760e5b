package main

import "fmt"

// Offsets of depthArgs.
const (
	depthTaps, depthOffs, depthW, depthSrc, depthDst = 0, 8, 16, 24, 32
	depthRows, depthSrcStep, depthDstStep, depthVecs = 40, 48, 56, 64
	depthBias, depthLo, depthHi                      = 72, 76, 80
)

// depthwise convolves one channel: each element of dst is the bias plus the
// weighted sum of the elements of src that stand at the taps' offsets from it.
// For a fixed number of taps the weights stay in registers; taps 0 is any number.
func depthwise(m machine, taps int) {
	const rows, src, dst, n, s, d, offs, w, count, off gp = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	const bias, lo, hi, tmp vec = 2, 3, 4, 5
	wide := 4 * m.shape().lanes
	m.text(fmt.Sprintf("depthwise%d", taps))
	m.arg(rows, depthRows)
	m.arg(src, depthSrc)
	m.arg(dst, depthDst)
	m.arg(offs, depthOffs)
	m.arg(w, depthW)
	m.argAll(bias, depthBias)
	m.argAll(lo, depthLo)
	m.argAll(hi, depthHi)
	for i := range taps {
		m.loadAll(vec(7+i), w, 4*i)
	}
	// columns emits one step along a row, of some vectors.
	columns := func(acc ...vec) {
		for _, v := range acc {
			m.set(v, bias)
		}
		if taps == 0 {
			again := m.fresh("tap")
			m.arg(count, depthTaps)
			m.arg(offs, depthOffs)
			m.arg(w, depthW)
			m.label(again)
			m.deref(off, offs, 0)
			m.loadAll(tmp+1, w, 0)
			for i, v := range acc {
				m.loadAt(tmp, s, off, i*wide)
				m.fma(v, tmp, tmp+1)
			}
			m.addImm(offs, 8)
			m.addImm(w, 4)
			m.loop(count, again)
		}
		for t := range taps {
			m.deref(off, offs, 8*t)
			for i, v := range acc {
				m.loadAt(tmp+vec(i), s, off, i*wide)
				m.fma(v, tmp+vec(i), vec(7+t))
			}
		}
		for i, v := range acc {
			m.arith(opMax, v, lo, v)
			m.arith(opMin, v, hi, v)
			m.store(v, d, i*wide)
		}
		m.addImm(s, len(acc)*wide)
		m.addImm(d, len(acc)*wide)
		m.addImm(n, -len(acc))
	}
	rowByRow(m, rows, src, dst, n, s, d, off, columns)
}

// peak takes the largest of the elements of src at the taps' offsets from each place.
func peak(m machine) {
	const rows, src, dst, n, s, d, offs, count, off gp = 0, 1, 2, 3, 4, 5, 6, 8, 9
	const tmp, free vec = 4, 5
	wide := 4 * m.shape().lanes
	m.text("peak")
	m.arg(rows, depthRows)
	m.arg(src, depthSrc)
	m.arg(dst, depthDst)
	columns := func(acc ...vec) {
		m.arg(count, depthTaps)
		m.arg(offs, depthOffs)
		m.deref(off, offs, 0)
		for i, v := range acc {
			m.loadAt(v, s, off, i*wide)
		}
		again, done := m.fresh("tap"), m.fresh("done")
		m.label(again)
		m.addImm(offs, 8)
		m.addImm(count, -1)
		m.jumpZero(count, done)
		m.deref(off, offs, 0)
		for i, v := range acc {
			m.loadAt(tmp, s, off, i*wide)
			m.extreme(opMax, v, v, tmp, free)
		}
		m.jump(again)
		m.label(done)
		for i, v := range acc {
			m.store(v, d, i*wide)
		}
		m.addImm(s, len(acc)*wide)
		m.addImm(d, len(acc)*wide)
		m.addImm(n, -len(acc))
	}
	rowByRow(m, rows, src, dst, n, s, d, off, columns)
}

// rowByRow emits what goes through the rows of depthArgs, columns at a time.
func rowByRow(m machine, rows, src, dst, n, s, d, off gp, columns func(acc ...vec)) {
	row, two, one, done := m.fresh("row"), m.fresh("two"), m.fresh("one"), m.fresh("done")
	m.label(row)
	m.move(s, src)
	m.move(d, dst)
	m.arg(n, depthVecs)
	m.label(two)
	m.jumpLess(n, 2, one)
	columns(0, 1)
	m.jump(two)
	m.label(one)
	m.jumpZero(n, done)
	columns(0)
	m.label(done)
	m.arg(off, depthSrcStep)
	m.add(src, off)
	m.arg(off, depthDstStep)
	m.add(dst, off)
	m.loop(rows, row)
	m.ret()
}

// Offsets of packArgs.
const packK, packSrc, packOffs, packSegs, packCount, packDst = 0, 8, 16, 24, 32, 40

// pack gathers a panel of B out of an image: for each k, and for each segment,
// a panel's width of elements, one or two apart. What a segment has too much is
// overwritten by the next segment, or by the next k.
func pack(m machine, stride int) {
	const k, src, offs, segs, count, dst, seg, s, d, off gp = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
	t := m.shape()
	m.text(fmt.Sprintf("pack%d", stride))
	m.arg(k, packK)
	m.arg(src, packSrc)
	m.arg(offs, packOffs)
	m.arg(segs, packSegs)
	m.arg(dst, packDst)
	column, segment := m.fresh("column"), m.fresh("segment")
	m.label(column)
	m.arg(count, packCount)
	m.move(seg, segs)
	m.label(segment)
	m.deref(s, offs, 0)
	m.add(s, src)
	m.deref(off, seg, 0)
	m.add(s, off)
	m.deref(d, seg, 8)
	m.add(d, dst)
	if stride == 1 {
		for i := range t.vecs {
			m.load(vec(i), s, 4*t.lanes*i)
			m.store(vec(i), d, 4*t.lanes*i)
		}
	} else {
		for i := range t.vecs * t.lanes / m.half() {
			m.load2(0, 1, s, 8*m.half()*i, 2)
			m.storeHalf(0, d, 4*m.half()*i)
		}
	}
	m.addImm(seg, 24)
	m.loop(count, segment)
	m.addImm(offs, 8)
	m.addImm(dst, 4*t.vecs*t.lanes)
	m.loop(k, column)
	m.ret()
}

// Offsets of rowsArgs.
const rowsCount, rowsN, rowsSrc, rowsSrcStep, rowsDst, rowsDst2, rowsDstStep = 0, 8, 16, 24, 32, 40, 48

// copyRows copies rows of n floats. A row's last vector overlaps the one before, so
// nothing outside of the row is read or written.
func copyRows(m machine) {
	const rows, src, dst, n, s, d, step gp = 0, 1, 2, 3, 4, 5, 6
	row, many, last, few, done := m.fresh("row"), m.fresh("many"), m.fresh("last"), m.fresh("few"), m.fresh("done")
	h := m.half()
	m.text("copyRows")
	m.arg(rows, rowsCount)
	m.arg(src, rowsSrc)
	m.arg(dst, rowsDst)
	m.label(row)
	m.move(s, src)
	m.move(d, dst)
	m.arg(n, rowsN)
	m.jumpLess(n, h, few)
	m.label(many)
	m.jumpLess(n, h+1, last)
	m.loadHalf(0, s, 0)
	m.storeHalf(0, d, 0)
	m.addImm(s, 4*h)
	m.addImm(d, 4*h)
	m.addImm(n, -h)
	m.jump(many)
	m.label(last) // n of 1 to h are left: back up to h of them
	m.addImm(n, -h)
	m.shift(n, 2)
	m.add(s, n)
	m.add(d, n)
	m.loadHalf(0, s, 0)
	m.storeHalf(0, d, 0)
	m.jump(done)
	m.label(few)
	m.loadOne(0, s, 0)
	m.storeOne(0, d, 0)
	m.addImm(s, 4)
	m.addImm(d, 4)
	m.loop(n, few)
	m.label(done)
	m.arg(step, rowsSrcStep)
	m.add(src, step)
	m.arg(step, rowsDstStep)
	m.add(dst, step)
	m.loop(rows, row)
	m.ret()
}

// splitRows parts rows of n pairs of floats: the first of each pair to dst, the
// second to dst2. Tails are done as in copyRows.
func splitRows(m machine) {
	const rows, src, dst, dst2, n, s, d, e, step gp = 0, 1, 2, 3, 4, 5, 6, 7, 8
	row, many, last, few, done := m.fresh("row"), m.fresh("many"), m.fresh("last"), m.fresh("few"), m.fresh("done")
	h := m.half()
	m.text("splitRows")
	m.arg(rows, rowsCount)
	m.arg(src, rowsSrc)
	m.arg(dst, rowsDst)
	m.arg(dst2, rowsDst2)
	m.label(row)
	m.move(s, src)
	m.move(d, dst)
	m.move(e, dst2)
	m.arg(n, rowsN)
	m.jumpLess(n, h, few)
	m.label(many)
	m.jumpLess(n, h+1, last)
	m.load2(0, 1, s, 0, 2)
	m.storeHalf(0, d, 0)
	m.storeHalf(1, e, 0)
	m.addImm(s, 8*h)
	m.addImm(d, 4*h)
	m.addImm(e, 4*h)
	m.addImm(n, -h)
	m.jump(many)
	m.label(last)
	m.addImm(n, -h)
	m.shift(n, 2)
	m.add(d, n)
	m.add(e, n)
	m.shift(n, 1)
	m.add(s, n)
	m.load2(0, 1, s, 0, 2)
	m.storeHalf(0, d, 0)
	m.storeHalf(1, e, 0)
	m.jump(done)
	m.label(few)
	m.loadOne(0, s, 0)
	m.loadOne(1, s, 4)
	m.storeOne(0, d, 0)
	m.storeOne(1, e, 0)
	m.addImm(s, 8)
	m.addImm(d, 4)
	m.addImm(e, 4)
	m.loop(n, few)
	m.label(done)
	m.arg(step, rowsSrcStep)
	m.add(src, step)
	m.arg(step, rowsDstStep)
	m.add(dst, step)
	m.add(dst2, step)
	m.loop(rows, row)
	m.ret()
}
