package builtin

import "primespark/agent/infer/builtin/kernel"

// An activation is what is done to a number on its way out of a convolution:
// the curve of its kind, or the clamp, never both.
type activation struct {
	kind   actKind
	lo, hi float32 // -inf and +inf where there is no clamp
	alpha  float32 // slope of actLeaky
}

type actKind uint8

const (
	actNone actKind = iota
	actClamp
	actLeaky
	actSigmoid
	actSiLU
	actHardSwish
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
	case actHardSwish:
		hardSwish(s, dst, src)
	}
}

// hardSwish is x times min(max(x/6 + 1/2, 0), 1).
func hardSwish(s kernel.Set, dst, src []float32) {
	var gate [256]float32
	for len(src) > 0 {
		n := min(len(src), len(gate))
		s.Affine(gate[:n], src[:n], 1.0/6, 0.5, 0, 1)
		s.Zip(kernel.Mul, dst[:n], src[:n], gate[:n])
		dst, src = dst[n:], src[n:]
	}
}
