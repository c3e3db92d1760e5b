package consensus

import (
	"time"

	"github.com/hashicorp/raft"
)

// Status is how the group looks from one coordinator.
type Status struct {
	Name        string        `json:"name"`
	Role        string        `json:"role"`   // "leader", "follower", "candidate", "stopped"
	Leader      string        `json:"leader"` // "" for none
	Term        uint64        `json:"term"`
	Applied     uint64        `json:"applied"`      // index of the last command in the state
	Commit      uint64        `json:"commit"`       // known to be on a majority
	Last        uint64        `json:"last"`         // in the log
	LastContact time.Duration `json:"last_contact"` // ns since the leader was heard; 0 on itself, -1 for never
	Fresh       bool          `json:"fresh"`        // it began with an empty log and does not vote yet
	Witness     bool          `json:"witness,omitempty"`
	Stance      Stance        `json:"stance"`
	Servers     []Server      `json:"servers"` // the raft configuration
}

// A Server is one line of the raft configuration.
type Server struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"` // false: it follows and does not count
}

var roles = map[raft.RaftState]string{
	raft.Leader: "leader", raft.Follower: "follower", raft.Candidate: "candidate", raft.Shutdown: "stopped",
}

// Status looks at this coordinator alone; it never waits, and costs next to nothing.
func (n *Node) Status() Status {
	state, _ := n.fsm.State()
	s := Status{
		Name:    n.name,
		Role:    roles[n.raft.State()],
		Leader:  n.leaderNow(),
		Term:    n.raft.CurrentTerm(),
		Applied: state.Index,
		Commit:  n.raft.CommitIndex(),
		Last:    n.raft.LastIndex(),
		Fresh:   n.fresh.is.Load(),
		Witness: n.witness,
		Stance:  n.stance.Get(),
	}
	if s.Role == roles[raft.Leader] && !n.leads() {
		s.Role = roles[raft.Follower] // silent, so it leads nobody
	}
	if s.Leader != n.name {
		s.LastContact = -1
		if at := n.raft.LastContact(); !at.IsZero() {
			s.LastContact = time.Since(at)
		}
	}
	for _, server := range n.servers() {
		s.Servers = append(s.Servers, Server{
			Name: string(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter,
		})
	}
	return s
}
