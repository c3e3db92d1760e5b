// Package kernel holds the inner loops of the engine, once in plain Go and once
// in assembly for each instruction set: AVX2 with FMA and AVX-512 on amd64, NEON
// on arm64. A Set names an implementation; Best is the fastest that the machine
// runs, found by its CPU's feature bits. There is no global switch: a caller
// passes its Set along, and a test passes another.
//
// # Promises
//
// All sets compute the same function, to within a relative 1e-5 of the sum of
// the magnitudes of the terms (a matrix product or a depthwise convolution adds
// in another order and may keep a product unrounded), 1e-5 of the largest product for tiles, and
// a relative 1e-6 for Exp, Sigmoid and SiLU. Exp holds its argument between -87 and 88, so that its
// result is neither 0 nor infinite. A NaN stays one through every kernel, clamps and Max
// and Min too; only the bounds of Gemm and Depth may not be NaN.
//
// Every method checks the lengths of the slices it is given before assembly
// runs, and panics as an index out of range would. Where a kernel reads or writes
// more than a tail needs, its comment says how much, and the check covers it.
// No alignment is asked for. No method allocates or keeps what it is given.
//
// The assembly is written by the program in gen.
package kernel

//go:generate go run ./gen

// A Set is one implementation of the kernels. The zero Set is plain Go, which
// runs everywhere.
type Set uint8

// The sets. Those of another architecture are never offered by Sets.
const (
	Plain  Set = iota
	AVX2       // amd64 with AVX2 and FMA
	AVX512     // amd64 with AVX-512 F, DQ and VL
	NEON       // every arm64
)

func (s Set) String() string {
	return [...]string{"plain Go", "AVX2", "AVX-512", "NEON"}[s]
}

// Sets are the sets that this machine runs, from the slowest to the fastest.
func Sets() []Set { return append([]Set{Plain}, native()...) }

// Best is the fastest set that this machine runs.
func Best() Set {
	all := Sets()
	return all[len(all)-1]
}

// A Tile is the part of a matrix product that a set works out in registers.
type Tile struct {
	Rows  int // rows of A that are packed together
	Vecs  int // most vectors of B that stand side by side
	Lanes int // floats in a vector
}

// Cols is the width of a packed panel of B.
func (t Tile) Cols() int { return t.Vecs * t.Lanes }

// Tile is the set's tile.
func (s Set) Tile() Tile {
	return [...]Tile{{4, 1, 4}, {6, 2, 8}, {8, 2, 16}, {8, 2, 4}}[s]
}

// need panics unless a slice of have elements has the n that a kernel touches. It
// looks at no element: what a kernel reads too much may be another worker's.
func need(have, n int) {
	if n > have || n < 0 {
		panic("kernel: slice too short")
	}
}
