package systest

import (
	"context"
	"net/http"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// A Client is an operator of the fleet.
type Client struct {
	*wire.Client
	fleet     *Fleet
	transport *http.Transport
}

// Close gives the connections back.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Photo has the fleet look at a photo and returns who answered, through whom.
func (c *Client) Photo(within time.Duration) (node, gateway string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	a, err := c.InferImage(ctx, Model, testphoto.Astronaut(), nil)
	return a.Node, a.Gateway, err
}

// Change has the coordinators agree on something.
func (c *Client) Change(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := c.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Agent})
	return err
}

// Wait returns the first status, as the coordinators know it without asking each
// other, of which ok holds, and how long that took; past the limit the test fails.
func (c *Client) Wait(what string, limit time.Duration, ok func(wire.StatusBody) bool) (wire.StatusBody, time.Duration) {
	c.fleet.t.Helper()
	c.Stale = true
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err == nil && ok(s) {
			return s, time.Since(begin)
		}
		if !run.Sleep(ctx, 20*time.Millisecond) {
			c.fleet.t.Fatalf("%s: not within %v; last %+v, %v", what, limit, s, err)
		}
	}
}

// WaitHealthy waits until that many coordinators vote and agents are healthy.
func (f *Fleet) WaitHealthy(coordinators, agents int) wire.StatusBody {
	f.t.Helper()
	c := f.Via("c1")
	defer c.Close()
	s, _ := c.Wait("the fleet is up", 2*time.Minute, func(s wire.StatusBody) bool {
		return s.Leader != "" && s.Summary.AgentsHealthy == agents && s.Summary.Voters == coordinators
	})
	return s
}

// settle waits until each coordinator has had a heartbeat of every other node and
// each node beats as it was told to. Gossip may hold a node for healthy before its
// first, and whoever falls silent so early is judged as one that has yet to
// connect, or that beats at its own slower pace.
func (f *Fleet) settle() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for name, p := range f.nodes {
		if p.role != fleet.Coordinator || p.witness {
			continue
		}
		c := f.Via(name)
		c.Stale = true
		for missing := f.unheard(ctx, c, name); missing != ""; missing = f.unheard(ctx, c, name) {
			if !run.Sleep(ctx, 20*time.Millisecond) {
				f.t.Fatalf("%s has not had a heartbeat of %s", name, missing)
			}
		}
		c.Close()
	}
	time.Sleep(time.Second) // the answer to the first beat tells how often to beat
}

// unheard is a node whose heartbeat the coordinator has not had, or "".
func (f *Fleet) unheard(ctx context.Context, c *Client, coordinator string) string {
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) < len(f.nodes) {
		return "somebody: it does not know all yet"
	}
	for _, n := range nodes {
		if n.Name != coordinator && !f.nodes[n.Name].witness && n.LastSeen.IsZero() {
			return n.Name
		}
	}
	return ""
}
