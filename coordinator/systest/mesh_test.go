package systest_test

import (
	"context"
	"testing"
	"time"

	agentconfig "primespark/agent/config"
	"primespark/coordinator/config"
	"primespark/coordinator/systest"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// has returns what tells whether a map has nodes with keys of a generation, alone.
func has(generation uint64, names ...string) func(mesh.Map) bool {
	return func(m mesh.Map) bool {
		for _, name := range names {
			if n, ok := m.Find(name); !ok || len(n.Keys) != 1 || n.Newest().Generation != generation {
				return false
			}
		}
		return len(m.Nodes) == len(names)
	}
}

// TestMesh is the life of a small one: all come to know all, a node changes its
// key, one is revoked, and an agent that boots with nobody in reach has the map.
func TestMesh(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		all := []string{"c1", "c2", "c3", "pi-1", "pi-2"}
		f.Mesh()
		f.WaitHealthy(3, 2)
		took := f.WaitMap("all take part", time.Minute, has(1, all...), all...)
		t.Logf("all knew all within %v of being healthy", took)
		m := f.Map("pi-1")
		if hubs := m.Hubs(); len(hubs) != 3 || hubs[0].Static()[0] != "10.77.0.1:51820" {
			t.Errorf("hubs %+v", hubs)
		}
		if f.Ring("pi-1").Newest().Private.Public() != mustFind(t, m, "pi-1").Newest().Public {
			t.Error("the key in the map is not the one on pi-1's disk")
		}

		first := mustFind(t, m, "pi-1").Newest().Public
		if _, err := c.RotateMesh(t.Context(), "pi-1"); err != nil {
			t.Fatal(err)
		}
		took = f.WaitMap("pi-1 has two keys", 10*time.Second, func(m mesh.Map) bool {
			n := mustFind(t, m, "pi-1")
			return len(n.Keys) == 2 && n.Newest().Generation == 2 && n.Keys[0].Public == first
		}, all...)
		t.Logf("another key was known by all within %v", took)
		guest := f.Guest("pi-2", "c1", "c2", "c3")
		if _, err := c.NodeAction(t.Context(), "pi-2", wire.Revoke); err != nil {
			t.Fatal(err)
		}
		rest := []string{"c1", "c2", "c3", "pi-1"}
		took = f.WaitMap("pi-2 is out", 5*time.Second, func(m mesh.Map) bool {
			_, still := m.Find("pi-2")
			return !still && len(m.Revoked) == 1
		}, rest...)
		t.Logf("a revoked node was out of all maps within %v", took)
		if err := guest.AnnounceMesh(t.Context(), mesh.Announcement{Keys: []mesh.Key{{Generation: 9, Public: mesh.PublicKey{9}}}}); err == nil {
			t.Error("pi-2 announced itself again")
		}

		want := f.Map("pi-1").Version
		f.Stop("pi-1")
		for _, name := range []string{"c1", "c2", "c3"} {
			f.Kill(name)
		}
		f.Start("pi-1")
		time.Sleep(time.Second)
		if got := f.Map("pi-1").Version; got != want {
			t.Errorf("alone, pi-1 has version %d, want %d", got, want)
		}
	})
}

func mustFind(t *testing.T, m mesh.Map, name string) mesh.Node {
	t.Helper()
	n, ok := m.Find(name)
	if !ok {
		t.Fatalf("%s is not in the map: %+v", name, m)
	}
	return n
}

// TestMeshSwitchedOff: an agent and a coordinator whose mesh is switched off leave the
// map of all others, forget their keys, and come back with others when it is switched
// on again.
func TestMeshSwitchedOff(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		f.Mesh()
		f.WaitHealthy(3, 2)
		all, rest := []string{"c1", "c2", "c3", "pi-1", "pi-2"}, []string{"c1", "c2", "pi-1"}
		f.WaitMap("all take part", time.Minute, has(1, all...), all...)
		was := mustFind(t, f.Map("pi-1"), "pi-2").Newest().Public
		f.TuneAgent("pi-2", func(c *agentconfig.Config) { c.Mesh.Enabled = false })
		f.Tune("c3", func(c *config.Config) { c.Mesh.Enabled = false })
		took := f.WaitMap("two are out", time.Minute, has(1, rest...), rest...)
		t.Logf("switched off, and out of all maps within %v", took)
		f.WaitForgotten(time.Minute, "pi-2", "c3")
		f.TuneAgent("pi-2", func(c *agentconfig.Config) { c.Mesh.Enabled = true })
		back := append(rest, "pi-2")
		f.WaitMap("pi-2 is back", time.Minute, has(1, back...), back...)
		if mustFind(t, f.Map("pi-1"), "pi-2").Newest().Public == was {
			t.Error("pi-2 is back with a key that it should have forgotten")
		}
	})
}

// TestMeshOfAHundred: a change of the map is in force on a hundred nodes within
// five seconds.
func TestMeshOfAHundred(t *testing.T) {
	systest.Test(t, 3, 0, func(t *testing.T, f *systest.Fleet) {
		f.Mesh()
		f.WaitHealthy(3, 0)
		many := f.Crowd(crowd)
		defer many.Stop()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		took, err := many.Wait(ctx, func(m mesh.Map) bool { return len(m.Nodes) == crowd+3 })
		if err != nil {
			t.Fatalf("not all of %d take part: %v", crowd, err)
		}
		t.Logf("%d nodes that came at once knew each other within %v", crowd, took)
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		change := func(what string, change func() error) {
			before, begin := many.Members[0].Net().Get().Map.Version, time.Now()
			if err := change(); err != nil {
				t.Fatal(err)
			}
			_, err := many.Wait(ctx, func(m mesh.Map) bool { return m.Version > before })
			took := time.Since(begin)
			t.Logf("%s: in force on all within %v", what, took)
			if err != nil || took > 5*time.Second {
				t.Errorf("%s: in force on all within %v, %v", what, took, err)
			}
		}
		change("a phone is let in", func() error {
			_, err := c.AdmitToMesh(ctx, wire.MeshClientRequest{Name: "phone", Public: mesh.PublicKey{1, 31: 1}, TTL: "24h"})
			return err
		})
		many.Members = append(many.Members[:6:6], many.Members[7:]...)
		change("x-7 is revoked", func() error { _, err := c.NodeAction(ctx, "x-7", wire.Revoke); return err })
	})
}
