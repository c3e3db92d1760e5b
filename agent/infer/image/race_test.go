//go:build race

package image_test

// The race detector makes sync.Pool drop some of what is put into it.
const raceEnabled = true
