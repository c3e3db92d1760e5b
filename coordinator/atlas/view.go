package atlas

import (
	"net/netip"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/wire"
)

// View is the mesh as a state wants it, as its nodes report it, and who of it lives.
func (a *Atlas) View(s fsm.State, living fleet.View, now time.Time) wire.MeshViewBody {
	return view(s.MeshMap(a.cfg.Prefix), s, living, a.cfg.Reports(), now)
}

func view(m mesh.Map, s fsm.State, living fleet.View, reports map[string]mesh.Report, now time.Time) wire.MeshViewBody {
	b := wire.MeshViewBody{Version: m.Version, Prefix: m.Prefix, IPv4: m.IPv4, Nodes: []wire.MeshNodeBody{}, Clients: []wire.MeshClientBody{}}
	for _, n := range m.Nodes {
		row := wire.MeshNodeBody{
			Name: n.Name, Role: n.Role, Address: n.Address, IPv4: n.IPv4, Site: n.Site, Hub: n.Hub, Host: n.Host,
			Generation: n.Newest().Generation, Keys: len(n.Good(now)), Wanted: m.Wanted(n.Name),
		}
		if seen, ok := living.Find(n.Name); ok {
			row.Liveness = seen.Liveness
		}
		if r, ok := reports[n.Name]; ok {
			row.Report = &r
		}
		b.Nodes = append(b.Nodes, row)
	}
	for _, c := range m.Clients {
		b.Clients = append(b.Clients, client(s.Cluster.Name, m.Prefix, c.Name, s.Mesh.Clients[c.Name]))
	}
	for _, n := range s.NodeList() {
		if _, takesPart := s.Mesh.Nodes[n.Name]; n.Active() && !takesPart {
			b.Outside = append(b.Outside, n.Name)
		}
	}
	return b
}

// Client is a client of the mesh as the API shows it.
func (a *Atlas) Client(s fsm.State, name string, c fsm.MeshClient) wire.MeshClientBody {
	return client(s.Cluster.Name, a.cfg.Prefix, name, c)
}

func client(cluster string, prefix netip.Prefix, name string, c fsm.MeshClient) wire.MeshClientBody {
	return wire.MeshClientBody{
		Name: name, Public: c.Public, Address: mesh.ClientHost(cluster, name).In(prefix), IPv4: c.IPv4,
		Created: c.Created, Expires: c.Expires, By: c.By,
	}
}
