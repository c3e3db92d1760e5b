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
