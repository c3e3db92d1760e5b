//go:build race

package liveness

const raceEnabled = true
