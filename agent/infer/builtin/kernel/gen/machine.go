package main

// A gp is a general-purpose register, numbered from 0 to 10 on every machine.
type gp int

// A vec is a vector register. Machines have at least 16; those with 32 keep a
// map's constants in the upper ones.
type vec int

// A tile is the shape of a machine's matrix multiplication: rows of A times
// vecs vectors of B, each of lanes floats.
type tile struct{ rows, vecs, lanes int }

// A machine emits the instructions of one instruction set. Offsets and steps
// are in bytes. Operands stand as in arithmetic: destination first.
type machine interface {
	shape() tile
	fresh(name string) string
	label(name string)

	text(name string)      // begins the function name(args *T)
	ret()                  // ends it
	arg(r gp, off int)     // r = the 8-byte field of args at off
	argAll(v vec, off int) // all lanes of v = the float field of args at off

	move(d, s gp)
	addImm(r gp, n int)
	add(d, s gp)
	shift(r gp, n int)              // r <<= n
	deref(d, p gp, off int)         // d = the 8 bytes at p+off
	jumpZero(r gp, label string)    // if r == 0
	jumpLess(r gp, n int, l string) // if r < n, signed
	loop(r gp, label string)        // r--, and to label unless r == 0
	jump(label string)

	load(v vec, p gp, off int)
	loadAt(v vec, p, index gp, off int) // from p+index+off
	store(v vec, p gp, off int)
	loadAll(v vec, p gp, off int) // all lanes = the float at p+off
	loadOne(v vec, p gp, off int) // lane 0 = the float at p+off
	storeOne(v vec, p gp, off int)

	set(d, s vec)
	// arith does the operation. What comes of a NaN in a is the machine's affair for opMax
	// and opMin; one in b stays, so that a clamp takes its bound as a. extreme is opMax or
	// opMin for which both stay.
	arith(op arith, d, a, b vec)
	extreme(op arith, d, a, b, free vec)
	fma(acc, a, b vec) // acc += a*b
	fms(acc, a, b vec) // acc -= a*b
	round(d, s vec)    // to the nearest integer, ties to even
	exponent(d, s vec) // d = the integers s, where a float has its exponent
	scale(d, s, e vec) // d = s * 2^e for the result e of exponent
	zero(d vec)
	invert(d, s, one, free vec) // d = 1/s; one holds ones

	// loadColumn and mulColumn work on one column of A, of shape().rows floats at p:
	// the first readies it, and the second adds row r of it, times b, to acc.
	// The registers from free on may be used for it.
	loadColumn(p gp, free vec)
	mulColumn(p gp, free vec, r int, acc, b []vec)

	// half is the width in floats of the registers of load2 and of copies.
	half() int
	loadHalf(v vec, p gp, off int)
	storeHalf(v vec, p gp, off int)
	// load2 parts 2*half floats at p+off into the even and the odd ones; it may use free.
	load2(even, odd vec, p gp, off int, free vec)

	// store4 puts down the lanes of four vectors in turn: lane 0 of each, then lane 1. It may use
	// registers 0 to 5, 8 and 9, and those from 16 on.
	store4(v [4]vec, p gp, off int)

	// konst returns a register that holds constant i of the table, loading it into
	// tmp when the machine has none to keep it in. keep readies n of them, the
	// table being at p.
	keep(p gp, n int)
	konst(p gp, i int, tmp vec) vec
	copyKonst(d vec, p gp, i int) // d = constant i
}

// An arith is an operation on two vectors.
type arith int

const (
	opAdd arith = iota
	opSub
	opMul
	opDiv
	opMax
	opMin
)
