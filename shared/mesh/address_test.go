package mesh_test

import (
	"crypto/sha256"
	"net/netip"
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
)

// TestAddresses: these are computed by every version of the program, so they may
// never change.
func TestAddresses(t *testing.T) {
	prefix := mesh.Prefix(sha256.Sum256([]byte("an authority's public key")))
	for got, want := range map[string]string{
		prefix.String(): "fd6d:7a4e:7e2d::/48",
		mesh.NodeHost(fleet.Agent, "spiffe://home/agent/pi-1").In(prefix).String():           "fd6d:7a4e:7e2d:1:e86:5749:d89f:2193",
		mesh.NodeHost(fleet.Coordinator, "spiffe://home/coordinator/c1").In(prefix).String(): "fd6d:7a4e:7e2d:2:7fb5:7db1:9cd4:a08d",
		mesh.ClientHost("home", "phone").In(prefix).String():                                 "fd6d:7a4e:7e2d:3:c61b:4cd6:5902:b50c",
		mesh.Subnet(prefix, fleet.Agent).String():                                            "fd6d:7a4e:7e2d:1::/64",
		mesh.Subnet(prefix, fleet.Coordinator).String():                                      "fd6d:7a4e:7e2d:2::/64",
		mesh.Subnet(prefix, "").String():                                                     "fd6d:7a4e:7e2d:3::/64",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestClash(t *testing.T) {
	m := sample(identitytest.New(t, "home"))
	for local, want := range map[string]string{
		"192.168.1.7/24":                    "",
		"0.0.0.0/0":                         "",
		"::/0":                              "",
		"fe80::1/64":                        "",
		"10.0.0.0/8":                        "The mesh's IPv4 range 10.77.0.0/16 overlaps the network 10.0.0.0/8 of eth0 on this host.",
		"10.77.9.1/24":                      "The mesh's IPv4 range 10.77.0.0/16 overlaps the network 10.77.9.0/24 of eth0 on this host.",
		m.Nodes[0].Address.String() + "/64": "The mesh's prefix " + m.Prefix.String() + " overlaps the network " + mesh.Subnet(m.Prefix, fleet.Coordinator).String() + " of eth0 on this host.",
	} {
		err := m.Clash([]mesh.Local{{Prefix: netip.MustParsePrefix(local), Interface: "eth0"}})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", local, err, want)
		}
	}
	if !m.Within(m.Clients[0].Address) || !m.Within(netip.MustParseAddr("::ffff:10.77.3.4")) || m.Within(netip.MustParseAddr("192.168.1.7")) {
		t.Error("what is within the overlay")
	}
}
