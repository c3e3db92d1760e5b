//go:build !race

package power_test

// runs of each forced trace.
const runs = 100
