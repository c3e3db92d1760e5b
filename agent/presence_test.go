package agent

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
)

// everywhere is a listener on all addresses, of which only the address counts.
type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 7490} }

// TestPresenceFollowsTheAddress: a node that boots before its network tells the
// others where it is reached as soon as it knows, and again after it has moved.
func TestPresenceFollowsTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network pipenet.Net
		packets := gossiptest.New(0, 1)
		host := network.Host("10.77.0.1")
		var own atomic.Pointer[[]netip.Addr]
		own.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.1")})
		cfg := config.Default()
		cfg.Name = "pi-1"
		metrics := prometheus.NewRegistry()
		p := &presence{
			fleet: func() int { return 1 },
			seeds: func() []string { return nil },
			cfg:   cfg, id: identitytest.New(t, "home").Node(fleet.Agent, "pi-1"), door: api.Listener{Listener: everywhere{}},
			log: slog.New(slog.DiscardHandler), metrics: metrics,
			own: func() ([]netip.Addr, error) { return *own.Load(), nil },
			out: Outside{Gossip: func(c *gossip.Config) {
				transport, err := packets.Transport(host, ":7482")
				if err != nil {
					t.Error(err)
				}
				c.Transport = transport
			}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for _, want := range []string{"127.0.0.1:7490", "192.168.1.7:7490", "10.0.0.9:7490"} {
			addr := netip.MustParseAddrPort(want).Addr()
			own.Store(&[]netip.Addr{addr})
			time.Sleep(4 * roving) // time to notice, to leave and to come back
			if got := p.Addresses()["api"]; got != want {
				t.Errorf("the others are told %s, want %s", got, want)
			}
			if _, ok := p.View().Find("pi-1"); !ok {
				t.Error("the node does not see itself")
			}
		}
		if families, err := metrics.Gather(); err != nil || len(families) == 0 {
			t.Errorf("metrics after two moves: %d, %v", len(families), err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		time.Sleep(time.Minute) // memberlist lets its last probes run out
	})
}
