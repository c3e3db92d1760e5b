package systest

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
)

// Dir is a node's state directory.
func (f *Fleet) Dir(name string) string { return f.nodes[name].dir }

// Log is what all nodes have logged so far.
func (f *Fleet) Log() string { return f.log.String() }

// IdentityDir is where a node's keys are.
func (f *Fleet) IdentityDir(name string) string { return filepath.Join(f.Dir(name), "identity") }

// Join makes a new agent a member and starts it.
func (f *Fleet) Join(name string) {
	f.t.Helper()
	f.join(name, fleet.Agent)
}

// A Thief gossips with the key of a node, in its name, from a host of its own.
type Thief struct {
	talk *gossip.Gossip
	name string
	end  func()
}

// Steal starts a thief with what is on a node's disk. The node itself should not
// run. End stops it.
func (f *Fleet) Steal(name string) *Thief {
	f.t.Helper()
	host := f.net.Host("10.77.9.9")
	transport, err := f.gossip.Transport(host, gossipPort)
	if err != nil {
		f.t.Fatal(err)
	}
	var seeds []string
	for _, p := range f.nodes {
		if p.name != name {
			seeds = append(seeds, p.addresses().Gossip)
		}
	}
	id := f.Identity(name)
	talk, err := gossip.New(gossip.Config{
		Self: fleet.Member{Name: name, Role: f.nodes[name].role, API: "10.77.9.9:7490"}, Cluster: id.ID().Cluster, Key: id.GossipKey(),
		Bind: gossipPort, Advertise: "10.77.9.9" + gossipPort, Seeds: func() []string { return seeds }, Transport: transport,
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := talk.Run(ctx); err != nil {
			f.t.Errorf("the thief failed: %v", err)
		}
	})
	return &Thief{talk: talk, name: name, end: func() { cancel(); running.Wait() }}
}

// End stops the thief.
func (t *Thief) End() { t.end() }

// Heard is when the thief last heard anything of anybody.
func (t *Thief) Heard() (last time.Time) {
	for _, n := range t.talk.View().Get() {
		if n.Name != t.name && n.LastSeen.After(last) {
			last = n.LastSeen
		}
	}
	return last
}

// Pings reports whether a node answers the thief.
func (t *Thief) Pings(node string) bool { return t.talk.Ping(node) == nil }

// Forger says with a node's gossip key what it likes, from a host of its own.
func (f *Fleet) Forger(name string) gossiptest.Forger {
	f.t.Helper()
	id := f.Identity(name)
	return gossiptest.Forger{Net: f.gossip, Host: f.net.Host("10.77.9.8"), Key: id.GossipKey(), Label: id.ID().Cluster}
}

// GossipOf is where a node gossips.
func (f *Fleet) GossipOf(name string) string { return f.nodes[name].addresses().Gossip }
