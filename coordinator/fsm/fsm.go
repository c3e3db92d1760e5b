// Package fsm is the state that every coordinator agrees on, and the commands
// that change it.
//
// Apply is a pure function of the log: it reads no clock, no random number, no
// file and no network. What a command needs of these, its proposer puts in it.
// A command that is refused is a normal answer, a *problem.Error that the
// proposer gets, and leaves the state as it was. An entry that cannot be
// understood ends the process: to skip it would be to disagree with the others
// for good.
//
// No secret is in the state or the log: of join codes and tokens there are
// hashes, and keys are in files of each coordinator.
package fsm

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"primespark/shared/watch"
)

// FSM replays the log into a State and shows the newest one to watchers.
type FSM struct {
	state *watch.Value[State]
	ring  []Event // what the newest State's Events is a window of; only Apply and Restore touch it
	light bool    // see NewLight
}

var _ raft.FSM = (*FSM)(nil)

// New returns an FSM with the empty state.
func New() *FSM { return &FSM{state: watch.New(State{})} }

// State returns the newest state, and a channel that closes at the next one.
func (f *FSM) State() (State, <-chan struct{}) { return f.state.Load() }

// Watch is the newest state as a value to wait on.
func (f *FSM) Watch() *watch.Value[State] { return f.state }

// A Result is what Apply answers to whoever proposed the command.
type Result struct {
	Value any   // of a type that JSON can carry
	Err   error // a *problem.Error: the command was refused and changed nothing
}

// Apply carries out one entry of the log and returns a Result. It panics on an
// entry that this program does not understand: nobody but a newer coordinator
// writes such a thing, and this one has to be updated before it can go on.
func (f *FSM) Apply(l *raft.Log) any {
	old := f.state.Get()
	if l.Index <= old.Index {
		// The state is from a snapshot that a witness has: its number in raft is not
		// above that of the state in it, which may have been made later.
		return Result{}
	}
	if f.light {
		return f.applyLight(old, l)
	}
	e, err := openEntry(l.Data)
	if err != nil {
		panic(fmt.Sprintf("raft log %d is not a command: %v", l.Index, err))
	}
	next, events, r := old.apply(l.Index, e)
	next.Events = f.remember(events, old.Events)
	f.state.Store(next)
	return r
}

// MaxEvents is how many events the state keeps; the oldest go first.
const MaxEvents = 1000

// remember returns the events of the state after the present one. Older states
// share the memory: they see less of it, and what they see stays as it is.
func (f *FSM) remember(events, old []Event) []Event {
	if len(events) == 0 {
		return old
	}
	f.ring = append(f.ring, events...)
	if extra := len(f.ring) - MaxEvents; extra > 0 {
		f.ring = f.ring[extra:]
	}
	return slices.Clip(f.ring)
}
