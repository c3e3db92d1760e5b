package gossip

import "primespark/shared/fleet"

// Hear lets g hear of a vital as if it had come from the network.
func Hear(g *Gossip, v fleet.Vital) {
	body, err := record{Vital: v}.encode()
	if err != nil {
		panic(err)
	}
	(&delegate{gossip: g}).NotifyMsg(body)
}
