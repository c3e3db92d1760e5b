package builtin

import "primespark/agent/infer/builtin/kernel"

// An activation is what is done to a number on its way out of a convolution:
// the curve of its kind, or the clamp, never both.
type activation struct {
	kind   actKind
	lo, hi float32 // -inf and +inf where there is no clamp
	alpha  float32 // slope of actLeaky
	gate   gate    // of actGate
}

// A gate is what actGate multiplies a number by, itself a line of the number, and then adds.
type gate struct {
	line  kernel.Line
	shift float32
}

// hardSwish is x times min(max(x/6 + 1/2, 0), 1).
var hardSwish = activation{kind: actGate, lo: -inf, hi: inf, gate: gate{line: kernel.Line{Slope: 1.0 / 6, Offset: 0.5, Hi: 1}}}

type actKind uint8

const (
	actNone actKind = iota
	actClamp
	actLeaky
	actSigmoid
	actSiLU
	actGate
)

var noActivation = activation{lo: -inf, hi: inf}

// curved reports whether there is more to do than the clamp that the kernels do.
func (a activation) curved() bool { return a.kind > actClamp }

// apply works on a slice; dst and src may be the same.
func (a activation) apply(s kernel.Set, dst, src []float32) {
	switch a.kind {
	case actClamp:
		s.Affine(dst, src, 1, 0, a.lo, a.hi)
	case actLeaky:
		s.Leaky(dst, src, a.alpha)
	case actSigmoid:
		s.Sigmoid(dst, src)
	case actSiLU:
		s.SiLU(dst, src)
	case actGate:
		s.Gate(dst, src, a.gate.line, a.gate.shift)
	}
}
