package systest

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"

	"primespark/coordinator"
	"primespark/coordinator/config"
)

// An Address is a host's own, which may change.
type Address struct{ now atomic.Pointer[[]netip.Addr] }

// Set gives the host other addresses, as DHCP does; its loopback's is none.
func (a *Address) Set(ips ...string) {
	var all []netip.Addr
	for _, ip := range ips {
		all = append(all, netip.MustParseAddr(ip))
	}
	a.now.Store(&all)
}

// Roam stops a coordinator and starts it on a host that has only its loopback's address,
// with a configuration that names none.
func (f *Fleet) Roam(name string) *Address {
	f.t.Helper()
	at := new(Address)
	at.Set("127.0.0.1")
	f.Stop(name)
	p := f.nodes[name]
	p.tune = func(c *config.Config) { c.HTTP.Advertise, c.Raft.Advertise = "", "" }
	p.outside = func(o *coordinator.Outside) {
		o.Own = func() ([]netip.Addr, error) { return *at.now.Load(), nil }
		listen := o.Listen
		o.Listen = func(ctx context.Context, network, address string) (net.Listener, error) {
			l, err := listen(ctx, network, address)
			return everywhere{l}, err
		}
	}
	f.Start(name)
	return at
}

// everywhere is a listener that takes what comes to any address.
type everywhere struct{ net.Listener }

func (l everywhere) Addr() net.Addr {
	at := netip.MustParseAddrPort(l.Listener.Addr().String())
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()))
}
