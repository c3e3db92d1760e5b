package systest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	agentconfig "primespark/agent/config"
	"primespark/coordinator/config"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/overlay"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// Mesh starts all nodes anew with the mesh switched on; coordinators are hubs.
// Nobody builds tunnels: what is tested is what is decided, and who knows it.
func (f *Fleet) Mesh() {
	f.t.Helper()
	for name, p := range f.nodes {
		if p.role == fleet.Coordinator {
			f.Tune(name, func(c *config.Config) {
				c.Mesh.Enabled, c.Mesh.AdvertiseLAN, c.Mesh.Endpoints = true, false, []string{p.host.Name() + ":51820"}
			})
			continue
		}
		f.TuneAgent(name, func(c *agentconfig.Config) { c.Mesh.Enabled, c.Mesh.AdvertiseLAN = true, false })
	}
}

// underlay has a node whose gossip is to be in the mesh, of which there is none here,
// use the network that there is. Whom it admits it decides as if they came from
// their own addresses in the mesh.
func (f *Fleet) underlay(c *gossip.Config, p *process) {
	c.Advertise = p.addresses().Gossip
	admit := c.Admit
	if admit == nil {
		return
	}
	c.Admit = func(who fleet.Member, _ netip.Addr) error {
		return admit(who, overlay.Address(identity.ID{Cluster: "test", Role: who.Role, Name: who.Name}, f.Identity("c1").CA()))
	}
}

// Map is the one that a node has kept; empty if it has none.
func (f *Fleet) Map(name string) mesh.Map {
	f.t.Helper()
	m, err := mesh.Load(f.nodes[name].dir, f.Identity("c1").CA(), "test")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Fatalf("the map of %s: %v", name, err)
	}
	return m
}

// Ring is the keys that a node has kept.
func (f *Fleet) Ring(name string) mesh.Ring {
	f.t.Helper()
	r, err := mesh.LoadRing(filepath.Join(f.nodes[name].dir, "identity"))
	if err != nil {
		f.t.Fatalf("the mesh keys of %s: %v", name, err)
	}
	return r
}

// WaitMap waits until all nodes named have kept a map of which ok holds, and tells
// how long that took; past the limit the test fails.
func (f *Fleet) WaitMap(what string, limit time.Duration, ok func(mesh.Map) bool, names ...string) time.Duration {
	f.t.Helper()
	begin := time.Now()
	for {
		var missing string
		for _, name := range names {
			if !ok(f.Map(name)) {
				missing = name
			}
		}
		took := time.Since(begin)
		switch {
		case missing == "":
			return took
		case took > limit:
			f.t.Fatalf("%s: %s does not know it after %v: %+v", what, missing, took, f.Map(missing))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// WaitForgotten waits until nodes have nothing of the mesh on their disks.
func (f *Fleet) WaitForgotten(limit time.Duration, names ...string) {
	f.t.Helper()
	begin := time.Now()
	for _, name := range names {
		for dir := f.nodes[name].dir; mesh.Kept(dir, filepath.Join(dir, "identity")); time.Sleep(50 * time.Millisecond) {
			if time.Since(begin) > limit {
				f.t.Fatalf("%s still has keys or a map of the mesh after %v", name, limit)
			}
		}
	}
}

// A Crowd is many nodes of which only the part that follows the mesh runs, each with
// a certificate and a connection of its own.
type Crowd struct {
	Members []*overlay.Member

	stop context.CancelFunc
	all  sync.WaitGroup
	rest []*http.Transport
}

// Crowd has that many agents join, called x-1 and so on, and follow the mesh.
func (f *Fleet) Crowd(nodes int) *Crowd {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &Crowd{stop: cancel}
	made, err := f.Via("c1").CreateJoinCode(f.t.Context(), wire.JoinCodeRequest{Role: fleet.Agent, Uses: nodes})
	if err != nil {
		f.t.Fatal(err)
	}
	code, err := identity.ParseJoinCode(made.Code)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range nodes {
		name := fmt.Sprintf("x-%d", i+1)
		host := f.net.Host(fmt.Sprintf("10.78.0.%d", i+1))
		got, err := identity.Join(f.t.Context(), dialer{host}, code, identity.JoinRequest{Name: name})
		if err != nil {
			f.t.Fatal(err)
		}
		id, err := identity.New(got)
		if err != nil {
			f.t.Fatal(err)
		}
		transport := &http.Transport{DialContext: host.Dial, ForceAttemptHTTP2: true, TLSClientConfig: id.ClientTLS(fleet.Coordinator)}
		client := &wire.Client{HTTP: &http.Client{Transport: transport}}
		for k := range 3 {
			client.BaseURLs = append(client.BaseURLs, "https://"+f.nodes[fmt.Sprintf("c%d", (i+k)%3+1)].addresses().API)
		}
		dir := f.t.TempDir()
		m, err := overlay.New(overlay.Config{
			Self: id.ID(), Authority: id.CA(), Dir: dir, KeyDir: dir, Source: client, Log: slog.New(slog.DiscardHandler),
			Endpoints: func() []mesh.Endpoint { return []mesh.Endpoint{{Kind: mesh.LAN, Address: host.Name() + ":51820"}} },
		})
		if err != nil {
			f.t.Fatal(err)
		}
		c.Members, c.rest = append(c.Members, m), append(c.rest, transport)
		c.all.Go(func() {
			run.Sleep(ctx, time.Duration(i)*20*time.Millisecond)
			if err := m.Run(ctx); err != nil {
				f.t.Errorf("%s: %v", name, err)
			}
		})
	}
	return c
}

// Wait waits until all have a map of which ok holds, and tells how long that took.
func (c *Crowd) Wait(ctx context.Context, ok func(mesh.Map) bool) (time.Duration, error) {
	begin := time.Now()
	for _, m := range c.Members {
		if _, err := m.Net().Until(ctx, func(n overlay.Net) bool { return ok(n.Map) }); err != nil {
			return time.Since(begin), err
		}
	}
	return time.Since(begin), nil
}

// Stop ends them.
func (c *Crowd) Stop() {
	c.stop()
	c.all.Wait()
	for _, t := range c.rest {
		t.CloseIdleConnections()
	}
}

// Guest is a client that shows the certificate of a node to coordinators, whatever
// was decided about that one meanwhile.
func (f *Fleet) Guest(name string, coordinators ...string) *wire.Client {
	transport := &http.Transport{DialContext: f.nodes[name].host.Dial, ForceAttemptHTTP2: true, TLSClientConfig: f.Identity(name).ClientTLS(fleet.Coordinator)}
	f.t.Cleanup(transport.CloseIdleConnections)
	c := &wire.Client{HTTP: &http.Client{Transport: transport}}
	for _, name := range coordinators {
		c.BaseURLs = append(c.BaseURLs, "https://"+f.nodes[name].addresses().API)
	}
	return c
}
