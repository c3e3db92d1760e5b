// Package blazeface is a model package within the binary: a small face detector,
// so that an agent that has never seen a network can tell faces on a photo.
package blazeface

import (
	_ "embed"

	"primespark/shared/model"
	"primespark/shared/testphoto"
)

//go:embed model.yaml
var manifest []byte

//go:embed blazeface-front-128.onnx
var network []byte

//go:embed labels.txt
var labels []byte

// Name is the name of the model.
const Name = "blazeface"

// Files are the files of the package by name. They are not to be changed.
func Files() map[string][]byte {
	return map[string][]byte{
		model.ManifestFile:         manifest,
		"blazeface-front-128.onnx": network,
		"labels.txt":               labels,
		"astronaut.jpg":            testphoto.Astronaut(),
	}
}
