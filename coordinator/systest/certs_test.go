package systest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/wire"
)

// TestCertificatesRenew: certificates that live for a minute are renewed for
// everybody, again and again, and no photo and no call between agents fails.
func TestCertificatesRenew(t *testing.T) {
	const life = time.Minute
	systest.TestLife(t, life, 3, 2, func(t *testing.T, f *systest.Fleet) {
		nodes := []string{"c1", "c2", "c3", "pi-1", "pi-2"}
		first := map[string]string{}
		for _, name := range nodes {
			first[name] = f.Identity(name).KeyHash()
		}
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		begin, photos, failed := time.Now(), 0, 0
		for time.Since(begin) < 5*life/2 {
			photos++
			if _, _, err := c.Photo(5 * time.Second); err != nil {
				failed++
				t.Errorf("photo after %v: %v", time.Since(begin), err)
			}
			direct := f.As("pi-1")
			if err := direct.Get(t.Context(), "pi-2"); err != nil {
				t.Errorf("pi-1 asks pi-2 after %v: %v", time.Since(begin), err)
			}
			direct.Close()
			time.Sleep(10 * time.Second)
		}
		for _, name := range nodes {
			id := f.Identity(name)
			if left := time.Until(id.Expires()); id.KeyHash() == first[name] || left < life/4 {
				t.Errorf("%s: its certificate ends in %v, the same key as at first: %t", name, left, id.KeyHash() == first[name])
			}
		}
		if err := c.Change(10 * time.Second); err != nil {
			t.Errorf("change with the renewed certificates: %v", err)
		}
		t.Logf("%d photos in %v, %d failed", photos, 5*life/2, failed)
	})
}

// TestRevokedAgent: within five seconds nobody takes a call of a revoked agent
// and nobody calls it, not even another agent that sees no coordinator, and not
// over a connection that was open before.
func TestRevokedAgent(t *testing.T) {
	systest.Test(t, 3, 3, func(t *testing.T, f *systest.Fleet) {
		outlaw, friend := f.As("pi-2"), f.As("pi-1")
		for _, to := range []string{"c1", "c2", "c3", "pi-1", "pi-3"} {
			if err := outlaw.Get(t.Context(), to); err != nil {
				t.Fatalf("pi-2 asks %s while it is a member: %v", to, err)
			}
		}
		if err := friend.Get(t.Context(), "pi-2"); err != nil {
			t.Fatal(err)
		}
		friend.Close()
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		if _, err := c.NodeAction(t.Context(), "pi-2", wire.Revoke); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		left := map[string]bool{"c1": true, "c2": true, "c3": true, "pi-1": true, "pi-3": true}
		for len(left) > 0 && time.Since(begin) < 10*time.Second {
			for to := range left {
				if outlaw.Get(t.Context(), to) != nil {
					delete(left, to)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		took := time.Since(begin)
		t.Logf("refused everywhere %v after the revocation", took)
		if len(left) > 0 || took > 5*time.Second {
			t.Errorf("after %v its calls are taken by %v, want 5s at most", took, left)
		}
		again := f.As("pi-2") // a connection of its own
		for _, to := range []string{"c1", "c2", "c3", "pi-1", "pi-3"} {
			if again.Get(t.Context(), to) == nil {
				t.Errorf("%s takes a new connection of pi-2", to)
			}
		}
		for _, from := range []string{"pi-1", "pi-3"} {
			if f.As(from).Get(t.Context(), "pi-2") == nil {
				t.Errorf("%s still calls pi-2", from)
			}
		}
		for range 6 {
			if node, _, err := c.Photo(5 * time.Second); err != nil || node == "pi-2" {
				t.Errorf("photo by %s, %v", node, err)
			}
		}
		time.Sleep(2 * time.Second)
		if ready := f.Ready("pi-2"); !strings.Contains(ready, `"revoked"`) {
			t.Errorf("pi-2 does not say that it is revoked: %s", ready)
		}
	})
}

// TestDenyListOutlivesAReboot: an agent that boots with no coordinator in reach
// refuses whom it refused before.
func TestDenyListOutlivesAReboot(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		outlaw := f.As("pi-2")
		c := f.Via("c1")
		defer c.Close()
		if _, err := c.NodeAction(t.Context(), "pi-2", wire.Revoke); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		f.Kill("c1")
		f.Kill("pi-1")
		f.Revive("pi-1")
		time.Sleep(30 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := outlaw.Get(ctx, "pi-1"); err == nil || ctx.Err() != nil {
			t.Errorf("pi-2 asks the agent that has booted: %v, want a refusal", err)
		}
		if ready := f.Ready("pi-1"); !strings.Contains(ready, `"ready":true`) {
			t.Errorf("pi-1 after its boot: %s", ready)
		}
	})
}

// TestDrainedAgentSaysSo in its /readyz, also after a boot without coordinators.
func TestDrainedAgentSaysSo(t *testing.T) {
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1")
		defer c.Close()
		if _, err := c.NodeAction(t.Context(), "pi-1", wire.Drain); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if ready := f.Ready("pi-1"); !strings.Contains(ready, `"draining"`) {
			t.Errorf("drained: %s", ready)
		}
		f.Isolate("c1")
		f.Kill("pi-1")
		f.Revive("pi-1")
		time.Sleep(10 * time.Second)
		if ready := f.Ready("pi-1"); !strings.Contains(ready, `"draining"`) {
			t.Errorf("drained, after a boot: %s", ready)
		}
		f.Heal()
		if _, err := c.NodeAction(t.Context(), "pi-1", wire.Undrain); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if ready := f.Ready("pi-1"); strings.Contains(ready, `"draining"`) {
			t.Errorf("undrained: %s", ready)
		}
	})
}

// TestAwayLongerThanItsCertificate: an agent goes on by itself and says how it
// comes back.
func TestAwayLongerThanItsCertificate(t *testing.T) {
	systest.TestLife(t, 2*time.Minute, 1, 1, func(t *testing.T, f *systest.Fleet) {
		f.Isolate("pi-1")
		time.Sleep(150 * time.Second)
		if err := f.As("pi-1").Get(t.Context(), "pi-1"); err == nil {
			t.Error("a certificate that has ended is accepted")
		}
		if ready := f.Ready("pi-1"); !strings.Contains(ready, `"ready":true`) {
			t.Errorf("pi-1 does not serve any more: %s", ready)
		} else if !strings.Contains(ready, "certificate_expiring") || !strings.Contains(ready, "--rejoin") {
			t.Errorf("pi-1 does not say how it comes back: %s", ready)
		}
		f.Heal()
		c := f.Via("c1")
		defer c.Close()
		time.Sleep(time.Minute)
		if _, _, err := c.Photo(5 * time.Second); err == nil {
			t.Error("a photo by an agent whose certificate has ended")
		}
	})
}
