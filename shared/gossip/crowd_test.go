package gossip_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
	"primespark/shared/pipenet"
)

var key = bytes.Repeat([]byte{7}, 32)

// A crowd is a few gossiping nodes, pi-1 the seed of all.
type crowd struct {
	t     *testing.T
	pipe  pipenet.Net
	lossy *gossiptest.Net
	nodes map[string]*member
	admit func(fleet.Member, netip.Addr) error // for those that start from then on
}

type member struct {
	*gossip.Gossip
	stop context.CancelFunc
	done chan struct{}
}

// inBubble runs a story with n nodes, of whose packets a share is lost.
func inBubble(t *testing.T, n int, loss float64, story func(*testing.T, *crowd)) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{t: t, lossy: gossiptest.New(loss, 1), nodes: map[string]*member{}}
		for i := range n {
			c.start(fmt.Sprintf("pi-%d", i+1), key)
		}
		story(t, c)
		c.pipe.Heal()
		for name := range c.nodes {
			c.leave(name)
		}
		time.Sleep(2 * time.Minute) // memberlist lets its last probes and streams run out
	})
}

func (c *crowd) start(name string, key []byte) {
	c.t.Helper()
	c.startAt(name, name, ":7482", key)
}

// startAt starts a node that says its gossip address for its API's.
func (c *crowd) startAt(name, host, addr string, key []byte) {
	c.t.Helper()
	trans, err := c.lossy.Transport(c.pipe.Host(host), addr)
	if err != nil {
		c.t.Fatal(err)
	}
	seed := c.pipe.Host("pi-1").IP().String() + ":7482"
	g, err := gossip.New(gossip.Config{
		Self:      fleet.Member{Name: name, Role: fleet.Agent, API: trans.Addr()},
		Cluster:   "home",
		Key:       key,
		Seeds:     func() []string { return []string{seed} },
		Transport: trans,
		Admit:     c.admit,
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{g, cancel, make(chan struct{})}
	c.nodes[name] = m
	go func() {
		defer close(m.done)
		if err := g.Run(ctx); err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	}()
}

// leave stops a node in good order.
func (c *crowd) leave(name string) {
	c.nodes[name].stop()
	<-c.nodes[name].done
	delete(c.nodes, name)
}

// kill takes a node off without a word.
func (c *crowd) kill(name string) {
	c.pipe.Isolate(name)
	c.pipe.Kill(name)
	c.leave(name)
}

// sees is what by knows of name.
func (c *crowd) sees(by, name string) fleet.Node {
	n, _ := c.nodes[by].View().Get().Find(name)
	return n
}

// all waits until every node sees name as want, and returns how long it took.
func (c *crowd) all(within time.Duration, name string, want fleet.Liveness) time.Duration {
	c.t.Helper()
	return c.until(within, fmt.Sprintf("all see %s %s", name, want), func() bool {
		for by := range c.nodes {
			if c.sees(by, name).Liveness != want {
				return false
			}
		}
		return true
	})
}

func (c *crowd) complete(within time.Duration) time.Duration {
	c.t.Helper()
	return c.until(within, "all see all", func() bool {
		for by := range c.nodes {
			for name := range c.nodes {
				if c.sees(by, name).Liveness != fleet.Alive {
					return false
				}
			}
		}
		return true
	})
}

func (c *crowd) until(within time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			c.t.Errorf("not within %v: %s", within, what)
			for by, m := range c.nodes {
				for _, n := range m.View().Get() {
					c.t.Logf("%s sees %s %s", by, n.Name, n.Liveness)
				}
			}
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(start)
}
