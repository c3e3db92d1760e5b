package coordinator

import (
	"math"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/disk"
	"primespark/shared/fleet"
	"primespark/shared/watch"
)

// bearingEvery is how often a coordinator tells anew how it follows, and how its disk
// is: for people, who look at it on the page of another one.
const bearingEvery = 2 * time.Second

// A bearing is how far a coordinator is with the group. It is for one goroutine.
type bearing struct {
	status func() consensus.Status
	disk   *watch.Value[disk.State]
	said   fleet.Seat
	at     time.Time
}

// tell is how it is, at most bearingEvery old.
func (b *bearing) tell(now time.Time) *fleet.Seat {
	if b == nil {
		return nil
	}
	if b.at.IsZero() || now.Sub(b.at) >= bearingEvery {
		b.at, b.said = now, seatOf(b.status(), b.disk.Get())
	}
	return new(b.said)
}

// seatOf rounds: changes are news from ten on, silence by tenths of a second, room by
// parts of 64 MiB, and writes by a millisecond.
func seatOf(s consensus.Status, d disk.State) fleet.Seat {
	seat := fleet.Seat{Contact: -1, Free: d.Free &^ (64<<20 - 1), Write: math.Ceil(millis(d.Typical()))}
	if s.Commit > s.Applied {
		seat.Behind = (s.Commit - s.Applied) / 10 * 10
	}
	if s.LastContact >= 0 {
		seat.Contact = s.LastContact.Truncate(100 * time.Millisecond).Milliseconds()
	}
	return seat
}
