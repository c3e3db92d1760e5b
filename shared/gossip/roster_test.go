package gossip

import (
	"testing"
	"time"

	"primespark/shared/fleet"
)

// TestRepeats: only what was heard last of a node, byte for byte, needs no reading.
func TestRepeats(t *testing.T) {
	r := newRoster(fleet.Member{Name: "pi-1"}, time.Unix(1, 0))
	r.joined(fleet.Member{Name: "pi-2"}, "10.0.0.2:7482", time.Unix(2, 0))
	if r.repeats(nil) || r.repeats([]byte("first")) {
		t.Error("it knows what nobody has said")
	}
	for i, body := range []string{"first", "second"} {
		rec := record{Vital: fleet.Vital{Node: "pi-2", Boot: 1, Seq: uint64(i + 1)}}
		if v := r.hear(rec, []byte(body), time.Unix(3, 0)); v != fresh {
			t.Fatalf("%s is %s", body, v)
		}
	}
	for body, want := range map[string]bool{"first": false, "second": true, "secon": false, "": false} {
		if r.repeats([]byte(body)) != want {
			t.Errorf("%q repeats: %v, want %v", body, !want, want)
		}
	}
}
