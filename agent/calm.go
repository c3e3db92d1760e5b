package agent

import (
	"math"
	"time"

	"primespark/agent/sensors"
)

// How often the fleet is told how busy the host is, and what is told at once.
const (
	calmFor  = 5 * time.Second
	calmPart = 0.25 // of processor or memory
	calmHeat = 5.0  // °C
)

// calm gives the figures of the host for the fleet. They are others at each sample, and
// each change is said to all nodes in gossip and to all coordinators in a beat, so those
// that changed little are told each 5 s only. It is for one goroutine.
func calm(host func() sensors.Figures) func() sensors.Figures {
	var told sensors.Figures
	var at time.Time
	return func() sensors.Figures {
		now := host()
		if at.IsZero() || time.Since(at) >= calmFor || leaps(told, now) {
			told, at = now, time.Now()
		}
		return told
	}
}

// leaps reports whether the figures are quite different ones.
func leaps(a, b sensors.Figures) bool {
	if (a.Temperature == nil) != (b.Temperature == nil) {
		return true // a sensor came or went
	}
	return math.Abs(a.CPU-b.CPU) >= calmPart || math.Abs(a.Memory-b.Memory) >= calmPart ||
		a.Temperature != nil && math.Abs(*a.Temperature-*b.Temperature) >= calmHeat
}
