package coordinator

import (
	"testing"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/disk"
	"primespark/shared/fleet"
	"primespark/shared/watch"
)

func TestSeatOf(t *testing.T) {
	for name, test := range map[string]struct {
		status consensus.Status
		disk   disk.State
		want   fleet.Seat
	}{
		"follows":     {consensus.Status{Commit: 109, Applied: 100, LastContact: 149 * time.Millisecond}, disk.State{Free: 200 << 20}, fleet.Seat{Contact: 100, Free: 192 << 20}},
		"lags":        {consensus.Status{Commit: 225, Applied: 100, LastContact: 2 * time.Second}, disk.State{}, fleet.Seat{Behind: 120, Contact: 2000}},
		"leads":       {consensus.Status{Commit: 7, Applied: 7}, disk.State{}, fleet.Seat{}},
		"never heard": {consensus.Status{LastContact: -1}, disk.State{}, fleet.Seat{Contact: -1}},
	} {
		if got := seatOf(test.status, test.disk); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestBearingIsToldSeldom(t *testing.T) {
	asked := 0
	b := &bearing{disk: watch.New(disk.State{}), status: func() consensus.Status { asked++; return consensus.Status{} }}
	now := time.Now()
	for i := range 17 { // four seconds of looks
		b.tell(now.Add(time.Duration(i) * look))
	}
	if asked != 3 {
		t.Errorf("it was asked %d times, want 3", asked)
	}
	if (*bearing)(nil).tell(now) != nil {
		t.Error("no bearing tells something")
	}
}
