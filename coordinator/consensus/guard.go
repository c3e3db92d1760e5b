package consensus

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

// A guard stands between raft and its transport and keeps a node out of what it
// must not take part in: a fresh one out of elections, a silent one out of
// everything, a reluctant one out of leading.
type guard struct {
	*raft.NetworkTransport
	node *Node
	rpcs chan raft.RPC
}

func newGuard(n *Node) *guard { return &guard{n.trans, n, make(chan raft.RPC)} }

// Consumer is where raft takes the others' requests from.
func (g *guard) Consumer() <-chan raft.RPC { return g.rpcs }

// pass hands requests on to raft until stop closes.
func (g *guard) pass(stop <-chan struct{}) {
	for {
		select {
		case rpc := <-g.NetworkTransport.Consumer():
			if g.refuse(rpc) {
				continue
			}
			select {
			case g.rpcs <- rpc:
			case <-stop:
				rpc.Respond(nil, raft.ErrRaftShutdown)
				return
			}
		case <-stop:
			return
		}
	}
}

// refuse answers a request that this node must not act on.
func (g *guard) refuse(rpc raft.RPC) bool {
	stance := g.node.stance.Get()
	dumb := stance == Silent || g.node.fresh.is.Load()
	switch r := rpc.Command.(type) {
	case *raft.RequestVoteRequest:
		if dumb {
			rpc.Respond(&raft.RequestVoteResponse{RPCHeader: r.RPCHeader, Term: r.Term}, nil)
		}
	case *raft.RequestPreVoteRequest:
		g.node.weigh(r)
		if dumb {
			rpc.Respond(&raft.RequestPreVoteResponse{RPCHeader: r.RPCHeader, Term: r.Term}, nil)
		}
	case *raft.TimeoutNowRequest:
		// A witness that leads can do nothing with it, so even a reluctant node takes it
		// from there.
		called := stance == Reluctant && g.node.isWitness(string(r.ID))
		if called {
			g.node.called.Store(new(time.Now()))
		}
		if dumb = dumb || g.node.witness || stance == Reluctant && !called; dumb {
			rpc.Respond(nil, errReluctant)
		}
	default:
		return false
	}
	return dumb
}

// RequestVote asks another for its vote, if this node may stand.
func (g *guard) RequestVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := g.node.stands(); err != nil {
		return err
	}
	return g.NetworkTransport.RequestVote(id, to, args, resp)
}

// RequestPreVote asks another whether it would vote, if this node may stand.
func (g *guard) RequestPreVote(id raft.ServerID, to raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := g.node.stands(); err != nil {
		return err
	}
	return g.NetworkTransport.RequestPreVote(id, to, args, resp)
}

// AppendEntries sends entries and heartbeats, unless this node is silent: the
// others then elect another leader. There is no pipeline besides (start).
// Meanwhile this node writes what it sends to its own disk (soon), and the other's
// yes counts when that is done.
func (g *guard) AppendEntries(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if g.node.stance.Get() == Silent {
		return errSilent
	}
	if len(args.Entries) == 0 {
		return g.send(id, to, args, resp)
	}
	taken := g.node.store.Taken() // what is sent is among that
	err := g.send(id, to, args, resp)
	return errors.Join(err, g.node.store.FlushTo(taken))
}

// send sends entries or a heartbeat, and notes that the answer confirms this leader.
func (g *guard) send(id raft.ServerID, to raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := g.node.confirms.moment()
	err := g.NetworkTransport.AppendEntries(id, to, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		g.node.confirms.note(id, args.Term, sent)
	}
	return err
}

// InstallSnapshot sends a snapshot, unless this node is silent.
func (g *guard) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if g.node.stance.Get() == Silent {
		return errSilent
	}
	return g.NetworkTransport.InstallSnapshot(id, to, args, resp, data)
}
