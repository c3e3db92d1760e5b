package netaddr_test

import (
	"net"
	"net/netip"
	"testing"

	"primespark/shared/netaddr"
)

func TestAdvertise(t *testing.T) {
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	home := addrs("127.0.0.1", "fe80::1", "2001:db8::7", "203.0.113.9", "192.168.1.10")
	for name, test := range map[string]struct {
		configured, bound string
		own               []netip.Addr
		want              string
	}{
		"configured wins":       {"pi.example:7490", "0.0.0.0:7490", home, "pi.example:7490"},
		"bound to one address":  {"", "10.1.2.3:7490", home, "10.1.2.3:7490"},
		"private before public": {"", "0.0.0.0:7490", home, "192.168.1.10:7490"},
		"IPv6 wildcard":         {"", "[::]:7490", home, "192.168.1.10:7490"},
		"only IPv6":             {"", "[::]:7490", addrs("::1", "fe80::1", "2001:db8::7"), "[2001:db8::7]:7490"},
		"nothing but loopback":  {"", "[::]:7490", addrs("127.0.0.1", "fe80::1"), "127.0.0.1:7490"},
		"no interface at all":   {"", "[::]:7490", nil, "127.0.0.1:7490"},
	} {
		t.Run(name, func(t *testing.T) {
			bound := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.bound))
			got, err := netaddr.Advertise(test.configured, bound, test.own)
			if err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestOwnFindsLoopback(t *testing.T) {
	own, err := netaddr.Own()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if a.IsLoopback() {
			return
		}
	}
	t.Errorf("no loopback address among %v", own)
}
