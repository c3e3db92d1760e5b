package consensus

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// TestRefusals: the same reason is told once in a while, and no flood of reasons
// fills the log.
func TestRefusals(t *testing.T) {
	var r refusals
	start, told := time.Now(), 0
	for i := range 3600 { // for half an hour, twice a second
		if r.news("c2 is revoked", start.Add(time.Duration(i)*time.Second/2)) {
			told++
		}
	}
	if told != 3 {
		t.Errorf("told %d times in half an hour, want 3", told)
	}
	later := start.Add(time.Hour)
	for i := range 1000 {
		if r.news(fmt.Sprint("reason ", i), later) != (i < maxRefusals) {
			t.Fatalf("reason %d of many", i)
		}
	}
	if !r.news("c2 is revoked", later.Add(refusalRest)) {
		t.Error("a reason is forgotten for good")
	}
}

// TestReason: who comes again by another port comes for the same reason.
func TestReason(t *testing.T) {
	at := func(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port} }
	broken := func(port int) error {
		return &net.OpError{Op: "read", Net: "tcp", Source: at(port), Err: errors.New("connection reset")}
	}
	if a, b := reason(at(1), broken(1)), reason(at(2), broken(2)); a != b || a != "10.0.0.1: connection reset" {
		t.Errorf("%q and %q", a, b)
	}
	if got := reason(at(1), errors.New("revoked")); got != "10.0.0.1: revoked" {
		t.Errorf("%q", got)
	}
}
