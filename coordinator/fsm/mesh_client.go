package fsm

import (
	"maps"
	"net/netip"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/problem"
)

// MeshAdmit lets a phone or a laptop into the mesh until a time. Its key was made
// where it is used; only the public half is here. The same name and key again only
// moves the end; another key takes the place of the older one.
type MeshAdmit struct {
	Name    string         `json:"name"`
	Public  mesh.PublicKey `json:"public"`
	Expires time.Time      `json:"expires"`
}

// MeshExpel shuts a client out. Its key never comes back.
type MeshExpel struct {
	Name string `json:"name"`
}

// MeshRange says which IPv4 addresses the mesh has; none if it is zero.
type MeshRange struct {
	Range netip.Prefix `json:"range,omitzero"`
}

// MeshPrune drops keys and clients whose end has come.
type MeshPrune struct{}

// Kind is mesh.admit.
func (MeshAdmit) Kind() Kind { return KindMeshAdmit }

// Kind is mesh.expel.
func (MeshExpel) Kind() Kind { return KindMeshExpel }

// Kind is mesh.range.
func (MeshRange) Kind() Kind { return KindMeshRange }

// Kind is mesh.prune.
func (MeshPrune) Kind() Kind { return KindMeshPrune }

func (c *change) meshAdmit(cmd MeshAdmit) (any, error) {
	old, known := c.Mesh.Clients[cmd.Name]
	_, node := c.Nodes[cmd.Name]
	switch {
	case !fleet.ValidName(cmd.Name):
		return nil, problem.New(problem.Invalid, "Use 1 to 32 of a-z, 0-9 and hyphen, as in phone-ada.", "The name of the client, %.64q, is not valid.", cmd.Name)
	case node:
		return nil, problem.New(problem.Conflict, "Choose another name: a node makes its own keys and needs no file.", "%s is a node of this cluster.", cmd.Name)
	case !cmd.Expires.After(c.at) || cmd.Expires.After(c.at.Add(MeshLongest)):
		return nil, problem.New(problem.Invalid, "Give a time of at most two years, as in --ttl 720h.", "The client would expire at %s.", cmd.Expires.UTC().Format(time.RFC3339))
	case cmd.Public.IsZero(), old.Public != cmd.Public && c.meshKey(cmd.Public):
		return nil, problem.New(problem.Conflict, "Make a new key: run prime-spark mesh export again.", "The key of the client %s is empty, revoked, or another's.", cmd.Name)
	case !known && len(c.Mesh.Clients) >= mesh.MaxClients:
		return nil, problem.New(problem.Conflict, "Revoke some: prime-spark mesh revoke NAME.", "There are %d clients, and more are not supported.", mesh.MaxClients)
	}
	if err := c.checkHost(cmd.Name, mesh.ClientHost(c.Cluster.Name, cmd.Name)); err != nil {
		return nil, err
	}
	next := MeshClient{Public: cmd.Public, IPv4: old.IPv4, Created: c.at.UTC(), Expires: cmd.Expires.UTC(), By: c.actor}
	if known && old.Public == next.Public {
		if old.Expires.Equal(next.Expires) {
			return old, nil // the answer to the first one got lost
		}
		next.Created = old.Created
	}
	if known && old.Public != next.Public {
		c.meshRevokeKey(old.Public)
	}
	if !next.IPv4.IsValid() {
		next.IPv4 = c.ipv4().take()
	}
	c.Mesh.Clients = put(c.Mesh.Clients, cmd.Name, next)
	c.meshChanged()
	c.event(Info, cmd.Name, "The client %s may use the mesh until %s.", cmd.Name, next.Expires.Format(time.RFC3339))
	return next, nil
}

func (c *change) meshExpel(cmd MeshExpel) (any, error) {
	old, known := c.Mesh.Clients[cmd.Name]
	if !known {
		return nil, problem.New(problem.NotFound, "List them: prime-spark mesh. A node is shut out with prime-spark revoke.", "There is no client %.64q of the mesh.", cmd.Name)
	}
	c.meshRevokeKey(old.Public)
	c.dropClient(cmd.Name, old)
	c.meshChanged()
	c.event(Warning, cmd.Name, "The client %s was shut out of the mesh.", cmd.Name)
	return c.Mesh.Version, nil
}

func (c *change) dropClient(name string, client MeshClient) {
	c.Mesh.Clients, _ = without(c.Mesh.Clients, func(other string, _ MeshClient) bool { return other == name })
	c.rest(client.IPv4)
}

func (c *change) meshPrune(MeshPrune) (any, error) {
	dropped := 0
	for _, name := range sortedKeys(c.Mesh.Clients) {
		if client := c.Mesh.Clients[name]; !client.Expires.After(c.at) {
			c.dropClient(name, client)
			c.event(Info, name, "The time of the client %s in the mesh is over.", name)
			dropped++
		}
	}
	for _, name := range sortedKeys(c.Mesh.Nodes) {
		n := c.Mesh.Nodes[name]
		if good := (mesh.Node{Keys: n.Keys}).Good(c.at); len(good) < len(n.Keys) {
			n.Keys = good
			c.Mesh.Nodes = put(c.Mesh.Nodes, name, n)
			c.event(Info, name, "An older key of the node %s for the mesh has ended.", name)
			dropped++
		}
	}
	if dropped > 0 {
		c.meshChanged()
	}
	return dropped, nil
}

// MeshStale reports whether there is something for MeshPrune at a time.
func (s State) MeshStale(now time.Time) bool {
	for _, client := range s.Mesh.Clients {
		if !client.Expires.After(now) {
			return true
		}
	}
	for _, n := range s.Mesh.Nodes {
		if len((mesh.Node{Keys: n.Keys}).Good(now)) < len(n.Keys) {
			return true
		}
	}
	return false
}

func (c *change) meshRange(cmd MeshRange) (any, error) {
	if cmd.Range == c.Mesh.Range {
		return nil, nil
	}
	if cmd.Range.IsValid() {
		if err := mesh.CheckRange(cmd.Range); err != nil {
			return nil, &problem.Error{Code: problem.Invalid, Err: err, Detail: "The IPv4 range of the mesh is not valid: " + err.Error() + ".", Remedy: "Correct mesh.ipv4_range on the coordinators."}
		}
	}
	nodes, clients := maps.Clone(c.Mesh.Nodes), maps.Clone(c.Mesh.Clients)
	c.Mesh = Mesh{Version: c.Mesh.Version, Range: cmd.Range, Revoked: c.Mesh.Revoked}
	free := c.ipv4()
	for _, name := range sortedKeys(nodes) {
		n := nodes[name]
		n.IPv4 = free.take()
		nodes[name] = n
	}
	for _, name := range sortedKeys(clients) {
		client := clients[name]
		client.IPv4 = free.take()
		clients[name] = client
	}
	c.Mesh.Nodes, c.Mesh.Clients = nodes, clients
	c.meshChanged()
	if cmd.Range.IsValid() {
		c.event(Warning, "", "The mesh has the IPv4 addresses of %s.", cmd.Range)
	} else {
		c.event(Warning, "", "The mesh has no IPv4 addresses any more.")
	}
	return nil, nil
}
