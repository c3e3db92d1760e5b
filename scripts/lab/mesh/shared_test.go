package mesh_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// guest adds a member on the host of another one, and waits until it shares that one's
// place.
func (l *lab) guest(t *testing.T, name, by string) {
	t.Helper()
	at := l.hosts[by]
	ring, err := mesh.NewRing()
	must(t, err)
	h := &host{Host: at.Host, name: name, dir: at.dir, ring: ring, socket: at.socket}
	h.watch(t)
	n := mesh.Node{Name: name, Role: fleet.Agent, Keys: ring.Public(), ID: mesh.URI(l.now.Cluster, fleet.Agent, name)}
	n.Address = mesh.NodeHost(n.Role, n.ID).In(l.now.Prefix)
	h.address = n.Address
	l.hosts[name], l.names = h, append(l.names, name)
	l.tell(t, func(m *mesh.Map) {
		m.Nodes = append(m.Nodes, n)
		slices.SortFunc(m.Nodes, func(a, b mesh.Node) int { return strings.Compare(a.Name, b.Name) })
	})
	h.facts(t, func(f meshnet.Facts) bool { return f.Self == name && f.Host == by })
	l.tell(t, func(m *mesh.Map) { // as its daemon announces it then
		for i := range m.Nodes {
			if m.Nodes[i].Name == name {
				m.Nodes[i].Host = by
			}
		}
	})
	for _, one := range l.names {
		l.hosts[one].facts(t, func(f meshnet.Facts) bool { return f.Report.Version == l.now.Version })
	}
}

// TestShared has two members on one host, twice: an agent beside a hub, and one beside a
// member that is none, as a coordinator with mesh.hub: false is. Others reach both by the
// tunnels of one, also when they leave the hub that they were at.
func TestShared(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	l.guest(t, "pi-3", "c1")
	l.guest(t, "pi-4", "pi-2")
	l.by(t, "pi-1", "c1")
	flows := map[string]*flow{"beside a hub": l.flow(t, "pi-1", "pi-3"), "beside another member": l.flow(t, "pi-1", "pi-4")}
	all := func(when string) {
		t.Helper()
		for where, f := range flows {
			got := f.tally(t)
			t.Logf("%s, %s: %+v", where, when, got)
			if got.Lost > 0 {
				t.Errorf("%s, %s: %+v\n%s", where, when, got, l.words())
			}
		}
	}
	for _, f := range flows {
		f.tally(t)
	}
	time.Sleep(2 * time.Second)
	all("in peace")
	l.tell(t, func(m *mesh.Map) { m.Nodes[0].Hub = &mesh.Hub{Priority: 10, Draining: true} })
	l.by(t, "pi-1", "c2")
	l.by(t, "pi-2", "c2")
	all("by the other hub")

	for guest, by := range map[string]string{"pi-3": "c1", "pi-4": "pi-2"} {
		l.names = slices.DeleteFunc(l.names, func(n string) bool { return n == guest || n == by })
		for _, name := range []string{guest, by} {
			h := l.hosts[name]
			h.stop()
			must(t, meshnet.Leave(t.Context(), h.socket, name))
			out := h.tell(t, "ip", "-o", "address")
			if there := strings.Contains(out, h.address.String()); there {
				t.Errorf("%s has left, and its address is there:\n%s", name, out)
			}
			if still := strings.Contains(out, l.hosts[by].address.String()); still != (name == guest) {
				t.Errorf("%s has left, and the address of %s is there: %t", name, by, still)
			}
		}
		out := l.hosts[by].tell(t, "sh", "-c", "ip -o link; ip -6 rule; nft list tables")
		if strings.Contains(out, l.hosts[by].stem) || strings.Contains(out, "51820") || strings.Contains(out, "prime-spark-mesh") {
			t.Errorf("both have left, and there is\n%s", out)
		}
	}
}

// tell runs a command on a host, and returns what it says.
func (h *host) tell(t *testing.T, command ...string) string {
	t.Helper()
	line := h.Under(command...)
	out, err := exec.Command(line[0], line[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
