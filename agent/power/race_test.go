//go:build race

package power_test

// runs of each forced trace: the detector has nothing to find in a pure function.
const runs = 5
