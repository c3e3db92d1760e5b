//go:build race

package models_test

// raceEnabled tells tests of what is slow and has no goroutine of ours that they
// run under the race detector.
const raceEnabled = true
