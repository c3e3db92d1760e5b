//go:build !amd64 && !arm64

package kernel

// On other machines there is only the plain set, which never calls these.

func native() []Set { return nil }

func asmGemm(_ Set, _ int, _ *gemmArgs)   {}
func asmDepth(_ Set, _ *depthArgs)        {}
func asmPeak(_ Set, _ *depthArgs)         {}
func asmTilesIn(_ Set, _ *tilesArgs)      {}
func asmTilesOut(_ Set, _ *tilesArgs)     {}
func asmPack(_ Set, _ int, _ *packArgs)   {}
func asmCopy(_ Set, _ *rowsArgs)          {}
func asmSplit(_ Set, _ *rowsArgs)         {}
func asmAffine(_ Set, _ *mapArgs)         {}
func asmGate(_ Set, _ *mapArgs)           {}
func asmLeaky(_ Set, _ *mapArgs)          {}
func asmSum(_ Set, _ *mapArgs)            {}
func asmZip(_ Set, _ Binary, _ *mapArgs)  {}
func asmCurve(_ Set, _ curve, _ *mapArgs) {}
