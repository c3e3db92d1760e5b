// Package model is what a node says of its models: names, states and tensors.
// Manifests, which say how a model is made up, are in manifest.go.
package model

import (
	"regexp"

	"primespark/shared/tensor"
)

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ValidName reports whether s can name a model: 1 to 64 of a-z, 0-9, dot,
// underscore and hyphen, the first a letter or a digit. Such a name is safe in a
// path, a URL and a topic.
func ValidName(s string) bool { return name.MatchString(s) }

// A State is where a model stands, in the words of the repository extension of
// the Open Inference Protocol.
type State string

// The states.
const (
	Unknown     State = "UNKNOWN"
	Loading     State = "LOADING"
	Ready       State = "READY"
	Unloading   State = "UNLOADING"
	Unavailable State = "UNAVAILABLE" // Reason says why
)

// A Status is one row of the repository index.
type Status struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   State  `json:"state"`
	Reason  string `json:"reason"`
}

// Metadata describes a model to its callers ("Model Metadata Response JSON
// Object" of the protocol).
type Metadata struct {
	Name     string        `json:"name"`
	Versions []string      `json:"versions"`
	Platform string        `json:"platform"` // "onnx_builtin"
	Inputs   []tensor.Spec `json:"inputs"`
	Outputs  []tensor.Spec `json:"outputs"`
	// Image says that one JPEG, PNG, WebP, BMP or TIFF in a BYTES tensor of shape [1] is
	// taken too, and Postprocess names the output that then comes: "detections"
	// or "classes".
	Image       bool   `json:"image,omitempty"`
	Postprocess string `json:"postprocess,omitempty"`
}
