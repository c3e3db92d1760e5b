package fsm

import (
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// Bounds of nodes.
const (
	maxNodes   = 1024
	maxVersion = 64
	// denyFor outlives every certificate: they live for 30 days, and clocks differ.
	denyFor = 32 * 24 * time.Hour
)

// NodeJoin admits a node by a join code.
//
// A name that is unknown or revoked is free. The name of a node that is still a
// member can be taken over, with a new key, by a code that was made for that
// (Code.Rejoin) and by a node of the same role; the old key is denied from then
// on. The same key by the same code again is the same join, whose answer was
// lost: it costs no use.
type NodeJoin struct {
	Code      string             `json:"code"`
	Hash      string             `json:"hash"` // SHA-256 of the code's secret, hexadecimal
	Name      string             `json:"name"`
	Role      fleet.Role         `json:"role"`
	Addresses identity.Addresses `json:"addresses,omitzero"`
	Version   string             `json:"version,omitempty"`
	Key       string             `json:"key"` // identity.KeyHash of the certificate to be issued
}

// Kind is node.join.
func (NodeJoin) Kind() Kind { return KindJoin }

func (c *change) nodeJoin(cmd NodeJoin) (any, error) {
	if !fleet.ValidName(cmd.Name) {
		return nil, problem.New(problem.Invalid, "Choose one with --name: 1 to 32 of a-z, 0-9 and hyphen.", "The node name %.64q is not valid.", cmd.Name)
	}
	if err := checkNode(cmd.Addresses, cmd.Version, cmd.Key); err != nil {
		return nil, err
	}
	code, err := c.Redeem(cmd.Code, cmd.Hash, c.at)
	if err != nil {
		return nil, err
	}
	if code.Role != cmd.Role {
		return nil, problem.New(problem.Forbidden, "Have a code made with --role "+string(cmd.Role)+".",
			"The join code is for nodes of role %s.", code.Role)
	}
	old, known := c.Nodes[cmd.Name]
	member := known && old.State != Revoked
	if member && old.Key == cmd.Key && old.Code == code.ID {
		return old, nil // the answer to the first one got lost
	}
	_, denied := c.Denied[cmd.Key]
	switch {
	case code.Uses < 1:
		return nil, problem.New(problem.Forbidden, "Have a new one made: prime-spark join-code create.", "The join code has been used already.")
	case denied:
		return nil, problem.New(problem.Forbidden, "Join with a new key.", "The node's key has been revoked.")
	case member && (!code.Rejoin || old.Role != cmd.Role):
		return nil, problem.New(problem.Conflict, "Choose another with --name; or revoke the node that has it first.",
			"There is a node %s already.", cmd.Name)
	case member && code.Hold && c.last(old):
		return nil, problem.New(problem.Conflict, "Use a code without --hold.", "The node %s is the only coordinator; nobody could approve it.", old.Name)
	case !known && len(c.Nodes) >= maxNodes:
		return nil, problem.New(problem.Conflict, "Found a second cluster.", "The cluster has %d nodes, and more are not supported.", maxNodes)
	}
	if member && old.Key != cmd.Key {
		c.deny(old)
		c.meshForget(old.Name)
	}
	code.Uses--
	c.Codes = put(c.Codes, code.ID, code)
	n := Node{
		Name: cmd.Name, Role: cmd.Role, State: Approved, Addresses: cmd.Addresses, Version: cmd.Version,
		Key: cmd.Key, Code: code.ID, Joined: c.at, Changed: c.at,
	}
	if code.Hold {
		n.State = Pending
	}
	c.Nodes = put(c.Nodes, n.Name, n)
	switch {
	case code.Hold:
		c.event(Info, n.Name, "The %s %s joined and waits for approval.", n.Role, n.Name)
	case member:
		c.event(Warning, n.Name, "The %s %s joined anew, with another key.", n.Role, n.Name)
	default:
		c.event(Info, n.Name, "The %s %s joined.", n.Role, n.Name)
	}
	return n, nil
}

// checkNode reports what is wrong with what a node says of itself.
func checkNode(a identity.Addresses, version, key string) error {
	if err := a.Check(); err != nil {
		return &problem.Error{
			Code: problem.Invalid, Err: err, Detail: "An address of the node is not valid: " + err.Error() + ".",
			Remedy: "Give host:port, as others reach the node.",
		}
	}
	if len(version) > maxVersion || strings.ContainsFunc(version, func(r rune) bool { return r < ' ' || r > '~' }) {
		return problem.New(problem.Invalid, "Use a released version.", "The node's version %.64q is not valid.", version)
	}
	if !validHash(key) {
		return problem.New(problem.Invalid, "Join with an unchanged program.", "The hash of the node's key is not valid.")
	}
	return nil
}

// NodeAnnounce says where a node is reached now, its version, and whether it is
// a witness. What is the same already leaves no trace.
type NodeAnnounce struct {
	Name      string             `json:"name"`
	Addresses identity.Addresses `json:"addresses,omitzero"`
	Version   string             `json:"version,omitempty"`
	Witness   bool               `json:"witness,omitempty"` // of a coordinator, what it is from now on
}

// Kind is node.announce.
func (NodeAnnounce) Kind() Kind { return KindAnnounce }

func (c *change) nodeAnnounce(cmd NodeAnnounce) (any, error) {
	n, err := c.node(cmd.Name)
	if err != nil {
		return nil, err
	}
	if err := checkNode(cmd.Addresses, cmd.Version, n.Key); err != nil {
		return nil, err
	}
	if n.State == Revoked {
		return nil, problem.New(problem.Forbidden, "Join again with a new code.", "The node %s is revoked.", n.Name)
	}
	switch {
	case n.Addresses == cmd.Addresses && n.Version == cmd.Version && n.Witness == cmd.Witness:
		return n, nil
	case cmd.Witness && n.Role != fleet.Coordinator:
		return nil, problem.New(problem.Invalid, "Only a coordinator can be a witness.", "The node %s is of role %s.", n.Name, n.Role)
	case cmd.Witness && c.last(n):
		return nil, problem.New(problem.Conflict, "Have another coordinator join first, or leave it a coordinator.",
			"The node %s is the only coordinator that can lead; as a witness it could not.", n.Name)
	}
	turned := n.Witness != cmd.Witness
	n.Addresses, n.Version, n.Witness, n.Changed = cmd.Addresses, cmd.Version, cmd.Witness, c.at
	c.Nodes = put(c.Nodes, n.Name, n)
	switch {
	case turned && n.Witness:
		c.event(Info, n.Name, "The %s %s is a witness now: it votes and does not lead.", n.Role, n.Name)
	case turned:
		c.event(Info, n.Name, "The %s %s is no witness any more.", n.Role, n.Name)
	default:
		c.event(Info, n.Name, "The %s %s announced version %s and its addresses.", n.Role, n.Name, n.Version)
	}
	return n, nil
}

// NodeApprove admits a node that waits for it.
type NodeApprove struct {
	Name string `json:"name"`
}

// NodeDrain keeps new work away from a node.
type NodeDrain struct {
	Name string `json:"name"`
}

// NodeUndrain ends that.
type NodeUndrain struct {
	Name string `json:"name"`
}

// NodeRevoke shuts a node out: its certificate is refused everywhere from then
// on. It comes back by joining with a new code.
type NodeRevoke struct {
	Name string `json:"name"`
}

// Kind is node.approve.
func (NodeApprove) Kind() Kind { return KindApprove }

// Kind is node.drain.
func (NodeDrain) Kind() Kind { return KindDrain }

// Kind is node.undrain.
func (NodeUndrain) Kind() Kind { return KindUndrain }

// Kind is node.revoke.
func (NodeRevoke) Kind() Kind { return KindRevoke }

func (c *change) nodeApprove(cmd NodeApprove) (any, error) {
	n, err := c.node(cmd.Name)
	switch {
	case err != nil:
		return nil, err
	case n.Active():
		return n, nil
	case n.State == Revoked:
		return nil, problem.New(problem.Conflict, "Have it join again with a new code.", "The node %s is revoked.", n.Name)
	}
	return c.move(n, Approved, Info, "was approved"), nil
}

func (c *change) nodeDrain(cmd NodeDrain) (any, error) {
	n, err := c.node(cmd.Name)
	switch {
	case err != nil:
		return nil, err
	case n.State == Draining:
		return n, nil
	case n.State != Approved:
		return nil, problem.New(problem.Conflict, "Approve it, or leave it.", "The node %s is %s and gets no work anyway.", n.Name, n.State)
	}
	return c.move(n, Draining, Info, "is drained"), nil
}

func (c *change) nodeUndrain(cmd NodeUndrain) (any, error) {
	n, err := c.node(cmd.Name)
	switch {
	case err != nil:
		return nil, err
	case n.State == Approved:
		return n, nil
	case n.State != Draining:
		return nil, problem.New(problem.Conflict, "Approve it, or have it join again.", "The node %s is %s, not draining.", n.Name, n.State)
	}
	return c.move(n, Approved, Info, "takes work again"), nil
}

func (c *change) nodeRevoke(cmd NodeRevoke) (any, error) {
	n, err := c.node(cmd.Name)
	switch {
	case err != nil:
		return nil, err
	case n.State == Revoked:
		return n, nil
	case c.last(n):
		return nil, problem.New(problem.Conflict, "Have another coordinator join first.", "The node %s is the only coordinator.", n.Name)
	}
	c.deny(n)
	c.meshForget(n.Name)
	return c.move(n, Revoked, Warning, "was revoked"), nil
}

// last reports whether n is the only coordinator that takes part and can lead.
func (c *change) last(n Node) bool {
	leads := func(n Node) bool { return n.Role == fleet.Coordinator && n.Active() && !n.Witness }
	if !leads(n) {
		return false
	}
	for _, other := range c.Nodes {
		if other.Name != n.Name && leads(other) {
			return false
		}
	}
	return true
}

func (c *change) node(name string) (Node, error) {
	if n, ok := c.Nodes[name]; ok {
		return n, nil
	}
	return Node{}, problem.New(problem.NotFound, "List them: prime-spark nodes.", "There is no node %.64q.", name)
}

// move puts a node into another state.
func (c *change) move(n Node, to NodeState, severity Severity, what string) Node {
	n.State, n.Changed = to, c.at
	c.Nodes = put(c.Nodes, n.Name, n)
	if c.Mesh.Nodes[n.Name].Hub != nil { // whether it drains is in the map
		c.meshChanged()
	}
	c.event(severity, n.Name, "The %s %s %s.", n.Role, n.Name, what)
	return n
}
