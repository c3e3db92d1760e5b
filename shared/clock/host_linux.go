package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Host is this host's clock, by the kernel's word on it (adjtimex(2)): it is set while
// NTP, or whatever else disciplines it, has said so within some nine hours.
func Host() *Clock {
	begin := time.Now()
	return New(func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(begin) // without its monotonic reading, and by it
	}, func() (bool, error) {
		var t unix.Timex // all modes 0: only read
		state, err := unix.Adjtimex(&t)
		return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err
	})
}
