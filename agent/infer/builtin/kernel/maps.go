package kernel

import "math"

// A Binary is an operation on two numbers.
type Binary uint8

// The operations of Zip.
const (
	Add Binary = iota
	Sub
	Mul
	Div
	Max
	Min
)

type mapArgs struct {
	n              int // vectors
	dst, a, b      *float32
	s0, s1, s2, s3 float32
	table          *[12]float32
	s4             float32
}

// Zip sets dst[i] to a[i] op b[i], for the length of dst. The slices may be the same.
func (s Set) Zip(op Binary, dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	done := s.vectors(len(dst))
	if done > 0 {
		asmZip(s, op, &mapArgs{n: done / s.Tile().Lanes, dst: &dst[0], a: &a[0], b: &b[0]})
	}
	plainZip(op, dst[done:], a[done:], b[done:])
}

func plainZip(op Binary, dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	switch op {
	case Add:
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	case Sub:
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	case Mul:
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	case Div:
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
	case Max:
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	case Min:
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	}
}

// vectors is the number of the first n elements that fill whole vectors, 0 for
// the plain set.
func (s Set) vectors(n int) int {
	if s == Plain {
		return 0
	}
	return n &^ (s.Tile().Lanes - 1)
}

// Affine sets dst[i] to min(max(a[i]*scale + shift, lo), hi).
func (s Set) Affine(dst, a []float32, scale, shift, lo, hi float32) {
	a = a[:len(dst)]
	if lo != lo || hi != hi {
		shift = float32(math.NaN()) // the instructions pass over a bound that is no number
	}
	done := s.vectors(len(dst))
	if done > 0 {
		asmAffine(s, &mapArgs{n: done / s.Tile().Lanes, dst: &dst[0], a: &a[0], s0: scale, s1: shift, s2: lo, s3: hi})
	}
	for i, v := range a[done:] {
		dst[done+i] = min(max(v*scale+shift, lo), hi)
	}
}

// A Line is a straight line that ends in two clamps: min(max(x*Slope + Offset, Lo), Hi).
// Neither bound may be NaN.
type Line struct{ Slope, Offset, Lo, Hi float32 }

// Gate sets dst[i] to a[i]*l(a[i]) + shift: a hard swish, if the line goes from 0 to 1.
func (s Set) Gate(dst, a []float32, l Line, shift float32) {
	a = a[:len(dst)]
	done := s.vectors(len(dst))
	if done > 0 {
		asmGate(s, &mapArgs{n: done / s.Tile().Lanes, dst: &dst[0], a: &a[0], s0: l.Slope, s1: l.Offset, s2: l.Lo, s3: l.Hi, s4: shift})
	}
	for i, v := range a[done:] {
		dst[done+i] = v*min(max(v*l.Slope+l.Offset, l.Lo), l.Hi) + shift
	}
}

// Leaky sets dst[i] to a[i], times slope where it is negative.
func (s Set) Leaky(dst, a []float32, slope float32) {
	a = a[:len(dst)]
	done := s.vectors(len(dst))
	if done > 0 {
		asmLeaky(s, &mapArgs{n: done / s.Tile().Lanes, dst: &dst[0], a: &a[0], s0: slope})
	}
	for i, v := range a[done:] {
		dst[done+i] = max(v, 0) + slope*min(v, 0)
	}
}

// Sum adds up the elements of a.
func (s Set) Sum(a []float32) (total float32) {
	done := s.vectors(len(a))
	if done > 0 {
		var lanes [16]float32
		asmSum(s, &mapArgs{n: done / s.Tile().Lanes, dst: &lanes[0], a: &a[0]})
		for _, v := range lanes[:s.Tile().Lanes] {
			total += v
		}
	}
	for _, v := range a[done:] {
		total += v
	}
	return total
}

// expTable holds the constants of exp, in the order that the assembly wants:
// the bounds of x, 1/ln 2, ln 2 in two parts, and the coefficients of Cephes' expf.
var expTable = [12]float32{
	-87, 88, math.Log2E, 0.693359375, -2.12194440e-4,
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1,
}

// Exp sets dst[i] to e to the power of a[i].
func (s Set) Exp(dst, a []float32) { s.curve(dst, a, asmExp, expf) }

// Sigmoid sets dst[i] to 1/(1+e^-a[i]).
func (s Set) Sigmoid(dst, a []float32) {
	s.curve(dst, a, asmSigmoid, func(x float32) float32 { return 1 / (1 + expf(-x)) })
}

// SiLU sets dst[i] to a[i]/(1+e^-a[i]).
func (s Set) SiLU(dst, a []float32) {
	s.curve(dst, a, asmSiLU, func(x float32) float32 { return x / (1 + expf(-x)) })
}

// A curve is one of the assembly functions that read expTable.
type curve uint8

const (
	asmExp curve = iota
	asmSigmoid
	asmSiLU
)

func (s Set) curve(dst, a []float32, c curve, plain func(float32) float32) {
	a = a[:len(dst)]
	done := s.vectors(len(dst))
	if done > 0 {
		asmCurve(s, c, &mapArgs{n: done / s.Tile().Lanes, dst: &dst[0], a: &a[0], table: &expTable})
	}
	if s == Plain {
		for i, v := range a {
			dst[i] = plain(v)
		}
		return
	}
	if done < len(dst) { // the tail, by way of a vector aside
		var aside [16]float32
		copy(aside[:], a[done:])
		asmCurve(s, c, &mapArgs{n: 1, dst: &aside[0], a: &aside[0], table: &expTable})
		copy(dst[done:], aside[:])
	}
}

// expf is the assembly's exp, step by step.
func expf(x float32) float32 {
	t := &expTable
	x = min(max(x, t[0]), t[1])
	n := float32(math.RoundToEven(float64(x * t[2])))
	r := x - n*t[3] - n*t[4]
	p := t[5]
	for _, c := range t[6:11] {
		p = p*r + c
	}
	p = p*r*r + r + 1
	return math.Float32frombits(math.Float32bits(p) + uint32(int32(n))<<23)
}
