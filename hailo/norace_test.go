//go:build !race

package hailo_test

const raceEnabled = false
