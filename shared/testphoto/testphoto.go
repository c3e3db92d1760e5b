// Package testphoto is one real photo of a person, small enough to be in a
// binary: the demo sends it, and the embedded model proves itself on it.
//
// The photo is NASA's portrait of the astronaut Eileen Collins, in the public
// domain; see NOTICE.
package testphoto

import _ "embed"

//go:embed astronaut.jpg
var astronaut []byte

// Astronaut is a JPEG of 512 × 512 pixels with one face in it, at about
// (180, 62) to (268, 174), counted from the top left corner. The caller gets a
// copy and may change it.
func Astronaut() []byte { return append([]byte(nil), astronaut...) }
