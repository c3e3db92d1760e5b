package consensus

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// register adds the node's metrics to r; nil for none. They are read from raft
// when somebody asks.
func (n *Node) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	var all error
	for _, m := range []struct {
		name, help string
		read       func() float64
	}{
		{"primespark_raft_leader", "1 while this coordinator leads, else 0.", func() float64 {
			if n.leads() {
				return 1
			}
			return 0
		}},
		{"primespark_raft_term", "The term, which each election raises.", func() float64 { return float64(n.raft.CurrentTerm()) }},
		{"primespark_raft_commit_index", "The last log entry known to be on a majority.", func() float64 { return float64(n.raft.CommitIndex()) }},
		{"primespark_raft_last_index", "The last log entry on this coordinator's disk.", func() float64 { return float64(n.raft.LastIndex()) }},
		{"primespark_raft_applied_index", "The last command in this coordinator's state.", func() float64 {
			s, _ := n.fsm.State()
			return float64(s.Index)
		}},
		{"primespark_raft_servers", "The coordinators in the raft configuration.", func() float64 { return float64(len(n.servers())) }},
	} {
		g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.name, Help: m.help}, m.read)
		if err := r.Register(g); err != nil {
			all = errors.Join(all, fmt.Errorf("register %s: %w", m.name, err))
		}
	}
	return all
}
