package task

import "slices"

// A State is where a task is in its life.
type State string

// The states.
const (
	Scheduled State = "scheduled" // waits for its time (NotBefore)
	Ready     State = "ready"     // waits for a node
	Leased    State = "leased"    // a node works on it
	Retryable State = "retryable" // failed, and waits for its next try
	Done      State = "done"
	Dead      State = "dead" // given up: too many attempts, or too late; an operator may requeue it
	Cancelled State = "cancelled"
)

// States are all of them, in the order in which a task's life meets them.
var States = [...]State{Scheduled, Ready, Leased, Retryable, Done, Dead, Cancelled}

// Valid reports whether s is one of the states.
func (s State) Valid() bool { return slices.Contains(States[:], s) }

// Final reports whether nothing more happens to a task by itself.
func (s State) Final() bool { return s == Done || s == Dead || s == Cancelled }

var next = map[State][]State{
	"":        {Scheduled, Ready},
	Scheduled: {Ready, Dead, Cancelled},
	Ready:     {Leased, Dead, Cancelled},
	Leased:    {Ready, Retryable, Done, Dead, Cancelled},
	Retryable: {Ready, Dead, Cancelled},
	Dead:      {Ready},
	Cancelled: {Ready},
}

// MayBecome reports whether one step leads from s to another state; "" is where
// a task comes from.
func (s State) MayBecome(to State) bool { return slices.Contains(next[s], to) }
