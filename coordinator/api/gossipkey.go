package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"primespark/coordinator/fsm"
	"primespark/shared/wire"
)

// gossipRoutes are the rows of the table about the gossip key.
func gossipRoutes() []Route {
	return []Route{
		{"GET", wire.PathGossipKey, View, "", "How the key of the gossip stands, and who has yet to follow a change. The key is not in it.", []Param{stale}, nil, wire.GossipKeyBody{}, (*API).gossipKey},
		{"POST", wire.PathGossipRotate, Administer, "gossip.rotate", "Change the key of the gossip: everybody learns the new one, encrypts with it, and forgets the old one. It is done without this call when a node was revoked.", nil, nil, wire.GossipKeyBody{}, (*API).rotateGossipKey},
	}
}

func (a *API) gossipKey(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	return answer(w, a.gossipBody(s))
}

func (a *API) rotateGossipKey(w http.ResponseWriter, r *call) error {
	if err := empty(r); err != nil {
		return err
	}
	var salt [32]byte
	rand.Read(salt[:]) // never fails, by its documentation
	var g fsm.Gossip
	if err := a.propose(r, fsm.GossipRotate{Salt: hex.EncodeToString(salt[:]), Why: "asked for by " + r.who.Actor}, &g); err != nil {
		return err
	}
	s, _ := a.cfg.Group.State()
	s.Gossip = g
	return answer(w, a.gossipBody(s))
}

func (a *API) gossipBody(s fsm.State) wire.GossipKeyBody {
	g := s.Gossip
	b := wire.GossipKeyBody{Generation: g.Primary, Target: g.Target, Step: wire.GossipSettled, Changed: g.Begun, Reason: g.Why}
	switch {
	case g.Settled():
		return b
	case g.Primary != g.Target:
		b.Step = wire.GossipInstall
	default:
		b.Step = wire.GossipSwitch
	}
	if a.cfg.KeysMissing != nil {
		b.Missing = a.cfg.KeysMissing(s)
	}
	return b
}
