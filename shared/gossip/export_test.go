package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"

	"primespark/shared/fleet"
)

// Hear lets g hear of a vital as if it had come from the network.
func Hear(g *Gossip, v fleet.Vital) {
	body, err := record{Vital: v}.encode()
	if err != nil {
		panic(err)
	}
	(&delegate{gossip: g}).NotifyMsg(body)
}

// Fill makes a roster that holds as many nodes as it may: y-0, y-1, ...
func Fill(g *Gossip) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := 0; len(g.roster.nodes) < rosterSize; i++ {
		name := fmt.Sprintf("y-%d", i)
		g.roster.nodes[name] = &node{Node: fleet.Node{Member: fleet.Member{Name: name}}}
	}
}

// Greet has memberlist ask whether an agent of that name may come in.
func Greet(g *Gossip, name string) error {
	meta := fmt.Appendf(nil, `{"n":%q,"r":"agent"}`, name)
	return (&delegate{gossip: g}).NotifyAlive(&memberlist.Node{Name: name, Meta: meta})
}
