package fsm

import (
	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// ClusterInit founds the cluster with its first coordinator, the first token
// and the first join codes, all in one entry so that it cannot half happen.
// Doing it again with the same name changes nothing.
type ClusterInit struct {
	Name  string       `json:"name"`
	Node  Node         `json:"node"` // name, addresses, version and key
	Token TokenCreate  `json:"token"`
	Codes []CodeCreate `json:"codes,omitempty"`
}

// Kind is cluster.init.
func (ClusterInit) Kind() Kind { return KindInit }

func (c *change) clusterInit(cmd ClusterInit) (any, error) {
	if c.Cluster.Name != "" {
		if c.Cluster.Name == cmd.Name {
			return c.Cluster, nil
		}
		return nil, problem.New(problem.Conflict, "Use an empty data directory for a new cluster.",
			"The cluster is %s already.", c.Cluster.Name)
	}
	if !fleet.ValidName(cmd.Name) || !fleet.ValidName(cmd.Node.Name) {
		return nil, problem.New(problem.Invalid, "Use 1 to 32 of a-z, 0-9 and hyphen.",
			"The name of the cluster (%.64q) or of the node (%.64q) is not valid.", cmd.Name, cmd.Node.Name)
	}
	if err := checkNode(cmd.Node.Addresses, cmd.Node.Version, cmd.Node.Key); err != nil {
		return nil, err
	}
	c.Cluster = Cluster{Name: cmd.Name, Created: c.at}
	c.event(Info, cmd.Name, "Cluster %s was founded on %s.", cmd.Name, cmd.Node.Name)
	c.Nodes = put(c.Nodes, cmd.Node.Name, Node{
		Name: cmd.Node.Name, Role: fleet.Coordinator, State: Approved,
		Addresses: cmd.Node.Addresses, Version: cmd.Node.Version, Key: cmd.Node.Key,
		Joined: c.at, Changed: c.at,
	})
	if _, err := c.tokenCreate(cmd.Token); err != nil {
		return nil, err
	}
	for _, code := range cmd.Codes {
		if _, err := c.codeCreate(code); err != nil {
			return nil, err
		}
	}
	return c.Cluster, nil
}
