//go:build race

package systest_test

// crowd is how many nodes follow the mesh at once: under the race detector fewer,
// since their handshakes take ten times as long.
const crowd = 25

// fewer is by what the samples of the stories about their delivery are divided.
const fewer = 5

// raced says that this is under the race detector.
const raced = true
