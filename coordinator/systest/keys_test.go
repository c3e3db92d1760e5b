package systest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// changed waits until a change of the gossip key is over and returns its
// generation and how long that took.
func changed(t *testing.T, c *systest.Client, past uint64, limit time.Duration) (uint64, time.Duration) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		b, err := c.GossipKey(ctx)
		if err == nil && b.Generation > past && b.Step == wire.GossipSettled {
			return b.Generation, time.Since(begin)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the key was not changed within %v: %+v, %v", limit, b, err)
		}
	}
}

// TestGossipKeyRotates: all follow, nobody is held for dead meanwhile, and the new
// key is on every disk, for its owner only, and the old one on none.
func TestGossipKeyRotates(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		time.Sleep(20 * time.Second)
		old := f.Identity("pi-1").GossipKey()
		if _, err := c.RotateGossipKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, took := changed(t, c, 0, time.Minute)
		t.Logf("changed within %v", took)
		if took > 15*time.Second {
			t.Errorf("a fleet that is well took %v to change its key", took)
		}
		time.Sleep(5 * time.Second)
		fresh := f.Identity("pi-1").GossipKey()
		if slices.Equal(old, fresh) {
			t.Error("the key is the old one")
		}
		for _, name := range []string{"c1", "c2", "c3", "pi-1", "pi-2"} {
			ring := f.Identity(name).Keyring().Get()
			if !slices.Equal(ring.Generations(), []uint64{1}) || !slices.Equal(f.Identity(name).GossipKey(), fresh) {
				t.Errorf("%s holds %v, or another key", name, ring)
			}
			info, err := os.Stat(filepath.Join(f.IdentityDir(name), "gossip.keys"))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file of %s: %v, %v", name, info, err)
			}
		}
		time.Sleep(time.Minute) // gossip goes on by the new key
		quiet(t, c, "node.dead", "node.link_down", "node.left")
		for _, key := range [][]byte{old, fresh} {
			for _, text := range []string{string(key), fmt.Sprintf("%x", key), base64.StdEncoding.EncodeToString(key), fmt.Sprint(key)} {
				if strings.Contains(f.Log(), text) {
					t.Error("a key is in the log")
				}
			}
		}
		// The next life begins with the key on the disk.
		f.Kill("pi-1")
		f.Revive("pi-1")
		becomes(t, c, "pi-1", fleet.Alive, time.Minute)
		one := f.Via("c1")
		defer one.Close()
		f.Kill("c2")
		becomes(t, one, "c2", fleet.Dead, known)
		f.Revive("c2")
		becomes(t, one, "c2", fleet.Alive, time.Minute)
	})
}

// quiet checks that no event of these codes has happened.
func quiet(t *testing.T, c *systest.Client, codes ...string) {
	t.Helper()
	all, err := c.Events(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if slices.Contains(codes, e.Code) {
			t.Errorf("%s of %s: %s", e.Code, e.Node, e.Detail)
		}
	}
}

// TestRevokedNodeHearsNothing: who has a revoked node's key hears no gossip after
// a minute at most, also if another node is off and cannot follow. That one comes
// back by itself.
func TestRevokedNodeHearsNothing(t *testing.T) {
	systest.Test(t, 3, 3, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		time.Sleep(20 * time.Second)
		f.Kill("pi-2")
		f.Kill("pi-3")
		thief := f.Steal("pi-2")
		defer thief.End()
		time.Sleep(20 * time.Second)
		begin := time.Now()
		if _, err := c.NodeAction(t.Context(), "pi-2", wire.Revoke); err != nil {
			t.Fatal(err)
		}
		if begin.Sub(thief.Heard()) > 15*time.Second || !thief.Pings("c1") {
			t.Fatalf("the thief heard nothing even before: last %v ago", begin.Sub(thief.Heard()))
		}
		time.Sleep(time.Minute - time.Since(begin))
		last := thief.Heard()
		t.Logf("the thief heard gossip last %v after the revocation", last.Sub(begin))
		for _, name := range []string{"c1", "c2", "c3", "pi-1"} {
			if thief.Pings(name) {
				t.Errorf("%s answers the thief", name)
			}
		}
		time.Sleep(5 * time.Minute)
		if again := thief.Heard(); again.After(last) {
			t.Errorf("the thief heard something %v after the revocation", again.Sub(begin))
		}
		f.Revive("pi-3")
		becomes(t, c, "pi-3", fleet.Alive, time.Minute)
		f.Join("pi-4")
		becomes(t, c, "pi-4", fleet.Alive, time.Minute)
		time.Sleep(10 * time.Second)
		for _, name := range []string{"pi-3", "pi-4"} {
			if ring := f.Identity(name).Keyring().Get(); !slices.Equal(ring.Generations(), []uint64{1}) {
				t.Errorf("%s, which was away, has %v", name, ring)
			}
		}
		if text := f.Ready("pi-3"); !strings.Contains(text, `"ready":true`) {
			t.Errorf("pi-3 is not well: %s", text)
		}
	})
}

// TestRestoreBringsTheKeys: a backup of after a change of the key makes a
// coordinator that the agents hear.
func TestRestoreBringsTheKeys(t *testing.T) {
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1")
		defer c.Close()
		if _, err := c.RotateGossipKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		changed(t, c, 0, time.Minute)
		want := f.Identity("c1").GossipKey()
		var file bytes.Buffer
		if err := c.Backup(t.Context(), publicKey, &file); err != nil {
			t.Fatal(err)
		}
		f.Lose("c1")
		f.Restore("c1", file.Bytes(), privateKey)
		if !slices.Equal(f.Identity("c1").GossipKey(), want) {
			t.Error("restored with another gossip key")
		}
		f.WaitHealthy(1, 1)
		// The lost coordinator may have been stolen with its key: it is changed again.
		if gen, took := changed(t, c, 1, time.Minute); gen != 2 {
			t.Errorf("generation %d after %v", gen, took)
		}
	})
}
