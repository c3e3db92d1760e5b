//go:build race

package hailo_test

// raceEnabled tells tests that start very many processes that each takes longer.
const raceEnabled = true
