package consensus

import (
	"sync"

	"github.com/hashicorp/raft"
)

// Confirmations are the newest answers by which the others confirmed that this node
// leads, each with when its request was sent, by a clock that only counts.
//
// raft's VerifyLeader takes any answer for one to it, also that to a heartbeat which
// was on its way when it was called. Where this process was stopped for a while (an
// overloaded host, a virtual machine that is moved), that answer may be older than
// another leader, who has acknowledged something since: a read would miss it. So a
// read counts only answers to what was sent after it began (Ongaro's thesis, 6.4).
type confirmations struct {
	mu   sync.Mutex
	now  uint64
	last map[raft.ServerID]confirmation
}

type confirmation struct{ term, sent uint64 }

// moment returns a time that is later than all before.
func (c *confirmations) moment() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	return c.now
}

// note takes an answer to what was sent at a moment of a term.
func (c *confirmations) note(by raft.ServerID, term, sent uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[raft.ServerID]confirmation{}
	}
	if old := c.last[by]; term > old.term || term == old.term && sent > old.sent {
		c.last[by] = confirmation{term, sent}
	}
}

// since reports whether a majority of the voters, of whom self is one or not, has
// confirmed a term by answers to what was sent after a moment.
func (c *confirmations) since(moment, term uint64, self raft.ServerID, group raft.Configuration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	voters, yes := 0, 0
	for _, s := range group.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if last := c.last[s.ID]; s.ID == self || last.term == term && last.sent > moment {
			yes++
		}
	}
	return yes > voters/2
}
