package mesh_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// What makes a machine the router of a network of its own, in which its mesh is: the
// same addresses on each machine. %s is how it masks them, and %n the number of its
// network: it remembers for minutes how it masked an address. What nobody asked for is
// dropped, and not remembered, as routers of homes do.
const router = `ip netns add home
ip link add lan0 type veth peer name eth0 netns home
ip address add 192.168.%n.1/24 dev lan0
ip link set lan0 up
ip -n home link set lo up
ip -n home address add 192.168.%n.2/24 dev eth0
ip -n home link set eth0 up
ip -n home route add default via 192.168.%n.1
sysctl -qw net.ipv4.ip_forward=1
nft -f - <<'END'
add table ip home
add chain ip home out { type nat hook postrouting priority 100; }
add rule ip home out oifname vec0 %s
add chain ip home through { type filter hook forward priority 0; }
add rule ip home through iifname vec0 ct state new drop
add chain ip home in { type filter hook input priority 0; }
add rule ip home in iifname vec0 ct state new drop
END
ip netns exec home ip link show eth0 >/dev/null`

const noRouter = "nft delete table ip home; ip netns delete home; sysctl -qw net.ipv4.ip_forward=0; while ip link show lan0 >/dev/null 2>&1; do sleep 0.1; done"

// routers is T4: each edge behind a router of its own. Where these keep a port,
// whoever a packet goes to, there is a direct path; where they do not, that is
// recognised, and nothing is lost by trying.
func (s *site) routers() {
	s.t.Helper()
	edges := []string{"pi-1", "pi-2"}
	for i, test := range []struct {
		name, mask string
		nat        mesh.NAT
		direct     bool
	}{
		{"that keep ports", "masquerade", mesh.NATEasy, true},
		{"with another port for each", "masquerade fully-random", mesh.NATHard, false},
	} {
		for _, name := range edges {
			s.end(name)
			s.sh(name, strings.NewReplacer("%s", test.mask, "%n", strconv.Itoa(7+i)).Replace(router))
			s.boxes[name].in = "ip netns exec home"
			s.begin(name)
		}
		s.tell(nil)
		s.flow()
		begun := time.Now()
		s.recognise(edges, test.nat)
		for _, name := range edges {
			if test.direct {
				s.until(name, 2*time.Minute, direct)
			}
		}
		took := time.Since(begun).Round(100 * time.Millisecond)
		if !test.direct {
			time.Sleep(12 * time.Second) // in which it would be tried
		}
		is := s.sees("pi-1", direct)
		got := s.tally()
		s.t.Logf("T4, routers %s: NAT %s, direct: %t, known after %v; %+v", test.name, test.nat, is, took, got)
		if is != test.direct || got.outage() > stall {
			s.t.Errorf("T4, routers %s: direct: %t, and %+v", test.name, is, got)
		}
		for _, name := range edges {
			s.end(name)
			s.sh(name, noRouter)
			s.boxes[name].in = ""
		}
	}
	for _, name := range edges {
		s.begin(name)
	}
	s.tell(nil)
	s.flow()
}

// recognise tells all what the hubs see of edges, until these know their NAT for what
// it is. A hub tells where an edge was until that has shaken hands anew.
func (s *site) recognise(edges []string, nat mesh.NAT) {
	s.t.Helper()
	for begun := time.Now(); ; {
		var seen []mesh.Sighting
		for _, hub := range []string{"c1", "c2"} {
			seen = append(seen, s.until(hub, time.Minute, func(f meshnet.Facts) bool { return len(f.Report.Sightings) >= len(edges) }).Report.Sightings...)
		}
		s.tell(nil, seen...)
		for range 20 {
			if !slices.ContainsFunc(edges, func(edge string) bool {
				return !s.sees(edge, func(f meshnet.Facts) bool { return f.Report.Facts.NAT == nat })
			}) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		if time.Since(begun) > 2*time.Minute {
			s.t.Fatalf("T4: the NAT is not known to be %s; the hubs see %+v", nat, seen)
		}
	}
}
