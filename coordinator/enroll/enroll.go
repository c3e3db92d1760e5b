// Package enroll takes nodes into the cluster: it makes join codes, redeems them
// for certificates, and founds the cluster itself.
//
// Whether a node may come in is decided by the agreed state, in one command that
// takes a use off the code: two coordinators cannot redeem the same one. What
// this package adds are the secrets, which are not in that state.
package enroll

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// Group is what enrolling needs of the raft node.
type Group interface {
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
	Read(ctx context.Context) (fsm.State, error)
}

// An Enroller admits nodes on this coordinator. Its zero value with the fields
// set is ready to use, and safe to share.
type Enroller struct {
	Authority  *pki.Authority
	Group      Group
	GossipKeys func(fsm.State) (identity.Keyring, error) // what every node gets
	SessionKey []byte                                    // identity.KeySize bytes; goes to coordinators
	Log        *slog.Logger

	wrong limiter
}

// DefaultTTL is how long a join code lives unless something else is asked for.
const DefaultTTL = 15 * time.Minute

// A CodeSpec says what a new join code is for.
type CodeSpec struct {
	Role   fleet.Role    `json:"role"`
	TTL    time.Duration `json:"ttl,omitempty"`    // DefaultTTL if 0
	Uses   int           `json:"uses,omitempty"`   // 1 if 0
	Rejoin bool          `json:"rejoin,omitempty"` // may take over the name of a member
	Hold   bool          `json:"hold,omitempty"`   // nodes wait for approval
	Seed   fsm.Seed      `json:"-"`                // what the code is made of; a fresh one if zero
	Call   fsm.Call      `json:"-"`                // that asks for it
}

// newCode makes the two halves of a join code: what the joiner gets and what
// the state keeps. Expires is left to the one who proposes it.
func newCode(spec CodeSpec, ca *pki.Authority, addresses []string) (identity.JoinCode, fsm.CodeCreate) {
	seed := spec.Seed
	if seed == (fsm.Seed{}) {
		seed = fsm.NewSeed()
	}
	code := identity.JoinCode{
		ID: seed.ID(), Role: spec.Role, Cluster: ca.Cluster(),
		CA: identity.CAHash(ca.Certificate()), Addresses: addresses,
	}
	copy(code.Secret[:], seed.Bytes("secret"))
	return code, fsm.CodeCreate{
		ID: code.ID, Hash: fsm.Hash(hex.EncodeToString(code.Secret[:])), Role: spec.Role,
		Uses: spec.Uses, Rejoin: spec.Rejoin, Hold: spec.Hold,
	}
}

func (s CodeSpec) ttl() time.Duration {
	if s.TTL == 0 {
		return DefaultTTL
	}
	return s.TTL
}

// maxSeeds bounds the addresses that a code and a new node get.
const maxSeeds = 8

// NewCode makes a join code that actor asked for. The text of the code is
// returned once and kept nowhere.
func (e *Enroller) NewCode(ctx context.Context, actor string, spec CodeSpec) (text string, made fsm.Code, err error) {
	state, err := e.Group.Read(ctx)
	if err != nil {
		return "", fsm.Code{}, err
	}
	addresses := peers(state).API
	if len(addresses) == 0 {
		return "", fsm.Code{}, problem.New(problem.NotReady, "Set the API's advertised address and start the coordinator.",
			"No coordinator has announced an address that a new node could reach.")
	}
	code, cmd := newCode(spec, e.Authority, addresses)
	cmd.Expires = time.Now().Add(spec.ttl())
	result, err := e.Group.Propose(ctx, actor, fsm.Once{Command: cmd, Call: spec.Call})
	if err != nil {
		return "", fsm.Code{}, err
	}
	if err := json.Unmarshal(result, &made); err != nil {
		return "", fsm.Code{}, fmt.Errorf("decode join code: %w", err)
	}
	return code.String(), made, nil
}

// Join redeems a join code. remoteIP is where the request came from: after ten
// wrong tries within a minute it has to wait.
func (e *Enroller) Join(ctx context.Context, remoteIP string, req identity.JoinRequest) (identity.JoinResponse, error) {
	if !e.wrong.take(remoteIP, time.Now()) {
		return identity.JoinResponse{}, &problem.Error{
			Code: problem.Busy, RetryAfter: window,
			Detail: "There were too many wrong join codes from this address.", Remedy: "Wait a minute, and check the code.",
		}
	}
	state, err := e.Group.Read(ctx)
	if err != nil {
		e.wrong.give(remoteIP)
		return identity.JoinResponse{}, err
	}
	hash := fsm.Hash(req.Secret)
	if _, err := state.Redeem(req.Code, hash, time.Now()); err != nil {
		e.Log.Warn("join refused", "remote", remoteIP, "node", req.Name, "err", err)
		return identity.JoinResponse{}, err
	}
	e.wrong.give(remoteIP) // whoever has a code's secret guesses nothing
	id := identity.ID{Cluster: e.Authority.Cluster(), Role: req.Role, Name: req.Name}
	cert, key, err := e.issue(req.CSR, id, req.Addresses)
	if err != nil {
		return identity.JoinResponse{}, err
	}
	result, err := e.Group.Propose(ctx, "node:"+req.Name, fsm.NodeJoin{
		Code: req.Code, Hash: hash, Name: req.Name, Role: req.Role,
		Addresses: req.Addresses, Version: req.Version, Key: key,
	})
	if err != nil {
		e.Log.Warn("join refused", "remote", remoteIP, "node", req.Name, "err", err)
		return identity.JoinResponse{}, err
	}
	var node fsm.Node
	if err := json.Unmarshal(result, &node); err != nil {
		return identity.JoinResponse{}, fmt.Errorf("decode node: %w", err)
	}
	e.Log.Info("node joined", "node", node.Name, "role", string(node.Role), "state", string(node.State), "remote", remoteIP)
	return e.answer(state, node, cert)
}

// issue makes the certificate before the code is used up, so that a request
// that cannot be signed costs nothing. Nobody gets it before that is agreed.
func (e *Enroller) issue(csr string, id identity.ID, at identity.Addresses) (cert []byte, keyHash string, err error) {
	refuse := func(err error) error {
		if !errors.Is(err, pki.ErrRequest) {
			return err
		}
		return &problem.Error{
			Code: problem.Invalid, Err: err, Detail: "The certificate request cannot be signed: " + err.Error() + ".",
			Remedy: "Check the node's name and addresses, and join with an unchanged program.",
		}
	}
	if keyHash, err = pki.KeyHash([]byte(csr)); err != nil {
		return nil, "", refuse(err)
	}
	cert, err = e.Authority.Issue([]byte(csr), id, hosts(id.Name, at), time.Now())
	if err != nil {
		return nil, "", refuse(err)
	}
	return cert, keyHash, nil
}

// hosts are the names and addresses that go into a node's certificate.
func hosts(name string, a identity.Addresses) []string {
	all := []string{name}
	for _, hostport := range []string{a.API, a.Raft, a.Gossip} {
		if host, _, err := net.SplitHostPort(hostport); err == nil && host != "" {
			all = append(all, host)
		}
	}
	return all
}

// answer puts together what the new node gets.
func (e *Enroller) answer(state fsm.State, node fsm.Node, cert []byte) (identity.JoinResponse, error) {
	ring, err := e.GossipKeys(state)
	if err != nil {
		return identity.JoinResponse{}, err
	}
	r := identity.JoinResponse{
		Certificate: string(cert), CA: string(e.Authority.PEM()),
		GossipKey: ring.Key(ring.Primary), GossipKeys: &ring, Peers: peers(state),
	}
	if node.Role == fleet.Coordinator {
		key, err := e.Authority.Key()
		if err != nil {
			return identity.JoinResponse{}, err
		}
		r.CAKey, r.SessionKey = string(key), e.SessionKey
	}
	return r, nil
}

// peers are the addresses to begin with: the coordinators', and as gossip seeds
// a few agents' as well.
func peers(state fsm.State) (p identity.Peers) {
	nodes := append(state.Coordinators(), agents(state)...)
	for _, n := range nodes {
		if n.Addresses.API != "" && n.Role == fleet.Coordinator && len(p.API) < maxSeeds {
			p.API = append(p.API, n.Addresses.API)
		}
		if n.Addresses.Gossip != "" && len(p.Gossip) < maxSeeds {
			p.Gossip = append(p.Gossip, n.Addresses.Gossip)
		}
	}
	return p
}

func agents(state fsm.State) (all []fsm.Node) {
	for _, n := range state.NodeList() {
		if n.Role == fleet.Agent && n.Active() {
			all = append(all, n)
		}
	}
	return all
}
