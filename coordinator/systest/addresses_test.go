package systest_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/wire"
)

// TestAddressComesLate: a coordinator boots before its host has an address, as one that
// waits for DHCP. The others never take its loopback for theirs, and reach it as soon as
// the address is there.
func TestAddressComesLate(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		s := f.WaitHealthy(3, 1)
		late := others(s, s.Leader)[0]
		was := find(s, late).API
		host, _, _ := net.SplitHostPort(was)
		at := f.Roam(late)
		c := f.Via(s.Leader)
		defer c.Close()
		time.Sleep(20 * time.Second)
		node, err := c.Node(t.Context(), late)
		if err != nil || !strings.HasPrefix(node.Addresses["raft"], host+":") {
			t.Errorf("%s without an address is agreed to be at %v, %v, want %s", late, node.Addresses, err, host)
		}
		at.Set(host)
		c.Wait(late+" is reached where it is", 20*time.Second, func(s wire.StatusBody) bool {
			one := find(s, late)
			return one.API == was && one.Alive && one.Voter
		})
		f.WaitHealthy(3, 1)
	})
}

// TestAddressChanges: a host gets another address while its coordinator runs. The others
// are told when it has lasted, and not when a cable was out for a moment.
func TestAddressChanges(t *testing.T) {
	systest.Test(t, 3, 0, func(t *testing.T, f *systest.Fleet) {
		s := f.WaitHealthy(3, 0)
		mover := others(s, s.Leader)[0]
		host, port, _ := net.SplitHostPort(find(s, mover).API)
		at := f.Roam(mover)
		at.Set(host)
		time.Sleep(5 * time.Second) // until then its first one would do at once
		f.WaitHealthy(3, 0)
		c := f.Via(s.Leader)
		defer c.Close()
		for _, flicker := range []string{"127.0.0.1", "10.77.9.9"} {
			at.Set(flicker)
			time.Sleep(7 * time.Second)
		}
		at.Set("10.77.8.8", host) // a second one, which would be taken first
		time.Sleep(30 * time.Second)
		api := func() string {
			node, err := c.Node(t.Context(), mover)
			if err != nil {
				t.Fatal(err)
			}
			return node.Addresses["api"]
		}
		if got, want := api(), net.JoinHostPort(host, port); got != want {
			t.Errorf("after a flicker %s is at %s, want %s", mover, got, want)
		}
		at.Set("10.77.9.9")
		time.Sleep(30 * time.Second)
		if got, want := api(), net.JoinHostPort("10.77.9.9", port); got != want {
			t.Errorf("%s is at %s, want %s", mover, got, want)
		}
	})
}
