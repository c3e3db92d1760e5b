package disk

import (
	"slices"
	"time"
)

// Bounds of what is judged.
const (
	look  = 250 * time.Millisecond // how often the disk's silence is looked at
	every = time.Second            // between two probes

	hungAfter = 3 * time.Second  // without a success: somebody else should lead
	lostAfter = 10 * time.Second // without a success: a new process may do better

	leastFree = 64 << 20 // bytes; the log of a large fleet grows by less in a week
	freeShare = 0.02     // of the disk, and at most:
	mostFree  = 1 << 30  // bytes
	smallest  = 0.25     // of the disk: one that is small altogether need not be empty

	// spareFactor is by how much more than full room has to come back, so that a
	// disk at the edge does not turn the leadership around and around.
	spareFactor = 1.25

	recent   = 60  // probes that the speed is judged by
	slowRank = 0.9 // of them that took less
)

// A State is what is known of a disk. A State that is shared is never changed.
type State struct {
	Silence time.Duration // without a success, counted in looks
	Full    bool
	Slow    bool
	Free    uint64 // bytes for this process
	Floor   uint64 // bytes of room below which the disk is full
	Err     error  // of the last probe

	took []time.Duration // of the newest probes
}

// Hung reports whether the disk has not answered for so long that this node
// must not lead.
func (s State) Hung() bool { return s.Silence >= hungAfter }

// Lost reports whether it has not for so long that this process should end.
func (s State) Lost() bool { return s.Silence >= lostAfter }

// Typical is how long every other one of the newest probes takes at most; 0 before
// the first.
func (s State) Typical() time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s.took))[len(s.took)/2]
}

// A reading is what a probe found.
type reading struct {
	took       time.Duration
	free, size uint64
	err        error // of the write
	spaceErr   error // of the question for room, which is then not known
}

// waited is the state after another look without an answer. It counts looks and
// not time, since a process that stood still (SIGSTOP, no processor, a suspended
// machine) looked once and not ten times.
func (s State) waited() State {
	s.Silence += look
	return s
}

// after is the state after a probe has come back.
func (s State) after(r reading) State {
	s.Err = r.err
	switch {
	case r.err == nil:
		s.Silence = 0
		s.took = append(append([]time.Duration{}, s.took[max(0, len(s.took)-recent+1):]...), r.took)
		s.Slow = slow(s.took, s.Slow)
	case noRoom(r.err):
		s.Silence = 0 // it answers
	}
	if r.spaceErr == nil {
		s.Free, s.Floor = r.free, floor(r.size)
		s.Full = full(s.Free, s.Floor, s.Full)
	}
	s.Full = s.Full || noRoom(r.err)
	return s
}

// floor is the room, in bytes, that a disk of a size has to have.
func floor(size uint64) uint64 {
	f := min(max(leastFree, uint64(freeShare*float64(size))), mostFree)
	return min(f, uint64(smallest*float64(size)))
}

// full reports whether the room is too little, or was and is still not much more.
func full(free, floor uint64, was bool) bool {
	if was {
		return float64(free) < spareFactor*float64(floor)
	}
	return free < floor
}

// slow reports whether nine of ten probes take too long, or did and take still
// more than half of that.
func slow(took []time.Duration, was bool) bool {
	if len(took) < recent/2 {
		return was
	}
	limit := SlowSync
	if was {
		limit /= 2
	}
	over := 0
	for _, t := range took {
		if t > limit {
			over++
		}
	}
	return float64(over) > (1-slowRank)*float64(len(took))
}
