//go:build sabotage_nofencing

package sabotage

// NoFencing tells that a lease that has ended still counts.
const NoFencing = true
