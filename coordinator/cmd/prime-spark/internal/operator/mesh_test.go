package operator

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// answerMesh is the mesh of the fake coordinator: two hubs, one of which drains, an
// agent behind a bad router, and a phone.
func answerMesh(answer func(string, func(*http.Request) (any, error)), at time.Time) {
	m := mesh.Map{Version: 17, Cluster: "spark", Prefix: mesh.Prefix([32]byte{1})}
	for i, name := range []string{"c1", "c2"} {
		id := mesh.URI("spark", fleet.Coordinator, name)
		m.Nodes = append(m.Nodes, mesh.Node{
			Name: name, ID: id, Role: fleet.Coordinator, Address: mesh.NodeHost(fleet.Coordinator, id).In(m.Prefix),
			Keys: []mesh.Key{{Generation: 1, Public: mesh.PublicKey{byte(i + 1), 31: 1}}}, Hub: &mesh.Hub{Draining: name == "c1"},
			Endpoints: []mesh.Endpoint{{Kind: mesh.Static, Address: []string{"hub1.example:51820", "192.168.1.2:51820"}[i]}},
		})
	}
	answer("GET /v1/mesh", func(*http.Request) (any, error) {
		b, err := json.Marshal(m)
		return wire.MeshBody{Signed: mesh.Signed{Map: b}, Version: m.Version}, err
	})
	phone := wire.MeshClientBody{Name: "phone", Address: mesh.ClientHost("spark", "phone").In(m.Prefix), Created: at, Expires: at.Add(720 * time.Hour), By: "token:ada"}
	answer("GET /v1/mesh/view", func(*http.Request) (any, error) {
		b := wire.MeshViewBody{Version: m.Version, Prefix: m.Prefix, Clients: []wire.MeshClientBody{phone}, Outside: []string{"pi-9"}}
		for _, n := range m.Nodes {
			b.Nodes = append(b.Nodes, wire.MeshNodeBody{Name: n.Name, Role: n.Role, Address: n.Address, Hub: n.Hub, Generation: 1, Keys: 1, Report: &mesh.Report{Version: 17}})
		}
		b.Nodes = append(b.Nodes, wire.MeshNodeBody{
			Name: "pi-7", Role: fleet.Agent, Address: netip.MustParseAddr("fd00::7"), Generation: 1, Keys: 1, Wanted: 2,
			Report: &mesh.Report{
				Version: 16, Hub: "c2", MTU: 1280,
				Links: []mesh.Link{{Peer: "c2", Up: true, Handshake: 42, RTT: 3.25, MTU: 1420}, {Peer: "pi-8", Via: "c2", Loss: 0.5}},
				Facts: mesh.Facts{NAT: mesh.NATHard, Backend: mesh.Kernel, Blocked: []string{"c1"}},
			},
		})
		return b, nil
	})
	answer("POST /v1/mesh:rotate", func(r *http.Request) (any, error) {
		var q wire.MeshRotateRequest
		err := json.NewDecoder(r.Body).Decode(&q)
		if len(q.Nodes) == 0 {
			q.Nodes = []string{"c1", "c2", "pi-7"}
		}
		return wire.MeshRotateBody{Asked: q.Nodes}, err
	})
	answer("POST /v1/mesh/clients", func(r *http.Request) (any, error) {
		var q wire.MeshClientRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, err
		}
		if q.Public.IsZero() || q.Name != "phone" {
			return nil, problem.New(problem.Conflict, "Choose another name.", "%s is a node of this cluster.", q.Name)
		}
		phone.Public = q.Public
		return phone, nil
	})
	answer("POST /v1/mesh/clients/phone:revoke", func(*http.Request) (any, error) { return wire.MeshVersion{Version: 18}, nil })
}
