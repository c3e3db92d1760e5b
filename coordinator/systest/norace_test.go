//go:build !race

package systest_test

// crowd is how many nodes follow the mesh at once.
const crowd = 100

const fewer = 1

// raced says that this is under the race detector.
const raced = false
