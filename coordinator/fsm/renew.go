package fsm

import (
	"time"

	"primespark/shared/problem"
)

// A Former key is one that a node had before it renewed its certificate. The
// certificate is good until it expires, and goes with the node if that is
// revoked.
type Former struct {
	Node  string    `json:"node"`
	Until time.Time `json:"until"` // no certificate of the key lives longer
}

// maxFormer bounds the keys that one node has had and that have not expired. A
// node renews three times in two months, and asks with one key until it is
// answered.
const maxFormer = 64

// NodeRenew gives a member another key, before the certificate of the present
// one expires. The one that asks shows a certificate of that node, which has not
// been denied. The same key again is the same renewal, whose answer was lost.
type NodeRenew struct {
	Name string `json:"name"`
	From string `json:"from"` // identity.KeyHash of the certificate that asks
	Key  string `json:"key"`  // identity.KeyHash of the certificate to be issued
}

// Kind is node.renew.
func (NodeRenew) Kind() Kind { return KindRenew }

func (c *change) nodeRenew(cmd NodeRenew) (any, error) {
	n, err := c.node(cmd.Name)
	if err != nil {
		return nil, err
	}
	_, denied := c.Denied[cmd.Key]
	_, shut := c.Denied[cmd.From]
	switch {
	case !validHash(cmd.Key):
		return nil, problem.New(problem.Invalid, "Renew with an unchanged program.", "The hash of the node's key is not valid.")
	case !n.Active() || denied || shut:
		return nil, problem.New(problem.Forbidden, "Have it approved, or join it again with a new code.",
			"The node %s or its key is not approved, or is revoked.", n.Name)
	case !validHash(cmd.From), c.held(cmd.From) && !c.holds(n.Name, cmd.From):
		return nil, problem.New(problem.Forbidden, "Join it again with a new code.", "The certificate is none that the node %s was given.", n.Name)
	case n.Key == cmd.Key:
		return n, nil // the answer to the first one got lost
	case c.held(cmd.Key), c.former(n.Name) >= maxFormer:
		return nil, problem.New(problem.Conflict, "See in the node's log why it does not keep its certificates, and join it again.",
			"The node %s has renewed its certificate too often, or with a key of another node.", n.Name)
	}
	// A key that is not known here was given after the backup that this state is from.
	for _, old := range []string{n.Key, cmd.From} {
		c.Former = put(c.Former, old, Former{Node: n.Name, Until: c.at.Add(denyFor)})
	}
	n.Key, n.Changed = cmd.Key, c.at
	c.Nodes = put(c.Nodes, n.Name, n)
	c.event(Info, n.Name, "The %s %s renewed its certificate.", n.Role, n.Name)
	return n, nil
}

// held reports whether some node has or had a key.
func (c *change) held(key string) bool {
	if _, ok := c.Former[key]; ok {
		return true
	}
	for _, n := range c.Nodes {
		if n.Key == key {
			return true
		}
	}
	return false
}

// holds reports whether a node has or had a key. Another one may have joined with
// the same: which of them a walk through the nodes meets first is chance, and must
// not decide anything.
func (c *change) holds(name, key string) bool {
	return c.Nodes[name].Key == key || c.Former[key].Node == name
}

// former counts the former keys of a node.
func (c *change) former(name string) (count int) {
	for _, f := range c.Former {
		if f.Node == name {
			count++
		}
	}
	return count
}

// deny shuts out every key that a node has or had.
func (c *change) deny(n Node) {
	c.Denied = put(c.Denied, n.Key, c.at.Add(denyFor))
	for key, f := range c.Former {
		if f.Node == n.Name {
			c.Denied = put(c.Denied, key, f.Until)
		}
	}
	c.Former, _ = without(c.Former, func(_ string, f Former) bool { return f.Node == n.Name })
}
