//go:build race

package builtin

// Under the race detector plain Go takes twenty times as long, and the tests leave out
// what the run without it has shown.
const raceEnabled = true
