//go:build linux

package echo

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestAsk(t *testing.T) {
	s, err := Open()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer s.Close()
	for _, size := range []int{0, 1280} {
		rtt, err := s.Ask(t.Context(), "lo", netip.IPv6Loopback(), size, 5*time.Second)
		if err != nil || rtt <= 0 {
			t.Errorf("%d bytes: %v, %v", size, rtt, err)
		}
	}
	if _, err := s.Ask(t.Context(), "none-such", netip.IPv6Loopback(), 0, time.Second); err == nil {
		t.Error("an interface that is not there was probed by")
	}
	if _, err := s.Ask(t.Context(), "lo", netip.MustParseAddr("fe80::1"), 0, 10*time.Millisecond); err == nil {
		t.Error("nobody answered")
	} else if !errors.Is(err, ErrSilent) {
		t.Logf("the kernel says %v", err)
	}
}

// FuzzHear: only the right answer of the right host counts, and nothing panics.
func FuzzHear(f *testing.F) {
	to, token := netip.MustParseAddr("fd00::1"), [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	s := &Socket{id: 77}
	good := s.request(5, token, 0)
	good[0] = echoReply
	f.Add(good, true)
	f.Add(good, false)
	f.Add(good[:12], true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, right bool) {
		answer := make(chan time.Time, 1)
		s := &Socket{id: 77, waiting: map[uint16]question{5: {to, token, answer}}}
		from := netip.MustParseAddr("fd00::2")
		if right {
			from = to
		}
		s.hear(b, from, time.Unix(1, 0))
		s.hear(b, from, time.Unix(2, 0))
		want := right && len(b) >= 16 && b[0] == echoReply && binary.BigEndian.Uint32(b[4:]) == 77<<16|5 && string(b[8:16]) == string(token[:])
		if (len(answer) == 1) != want {
			t.Errorf("%x of the right host (%v) counted: %v", b, right, len(answer) == 1)
		}
	})
}
