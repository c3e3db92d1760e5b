package oip

import (
	"math"
	"strconv"
)

// Powers of ten that a float64 holds exactly.
var exact10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float64 returns the value of n, correctly rounded, and whether it is finite.
func (n number) float64() (float64, bool) {
	if v, ok := n.exact(); ok {
		return v, true
	}
	v, err := strconv.ParseFloat(n.string(), 64)
	return v, err == nil
}

// float32 returns the value of n, correctly rounded, and whether it is finite.
func (n number) float32() (float32, bool) {
	// Rounding twice goes wrong only if the first result lies halfway between two
	// float32s: the 29 bits that the second rounding drops are then a one and zeros.
	const dropped, half = 1<<29 - 1, 1 << 28
	if v, ok := n.exact(); ok && math.Float64bits(v)&dropped != half {
		return float32(v), true
	}
	v, err := strconv.ParseFloat(n.string(), 32)
	return float32(v), err == nil
}

// exact returns the value of n where one multiplication or division of two exact
// float64s gives it (W. Clinger, How to Read Floating Point Numbers Accurately,
// 1990): so it is rounded once. Its magnitude is 0 or from 1e-22 to 1e38, all
// normal numbers of float32, too.
func (n number) exact() (float64, bool) {
	if n.lost || n.digits > 1<<53 {
		return 0, false
	}
	v := float64(n.digits)
	switch {
	case n.exp == 0:
	case n.exp > 0 && n.exp < len(exact10):
		v *= exact10[n.exp]
	case n.exp < 0 && -n.exp < len(exact10):
		v /= exact10[-n.exp]
	default:
		return 0, false
	}
	if n.negative {
		v = -v
	}
	return v, true
}

// uint64 returns the magnitude of n if it is a whole number that a uint64 holds,
// or that was written with a point or an exponent and a float64 holds exactly.
func (n number) uint64() (uint64, bool) {
	if n.whole {
		return n.digits, !n.lost
	}
	v, ok := n.float64()
	v = math.Abs(v)
	if !ok || v != math.Trunc(v) || v > 1<<53 {
		return 0, false
	}
	return uint64(v), true
}

// unsigned returns n if it is a whole number from 0 to most.
func (n number) unsigned(most uint64) (uint64, bool) {
	v, ok := n.uint64()
	return v, ok && v <= most && (!n.negative || v == 0)
}

// signed returns n if it is a whole number from -most-1 to most.
func (n number) signed(most int64) (int64, bool) {
	v, ok := n.uint64()
	if !ok {
		return 0, false
	}
	if n.negative {
		return -int64(v), v <= uint64(most)+1
	}
	return int64(v), v <= uint64(most)
}
