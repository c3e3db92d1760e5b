package liveness

import (
	"time"

	"primespark/shared/fleet"
)

// Evidence is what this coordinator has about one node.
type Evidence struct {
	Gossip   fleet.Liveness // what gossip holds it for; "" if it has never heard of it
	Heard    bool           // a beat of it came at least once since this process started
	Quiet    time.Duration  // since the last beat
	Limit    time.Duration  // of Quiet, for this node
	Closed   bool           // its connection ended without a goodbye
	Ended    time.Duration  // since then
	Late     time.Duration  // what its own late timers excuse; in Limit already
	Left     bool           // its last beat was a goodbye
	Peers    bool           // another coordinator, which itself is heard, hears it
	Answered bool           // it answered the last question that gossip put to it
	Missed   int            // such questions in a row that it did not answer
	Deaf     bool           // nobody at all is heard any more: see deaf
	Young    bool           // too little time has passed since it could first have been heard
	Lost     time.Duration  // since another coordinator, which is heard, stopped hearing it; 0 if none did
}

// enough is how many questions must stay without an answer.
const enough = 3

// undecided is how much longer than its limit a node may be quiet until the
// questions have been asked and have run out.
const undecided = 500 * time.Millisecond

// gone is how long a node is asked whose connection ended: for as many questions as
// are enough, and a little. That many stay open where this process has no time to
// wait for them.
const gone = time.Second

// lost is for how long no coordinator may hear a node that one of them did hear,
// until it counts as cut off here too: a connection that ends is there again within
// half a second, and the others tell of it with their next beat.
const lost = 700 * time.Millisecond

// asking tells whether it is too soon to conclude anything from silence.
func (e Evidence) asking() bool {
	return e.Missed < enough && e.Quiet < e.Limit+undecided && !(e.Closed && e.Ended >= gone+e.Late)
}

// patience is how many limits a node may be quiet that answers gossip.
const patience = 2

// Judge tells how a node is by two witnesses: its own heartbeat, which nobody
// can forge, and gossip.
//
// A node whose beat is heard is alive, whatever gossip says. One that has
// fallen quiet is dead only if it does not answer gossip either and no other
// coordinator hears it; otherwise it is the link that is down, if that lasts.
//
// A node that was never heard is believed by gossip for a moment, since it has yet to
// connect; unless another coordinator heard it and none does any more: gossip takes
// seconds to notice that.
func Judge(e Evidence) fleet.Liveness {
	there := e.Gossip == fleet.Alive || e.Gossip == fleet.LinkDown
	switch {
	case e.Left:
		return fleet.Left
	case !e.Heard && e.Young && e.Lost < lost:
		return e.Gossip
	case !e.Heard && (e.Peers || there):
		return fleet.LinkDown
	case !e.Heard:
		return e.Gossip
	case !e.Closed && e.Quiet < e.Limit:
		return fleet.Alive
	case !e.Answered && e.asking():
		return fleet.Alive // is being asked
	case e.Answered && e.Quiet < patience*e.Limit:
		return fleet.Alive // it is there, and its connection may only be mending a loss
	case e.Peers, e.Deaf, e.Answered:
		return fleet.LinkDown
	}
	return fleet.Dead
}
