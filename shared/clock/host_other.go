//go:build !linux

package clock

// Host is nil: only Linux tells whether something keeps the clock right.
func Host() *Clock { return nil }
