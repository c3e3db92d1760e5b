package kernel

func native() []Set { return []Set{NEON} }

//go:noescape
func gemm1NEON(p *gemmArgs)

//go:noescape
func gemm2NEON(p *gemmArgs)

//go:noescape
func depthwise0NEON(p *depthArgs)

//go:noescape
func depthwise9NEON(p *depthArgs)

//go:noescape
func peakNEON(p *depthArgs)

//go:noescape
func tilesInNEON(p *tilesArgs)

//go:noescape
func tilesOutNEON(p *tilesArgs)

//go:noescape
func pack1NEON(p *packArgs)

//go:noescape
func pack2NEON(p *packArgs)

//go:noescape
func copyRowsNEON(p *rowsArgs)

//go:noescape
func splitRowsNEON(p *rowsArgs)

//go:noescape
func addNEON(p *mapArgs)

//go:noescape
func subNEON(p *mapArgs)

//go:noescape
func mulNEON(p *mapArgs)

//go:noescape
func divNEON(p *mapArgs)

//go:noescape
func maxNEON(p *mapArgs)

//go:noescape
func minNEON(p *mapArgs)

//go:noescape
func affineNEON(p *mapArgs)

//go:noescape
func gateNEON(p *mapArgs)

//go:noescape
func leakyNEON(p *mapArgs)

//go:noescape
func expNEON(p *mapArgs)

//go:noescape
func sigmoidNEON(p *mapArgs)

//go:noescape
func siluNEON(p *mapArgs)

//go:noescape
func sumNEON(p *mapArgs)

func asmGemm(_ Set, vecs int, p *gemmArgs) {
	if vecs == 1 {
		gemm1NEON(p)
	} else {
		gemm2NEON(p)
	}
}

func asmDepth(_ Set, p *depthArgs) {
	if p.taps == 9 {
		depthwise9NEON(p)
	} else {
		depthwise0NEON(p)
	}
}

func asmPeak(_ Set, p *depthArgs) {
	peakNEON(p)
}

func asmTilesIn(_ Set, p *tilesArgs) {
	tilesInNEON(p)
}

func asmTilesOut(_ Set, p *tilesArgs) {
	tilesOutNEON(p)
}

func asmPack(_ Set, stride int, p *packArgs) {
	if stride == 1 {
		pack1NEON(p)
	} else {
		pack2NEON(p)
	}
}

func asmCopy(_ Set, p *rowsArgs) {
	copyRowsNEON(p)
}

func asmSplit(_ Set, p *rowsArgs) {
	splitRowsNEON(p)
}

func asmAffine(_ Set, p *mapArgs) {
	affineNEON(p)
}

func asmGate(_ Set, p *mapArgs) {
	gateNEON(p)
}

func asmLeaky(_ Set, p *mapArgs) {
	leakyNEON(p)
}

func asmSum(_ Set, p *mapArgs) {
	sumNEON(p)
}

func asmZip(_ Set, op Binary, p *mapArgs) {
	switch op {
	case Add:
		addNEON(p)
	case Sub:
		subNEON(p)
	case Mul:
		mulNEON(p)
	case Div:
		divNEON(p)
	case Max:
		maxNEON(p)
	case Min:
		minNEON(p)
	}
}

func asmCurve(_ Set, c curve, p *mapArgs) {
	switch c {
	case asmExp:
		expNEON(p)
	case asmSigmoid:
		sigmoidNEON(p)
	case asmSiLU:
		siluNEON(p)
	}
}
