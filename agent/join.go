package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"primespark/agent/config"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/statedir"
	"primespark/shared/version"
)

// joinTime bounds a join that nobody answers.
const joinTime = 2 * time.Minute

// identityDir holds what joining gave: keys, certificate, peers.
func identityDir(cfg config.Config) string { return filepath.Join(cfg.StateDir, "identity") }

// Join makes this node an agent of the code's cluster and keeps its credentials
// in the state directory. A node that is a member of another cluster is refused:
// it would lose that one without having been asked to.
func Join(ctx context.Context, cfg config.Config, code identity.JoinCode) (_ identity.ID, err error) {
	defer func() { err = errors.Join(err, statedir.Give(cfg.StateDir)) }()
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	dir := identityDir(cfg)
	old, err := identity.Load(dir)
	switch {
	case err == nil && old.ID().Cluster != code.Cluster:
		return identity.ID{}, problem.New(problem.Conflict, "To leave it for good, stop the agent, remove "+dir+" and join again.",
			"This node belongs to cluster %s, and the join code is for cluster %s.", old.ID().Cluster, code.Cluster)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return identity.ID{}, problem.New(problem.Conflict, "Move that directory away and join again.",
			"The node's identity in %s cannot be read: %v.", dir, err)
	}
	got, err := identity.Join(ctx, &net.Dialer{}, code, identity.JoinRequest{
		Name: cfg.Name, Role: fleet.Agent, Version: version.Number,
		Addresses: identity.Addresses{API: cfg.HTTP.Advertise, Gossip: cfg.Gossip.Advertise},
	})
	if err != nil {
		return identity.ID{}, err
	}
	if err := got.Save(dir); err != nil {
		return identity.ID{}, fmt.Errorf("keep the node's identity: %w", err)
	}
	return identity.ID{Cluster: code.Cluster, Role: fleet.Agent, Name: cfg.Name}, nil
}
