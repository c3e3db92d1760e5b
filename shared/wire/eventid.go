package wire

import (
	"fmt"
	"strconv"
	"time"
)

// EventID makes the id of an event: the time, in which it sorts, a letter for
// its source and a number within that source, so that two events of the same
// microsecond have two ids. Ids compare as strings. An event that is part of the
// agreed state has the same id on every coordinator.
func EventID(at time.Time, source byte, seq uint64) string {
	return fmt.Sprintf("%016x-%c%010x", uint64(max(0, at.UnixMicro())), source, seq)
}

// ValidEventID reports whether s looks like an id that EventID made; what a
// client sends as after= is held against it.
func ValidEventID(s string) bool {
	if len(s) < 28 || len(s) > 34 || s[16] != '-' || s[17] < 'a' || s[17] > 'z' {
		return false
	}
	_, err := strconv.ParseUint(s[:16], 16, 64)
	_, err2 := strconv.ParseUint(s[18:], 16, 64)
	return err == nil && err2 == nil
}
