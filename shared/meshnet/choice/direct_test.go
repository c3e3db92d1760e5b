package choice_test

import (
	"net/netip"
	"testing"
	"time"

	"primespark/shared/meshnet/choice"
)

// TestMoved: a member that has moved is tried where it is now, although there was a
// handshake with it where it was, a moment ago.
func TestMoved(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	old, fresh := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.9:51900")
	d := &choice.Direct{}
	d.Candidates([]netip.AddrPort{old}, now)
	d.Step(time.Time{}, now)
	shaken := now.Add(time.Second)
	if got := d.Step(shaken, shaken); got != choice.Proving {
		t.Fatalf("after a handshake: %v", got)
	}
	now = shaken.Add(time.Second)
	d.Candidates([]netip.AddrPort{fresh}, now) // it has moved: no probe is answered
	for range 60 {
		now = now.Add(time.Second)
		if d.Step(shaken, now); d.Endpoint() == fresh {
			break
		}
	}
	if d.Endpoint() != fresh {
		t.Fatalf("a minute later it is not tried where it is, but in stage %v", d.Stage())
	}
	if got := d.Step(now, now); got != choice.Proving {
		t.Errorf("it answers there, and the stage is %v", got)
	}
}

// TestCameBack: a member that was away for longer than its path was waited for, as one
// that reboots, is proved as soon as it has shaken hands anew.
func TestCameBack(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := &choice.Direct{}
	d.Candidates([]netip.AddrPort{netip.MustParseAddrPort("192.168.1.5:51820")}, now)
	d.Step(time.Time{}, now)
	shaken := now
	for range 200 { // the tunnel stands, and nothing is answered any more
		now = now.Add(time.Second)
		if d.Step(shaken, now) == choice.Resting && now.Sub(shaken) > 60*time.Second {
			break
		}
	}
	if d.Stage() != choice.Resting {
		t.Fatalf("the stage is %v", d.Stage())
	}
	now = now.Add(2 * time.Second)
	if got := d.Step(now, now); got != choice.Proving {
		t.Errorf("it is back, and the stage is %v", got)
	}
}
