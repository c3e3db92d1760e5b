package fsm

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/problem"
)

// Mesh is who takes part in the WireGuard network, and with which keys. The nodes
// in it are Active; its prefix follows from the cluster's authority, which is not
// in the state.
type Mesh struct {
	Version uint64                `json:"version"`        // of the map; see change.meshChanged
	Range   netip.Prefix          `json:"range,omitzero"` // of the IPv4 addresses, if there are any
	Nodes   map[string]MeshNode   `json:"nodes,omitempty"`
	Clients map[string]MeshClient `json:"clients,omitempty"`
	Revoked map[string]time.Time  `json:"revoked,omitempty"` // public keys that were shut out, and when
	Rested  map[string]time.Time  `json:"rested,omitempty"`  // IPv4 addresses that were given back -> when another one may have them
}

// A MeshNode is what a node announced of its end of the mesh, and what was decided
// about it.
type MeshNode struct {
	Keys      []mesh.Key      `json:"keys"` // by generation
	Site      string          `json:"site,omitempty"`
	Endpoints []mesh.Endpoint `json:"endpoints,omitempty"`
	Hub       *mesh.Hub       `json:"hub,omitempty"`
	Host      string          `json:"host,omitempty"` // the member whose place on a host it shares
	IPv4      netip.Addr      `json:"ipv4,omitzero"`
	Want      uint64          `json:"want,omitempty"` // the generation that an operator asked for
}

// A MeshClient is a phone or a laptop that an operator let into the mesh.
type MeshClient struct {
	Public  mesh.PublicKey `json:"public"`
	IPv4    netip.Addr     `json:"ipv4,omitzero"`
	Created time.Time      `json:"created"`
	Expires time.Time      `json:"expires"`
	By      string         `json:"by"` // the actor who approved it
}

// Times of the mesh.
const (
	meshOverlap = time.Hour                // that a node's older key is good beside the newer one, unless the node ends it sooner
	meshRest    = 30 * 24 * time.Hour      // until an IPv4 address is given to another one
	MeshLongest = 2 * 366 * 24 * time.Hour // of a client's life
)

// MeshMap is the map of the mesh, as the coordinators sign it. The prefix is
// mesh.Prefix.
func (s State) MeshMap(prefix netip.Prefix) mesh.Map {
	m := mesh.Map{Version: s.Mesh.Version, Cluster: s.Cluster.Name, Prefix: prefix, IPv4: s.Mesh.Range}
	for _, name := range sortedKeys(s.Mesh.Nodes) {
		n, role := s.Mesh.Nodes[name], s.Nodes[name].Role
		id := mesh.URI(s.Cluster.Name, role, name)
		m.Nodes = append(m.Nodes, mesh.Node{
			Name: name, ID: id, Role: role, Address: mesh.NodeHost(role, id).In(prefix), IPv4: n.IPv4,
			Keys: n.Keys, Site: n.Site, Endpoints: n.Endpoints, Hub: s.hub(name), Host: n.Host,
		})
		if n.Want > newest(n.Keys) {
			m.Rotate = append(m.Rotate, mesh.Rotation{Name: name, Generation: n.Want})
		}
	}
	for _, name := range sortedKeys(s.Mesh.Clients) {
		c := s.Mesh.Clients[name]
		m.Clients = append(m.Clients, mesh.Client{
			Name: name, Address: mesh.ClientHost(s.Cluster.Name, name).In(prefix), IPv4: c.IPv4, Public: c.Public, Expires: c.Expires,
		})
	}
	for text := range s.Mesh.Revoked {
		if k, err := mesh.ParsePublicKey(text); err == nil { // what got in was one
			m.Revoked = append(m.Revoked, k)
		}
	}
	slices.SortFunc(m.Revoked, func(a, b mesh.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	return m
}

// hub is what a node does as a hub: one that an operator drains is left, too.
func (s State) hub(name string) *mesh.Hub {
	h := s.Mesh.Nodes[name].Hub
	if h == nil {
		return nil
	}
	return &mesh.Hub{Priority: h.Priority, Draining: h.Draining || s.Nodes[name].State == Draining}
}

func newest(keys []mesh.Key) uint64 {
	if len(keys) == 0 {
		return 0
	}
	return keys[len(keys)-1].Generation
}

// meshChanged gives the map its next version. It follows the clock, so that a
// cluster that was restored from a backup does not give out versions that its nodes
// have seen already; and it always rises, whatever the proposers' clocks say.
func (c *change) meshChanged() {
	c.Mesh.Version = max(c.Mesh.Version+1, uint64(max(c.at.Unix(), 0)))
}

// MeshAnnounce is what a node says of its end of the mesh: all its present keys
// and where it is reached. A newer key makes those before it end within an hour, or
// at once when the node leaves them out. The answer is the version of the map that
// has it.
type MeshAnnounce struct {
	Name      string          `json:"name"`
	Keys      []mesh.Key      `json:"keys"` // without Until
	Site      string          `json:"site,omitempty"`
	Endpoints []mesh.Endpoint `json:"endpoints,omitempty"`
	Hub       *mesh.Hub       `json:"hub,omitempty"`
	Host      string          `json:"host,omitempty"` // the member on the same host whose tunnels it uses
}

// MeshLeave takes a node out of the mesh that goes on without it. Its keys may come
// back.
type MeshLeave struct {
	Name string `json:"name"`
}

// Kind is mesh.announce.
func (MeshAnnounce) Kind() Kind { return KindMeshAnnounce }

// Kind is mesh.leave.
func (MeshLeave) Kind() Kind { return KindMeshLeave }

func (c *change) meshAnnounce(cmd MeshAnnounce) (any, error) {
	n, err := c.node(cmd.Name)
	if err != nil {
		return nil, err
	}
	if !n.Active() {
		return nil, problem.New(problem.Forbidden, "Have it approved, or join it again with a new code.", "The node %s is %s.", n.Name, n.State)
	}
	old, known := c.Mesh.Nodes[n.Name]
	if err := c.checkMesh(n, cmd, old); err != nil {
		return nil, err
	}
	next := MeshNode{Keys: c.overlap(old.Keys, cmd.Keys), Site: cmd.Site, Endpoints: cmd.Endpoints, Hub: cmd.Hub, Host: cmd.Host, IPv4: old.IPv4, Want: old.Want}
	if next.Want <= newest(next.Keys) {
		next.Want = 0
	}
	if known && equalMesh(old, next) {
		return c.Mesh.Version, nil
	}
	if !next.IPv4.IsValid() {
		next.IPv4 = c.ipv4().take()
	}
	c.Mesh.Nodes = put(c.Mesh.Nodes, n.Name, next)
	c.meshChanged()
	switch {
	case !known:
		c.event(Info, n.Name, "The %s %s takes part in the mesh.", n.Role, n.Name)
	case newest(next.Keys) != newest(old.Keys):
		c.event(Info, n.Name, "The %s %s has a new key for the mesh, of generation %d.", n.Role, n.Name, newest(next.Keys))
	case next.Hub != nil && (old.Hub == nil || next.Hub.Draining != old.Hub.Draining):
		c.event(Info, n.Name, "The %s %s is a hub of the mesh; draining: %t.", n.Role, n.Name, next.Hub.Draining)
	case next.Host != old.Host && next.Host != "":
		c.event(Info, n.Name, "The %s %s is in the mesh by the tunnels of %s, on the same host.", n.Role, n.Name, next.Host)
	default:
		c.event(Info, n.Name, "The %s %s announced how it is reached in the mesh.", n.Role, n.Name)
	}
	return c.Mesh.Version, nil
}

func equalMesh(a, b MeshNode) bool {
	hubs := a.Hub == nil && b.Hub == nil || a.Hub != nil && b.Hub != nil && *a.Hub == *b.Hub
	return hubs && a.Site == b.Site && a.Host == b.Host && a.Want == b.Want && slices.Equal(a.Endpoints, b.Endpoints) &&
		slices.EqualFunc(a.Keys, b.Keys, func(a, b mesh.Key) bool {
			return a.Generation == b.Generation && a.Public == b.Public && a.Interface == b.Interface && a.Until.Equal(b.Until)
		})
}

// overlap are the keys of an announcement, the older of them with their ends. An
// end that was given once stays.
func (c *change) overlap(old, keys []mesh.Key) []mesh.Key {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i].Until = time.Time{}
		if i == len(keys)-1 {
			continue
		}
		keys[i].Until = c.at.Add(meshOverlap).UTC()
		for _, o := range old {
			if o.Generation == keys[i].Generation && !o.Until.IsZero() {
				keys[i].Until = o.Until
			}
		}
	}
	return keys
}

// checkMesh reports what is wrong with an announcement.
func (c *change) checkMesh(n Node, cmd MeshAnnounce, old MeshNode) error {
	if len(cmd.Keys) == 0 || len(cmd.Keys) > mesh.MaxKeys || cmd.Site != "" && !fleet.ValidName(cmd.Site) {
		return problem.New(problem.Invalid, "Announce with an unchanged program; a site is named like a node.", "The node %s announced %d keys, and the site %.40q.", n.Name, len(cmd.Keys), cmd.Site)
	}
	if cmd.Host != "" && (!fleet.ValidName(cmd.Host) || cmd.Host == n.Name || cmd.Hub != nil) {
		return problem.New(problem.Invalid, "Announce with an unchanged program.", "The node %s announced that it shares the place of %.40q in the mesh, and is a hub or that one.", n.Name, cmd.Host)
	}
	err := mesh.CheckEndpoints(cmd.Endpoints)
	for i, k := range cmd.Keys {
		if err == nil {
			err = mesh.CheckInterface(k.Interface)
		}
		if k.Generation == 0 || k.Public.IsZero() || i > 0 && cmd.Keys[i-1].Generation >= k.Generation {
			return problem.New(problem.Invalid, "Announce with an unchanged program.", "The keys of the node %s are not in the order of their generations.", n.Name)
		}
	}
	if err != nil {
		return &problem.Error{Code: problem.Invalid, Err: err, Detail: "What the node announced of the mesh is not valid: " + err.Error() + ".", Remedy: "Correct mesh in its configuration."}
	}
	if err := c.checkHub(n, cmd); err != nil {
		return err
	}
	for _, k := range cmd.Keys {
		i := slices.IndexFunc(old.Keys, func(o mesh.Key) bool { return o.Generation == k.Generation })
		same := i >= 0 && old.Keys[i].Public == k.Public
		if !same && (k.Generation <= newest(old.Keys) || c.meshKey(k.Public) || slices.ContainsFunc(cmd.Keys, func(o mesh.Key) bool { return o.Generation != k.Generation && o.Public == k.Public })) {
			return problem.New(problem.Conflict, "Make a new key of a greater generation; the node does that by itself.",
				"A key that the node %s announced, of generation %d, is revoked, another's, or older than its newest.", n.Name, k.Generation)
		}
	}
	if newest(cmd.Keys) < newest(old.Keys) {
		return problem.New(problem.Conflict, "Make a new key of a greater generation; the node does that by itself.",
			"The newest key that the node %s announced is of generation %d, and it had one of %d.", n.Name, newest(cmd.Keys), newest(old.Keys))
	}
	return c.checkHost(n.Name, mesh.NodeHost(n.Role, mesh.URI(c.Cluster.Name, n.Role, n.Name)))
}

func (c *change) checkHub(n Node, cmd MeshAnnounce) error {
	if cmd.Hub == nil {
		return nil
	}
	hubs := 0
	for name, other := range c.Mesh.Nodes {
		if name != n.Name && other.Hub != nil {
			hubs++
		}
	}
	switch static := (mesh.Node{Endpoints: cmd.Endpoints}).Static(); {
	case n.Role != fleet.Coordinator:
		return problem.New(problem.Invalid, "Set mesh.hub on coordinators.", "The node %s is of role %s and cannot be a hub.", n.Name, n.Role)
	case len(static) == 0:
		return problem.New(problem.Invalid, "Set mesh.endpoints to where others reach its UDP port, as in hub.example:51820.", "The hub %s does not say where it is reached.", n.Name)
	case cmd.Hub.Priority < 0 || cmd.Hub.Priority > mesh.MaxPriority:
		return problem.New(problem.Invalid, "Set mesh.priority to 0 to 100.", "The priority of the hub %s is %d.", n.Name, cmd.Hub.Priority)
	case hubs >= mesh.MaxHubs:
		return problem.New(problem.Conflict, "Switch mesh.hub off on one of the others.", "There are %d hubs, and more are not supported.", hubs)
	}
	return nil
}

// checkHost refuses an address that somebody has: by chance, once in some
// billions of fleets.
func (c *change) checkHost(name string, h mesh.Host) error {
	for other := range c.Mesh.Nodes {
		role := c.Nodes[other].Role
		if other != name && mesh.NodeHost(role, mesh.URI(c.Cluster.Name, role, other)) == h {
			return problem.New(problem.Conflict, "Join it under another name.", "The mesh address of %s is that of the node %s.", name, other)
		}
	}
	for other := range c.Mesh.Clients {
		if other != name && mesh.ClientHost(c.Cluster.Name, other) == h {
			return problem.New(problem.Conflict, "Choose another name.", "The mesh address of %s is that of the client %s.", name, other)
		}
	}
	return nil
}

// meshKey reports whether a key is somebody's already, or was shut out.
func (c *change) meshKey(k mesh.PublicKey) bool {
	if _, gone := c.Mesh.Revoked[k.String()]; gone {
		return true
	}
	for _, n := range c.Mesh.Nodes {
		if slices.ContainsFunc(n.Keys, func(o mesh.Key) bool { return o.Public == k }) {
			return true
		}
	}
	for _, client := range c.Mesh.Clients {
		if client.Public == k {
			return true
		}
	}
	return false
}

func (c *change) meshLeave(cmd MeshLeave) (any, error) {
	n, takesPart := c.Mesh.Nodes[cmd.Name]
	if !takesPart {
		return c.Mesh.Version, nil
	}
	c.Mesh.Nodes, _ = without(c.Mesh.Nodes, func(name string, _ MeshNode) bool { return name == cmd.Name })
	c.rest(n.IPv4)
	c.meshChanged()
	c.event(Info, cmd.Name, "The node %s takes no part in the mesh any more.", cmd.Name)
	return c.Mesh.Version, nil
}

// meshForget drops a node that was shut out from the mesh, with its keys for good.
func (c *change) meshForget(name string) {
	n, takesPart := c.Mesh.Nodes[name]
	if !takesPart {
		return
	}
	for _, k := range n.Keys {
		c.meshRevokeKey(k.Public)
	}
	c.Mesh.Nodes, _ = without(c.Mesh.Nodes, func(other string, _ MeshNode) bool { return other == name })
	c.rest(n.IPv4)
	c.meshChanged()
}

// meshRevokeKey shuts a key out. The oldest of too many are forgotten: nobody has
// had a tunnel with them for long.
func (c *change) meshRevokeKey(k mesh.PublicKey) {
	c.Mesh.Revoked = put(c.Mesh.Revoked, k.String(), c.at.UTC())
	trim(c.Mesh.Revoked, mesh.MaxRevoked)
}

// trim removes from a map, which is its owner's alone, the oldest of too many.
func trim(m map[string]time.Time, most int) {
	if len(m) <= most {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(m[a].Compare(m[b]), cmp.Compare(a, b)) })
	for _, k := range oldest[:len(m)-most] {
		delete(m, k)
	}
}

// MeshRotate asks nodes for new keys: those named, or all. They follow by
// themselves, and lose no packet.
type MeshRotate struct {
	Names []string `json:"names,omitempty"` // none: all
}

// Kind is mesh.rotate.
func (MeshRotate) Kind() Kind { return KindMeshRotate }

func (c *change) meshRotate(cmd MeshRotate) (any, error) {
	names := cmd.Names
	if len(names) == 0 {
		names = sortedKeys(c.Mesh.Nodes)
	}
	if len(names) > maxNodes {
		return nil, problem.New(problem.Invalid, "Name fewer, or none for all.", "%d nodes were named.", len(names))
	}
	for _, name := range names {
		if _, ok := c.Mesh.Nodes[name]; !ok {
			return nil, problem.New(problem.NotFound, "List them: prime-spark mesh.", "No node %.64q takes part in the mesh.", name)
		}
	}
	var asked []string
	nodes := maps.Clone(c.Mesh.Nodes)
	for _, name := range names {
		n := nodes[name]
		if n.Want > newest(n.Keys) {
			continue // asked already
		}
		n.Want = newest(n.Keys) + 1
		nodes[name] = n
		asked = append(asked, name)
	}
	c.Mesh.Nodes = nodes
	if len(asked) > 0 {
		c.meshChanged()
		c.event(Info, "", "%d nodes of the mesh were asked for new keys.", len(asked))
	}
	return asked, nil
}
