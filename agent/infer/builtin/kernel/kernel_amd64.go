package kernel

import "golang.org/x/sys/cpu"

func native() (sets []Set) {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		sets = append(sets, AVX2)
		if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
			sets = append(sets, AVX512)
		}
	}
	return sets
}

//go:noescape
func gemm1AVX2(p *gemmArgs)

//go:noescape
func gemm2AVX2(p *gemmArgs)

//go:noescape
func depthwise0AVX2(p *depthArgs)

//go:noescape
func depthwise9AVX2(p *depthArgs)

//go:noescape
func peakAVX2(p *depthArgs)

//go:noescape
func tilesInAVX2(p *tilesArgs)

//go:noescape
func tilesOutAVX2(p *tilesArgs)

//go:noescape
func pack1AVX2(p *packArgs)

//go:noescape
func pack2AVX2(p *packArgs)

//go:noescape
func copyRowsAVX2(p *rowsArgs)

//go:noescape
func splitRowsAVX2(p *rowsArgs)

//go:noescape
func addAVX2(p *mapArgs)

//go:noescape
func subAVX2(p *mapArgs)

//go:noescape
func mulAVX2(p *mapArgs)

//go:noescape
func divAVX2(p *mapArgs)

//go:noescape
func maxAVX2(p *mapArgs)

//go:noescape
func minAVX2(p *mapArgs)

//go:noescape
func affineAVX2(p *mapArgs)

//go:noescape
func gateAVX2(p *mapArgs)

//go:noescape
func leakyAVX2(p *mapArgs)

//go:noescape
func expAVX2(p *mapArgs)

//go:noescape
func sigmoidAVX2(p *mapArgs)

//go:noescape
func siluAVX2(p *mapArgs)

//go:noescape
func sumAVX2(p *mapArgs)

//go:noescape
func gemm1AVX512(p *gemmArgs)

//go:noescape
func gemm2AVX512(p *gemmArgs)

//go:noescape
func depthwise0AVX512(p *depthArgs)

//go:noescape
func depthwise9AVX512(p *depthArgs)

//go:noescape
func peakAVX512(p *depthArgs)

//go:noescape
func tilesInAVX512(p *tilesArgs)

//go:noescape
func tilesOutAVX512(p *tilesArgs)

//go:noescape
func pack1AVX512(p *packArgs)

//go:noescape
func pack2AVX512(p *packArgs)

//go:noescape
func copyRowsAVX512(p *rowsArgs)

//go:noescape
func splitRowsAVX512(p *rowsArgs)

//go:noescape
func addAVX512(p *mapArgs)

//go:noescape
func subAVX512(p *mapArgs)

//go:noescape
func mulAVX512(p *mapArgs)

//go:noescape
func divAVX512(p *mapArgs)

//go:noescape
func maxAVX512(p *mapArgs)

//go:noescape
func minAVX512(p *mapArgs)

//go:noescape
func affineAVX512(p *mapArgs)

//go:noescape
func gateAVX512(p *mapArgs)

//go:noescape
func leakyAVX512(p *mapArgs)

//go:noescape
func expAVX512(p *mapArgs)

//go:noescape
func sigmoidAVX512(p *mapArgs)

//go:noescape
func siluAVX512(p *mapArgs)

//go:noescape
func sumAVX512(p *mapArgs)

func asmGemm(s Set, vecs int, p *gemmArgs) {
	if s == AVX512 {
		if vecs == 1 {
			gemm1AVX512(p)
		} else {
			gemm2AVX512(p)
		}
		return
	}
	if vecs == 1 {
		gemm1AVX2(p)
	} else {
		gemm2AVX2(p)
	}
}

func asmDepth(s Set, p *depthArgs) {
	if s == AVX512 {
		if p.taps == 9 {
			depthwise9AVX512(p)
		} else {
			depthwise0AVX512(p)
		}
		return
	}
	if p.taps == 9 {
		depthwise9AVX2(p)
	} else {
		depthwise0AVX2(p)
	}
}

func asmPeak(s Set, p *depthArgs) {
	if s == AVX512 {
		peakAVX512(p)
		return
	}
	peakAVX2(p)
}

func asmTilesIn(s Set, p *tilesArgs) {
	if s == AVX512 {
		tilesInAVX512(p)
		return
	}
	tilesInAVX2(p)
}

func asmTilesOut(s Set, p *tilesArgs) {
	if s == AVX512 {
		tilesOutAVX512(p)
		return
	}
	tilesOutAVX2(p)
}

func asmPack(s Set, stride int, p *packArgs) {
	if s == AVX512 {
		if stride == 1 {
			pack1AVX512(p)
		} else {
			pack2AVX512(p)
		}
		return
	}
	if stride == 1 {
		pack1AVX2(p)
	} else {
		pack2AVX2(p)
	}
}

func asmCopy(s Set, p *rowsArgs) {
	if s == AVX512 {
		copyRowsAVX512(p)
		return
	}
	copyRowsAVX2(p)
}

func asmSplit(s Set, p *rowsArgs) {
	if s == AVX512 {
		splitRowsAVX512(p)
		return
	}
	splitRowsAVX2(p)
}

func asmAffine(s Set, p *mapArgs) {
	if s == AVX512 {
		affineAVX512(p)
		return
	}
	affineAVX2(p)
}

func asmGate(s Set, p *mapArgs) {
	if s == AVX512 {
		gateAVX512(p)
		return
	}
	gateAVX2(p)
}

func asmLeaky(s Set, p *mapArgs) {
	if s == AVX512 {
		leakyAVX512(p)
		return
	}
	leakyAVX2(p)
}

func asmSum(s Set, p *mapArgs) {
	if s == AVX512 {
		sumAVX512(p)
		return
	}
	sumAVX2(p)
}

func asmZip(s Set, op Binary, p *mapArgs) {
	if s == AVX512 {
		switch op {
		case Add:
			addAVX512(p)
		case Sub:
			subAVX512(p)
		case Mul:
			mulAVX512(p)
		case Div:
			divAVX512(p)
		case Max:
			maxAVX512(p)
		case Min:
			minAVX512(p)
		}
		return
	}
	switch op {
	case Add:
		addAVX2(p)
	case Sub:
		subAVX2(p)
	case Mul:
		mulAVX2(p)
	case Div:
		divAVX2(p)
	case Max:
		maxAVX2(p)
	case Min:
		minAVX2(p)
	}
}

func asmCurve(s Set, c curve, p *mapArgs) {
	if s == AVX512 {
		switch c {
		case asmExp:
			expAVX512(p)
		case asmSigmoid:
			sigmoidAVX512(p)
		case asmSiLU:
			siluAVX512(p)
		}
		return
	}
	switch c {
	case asmExp:
		expAVX2(p)
	case asmSigmoid:
		sigmoidAVX2(p)
	case asmSiLU:
		siluAVX2(p)
	}
}
