package worker

import (
	"slices"
	"time"
)

// How soon a worker that failed is started again, and when it is left alone: a
// chip that does not work must not keep the host busy with trying.
var pauses = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

const (
	tripAfter  = 5               // failures
	tripWithin = 5 * time.Minute // of so long, and the circuit is broken:
	tripFor    = 5 * time.Minute // so long between two tries
	healed     = 5 * time.Minute // that a worker has to live to close it again
)

// A policy decides when the next start is. The zero value has seen no failure.
type policy struct {
	failures []time.Time // of the last tripWithin
	broken   bool        // the circuit
	spare    bool        // a failure was let pass
}

// spared lets one failure that means nothing pass, until a worker has lived long.
func (p *policy) spared() bool {
	first := !p.spare
	p.spare = true
	return first
}

// failed notes a failure, and returns how long to wait, before any jitter.
func (p *policy) failed(now time.Time) time.Duration {
	p.failures = append(slices.DeleteFunc(p.failures, func(t time.Time) bool { return now.Sub(t) > tripWithin }), now)
	if p.broken = p.broken || len(p.failures) >= tripAfter; p.broken {
		return tripFor
	}
	return pauses[len(p.failures)-1]
}

// lived notes that a worker lived for so long before it failed.
func (p *policy) lived(d time.Duration) {
	if d >= healed {
		*p = policy{}
	}
}
