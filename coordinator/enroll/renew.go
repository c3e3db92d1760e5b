package enroll

import (
	"context"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// Renew gives a member a certificate for another key. Who asks is known by the
// certificate that it has: id, of the key with the hash from. The agreed state
// decides whether that may be renewed; asking again with the same key gives
// another certificate for it.
func (e *Enroller) Renew(ctx context.Context, id identity.ID, from string, req identity.RenewRequest) (identity.RenewResponse, error) {
	state, err := e.Group.Read(ctx)
	if err != nil {
		return identity.RenewResponse{}, err
	}
	node, known := state.Nodes[id.Name]
	if !known || node.Role != id.Role || id.Cluster != e.Authority.Cluster() {
		return identity.RenewResponse{}, problem.New(problem.Forbidden, "Join it with a new code.", "There is no %s %.64q in this cluster.", id.Role, id.Name)
	}
	cert, key, err := e.issue(req.CSR, id, node.Addresses)
	if err != nil {
		return identity.RenewResponse{}, err
	}
	actor := string(id.Role) + ":" + id.Name
	if _, err := e.Group.Propose(ctx, actor, fsm.NodeRenew{Name: id.Name, From: from, Key: key}); err != nil {
		e.Log.Warn("renewal refused", "node", id.Name, "err", err)
		return identity.RenewResponse{}, err
	}
	e.Log.Info("certificate renewed", "node", id.Name, "role", string(id.Role))
	return identity.RenewResponse{Certificate: string(cert)}, nil
}

// RenewOwn renews this coordinator's own certificate, by the same rules.
func (e *Enroller) RenewOwn(id *identity.Identity) func(context.Context, identity.RenewRequest) (identity.RenewResponse, error) {
	return func(ctx context.Context, req identity.RenewRequest) (identity.RenewResponse, error) {
		return e.Renew(ctx, id.ID(), id.KeyHash(), req)
	}
}
