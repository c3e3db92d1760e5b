package choice

import (
	"net/netip"
	"slices"
	"time"
)

// What direct paths are tried and given up by.
const (
	tryFor    = 5 * time.Second  // one address, before the next
	proveFor  = 10 * time.Second // that a tunnel has to carry a probe in after its handshake, or it is given up
	proofs    = 2                // probes answered in a row, and the path is used
	firstRest = 30 * time.Second // after no address has worked; doubles
	longRest  = 5 * time.Minute
	freshness = 3 * time.Minute // of a handshake (WireGuard's REJECT_AFTER_TIME)
	Keepalive = 5 * time.Second // of a path that is tried or used: opens the NAT from this side, and keeps it open
)

// A Stage is how far a direct path is.
type Stage int

// The stages. In Proving the tunnel accepts packets of the other side, and probes
// go by it; all else still goes through a hub. So the two sides may come to Used at
// different times, and none of their packets is lost.
const (
	Resting Stage = iota
	Trying
	Proving
	Used
)

// A Direct is the path to one member without a hub. Like a Chooser it is told what
// is, and asked.
type Direct struct {
	stage      Stage
	since      time.Time
	candidates []netip.AddrPort
	next       int // of the candidates, the one being tried
	rest       time.Duration
	moved      time.Time // when the member was said to be elsewhere; a handshake before that tells nothing of there
	path       Path
	proven     int
}

// Candidates tells where the member may be. Other ones than before are tried at once.
func (d *Direct) Candidates(all []netip.AddrPort, now time.Time) {
	if slices.Equal(all, d.candidates) {
		return
	}
	if len(d.candidates) > 0 && d.stage != Used {
		d.moved = now
	}
	d.candidates = slices.Clone(all)
	if d.stage == Resting || d.stage == Trying {
		d.next, d.rest = 0, 0
		d.enter(Resting, now)
		d.since = time.Time{}
	}
}

func (d *Direct) enter(s Stage, now time.Time) {
	d.stage, d.since, d.proven = s, now, 0
	d.path.misses = 0
}

// Step goes on to the next stage if it is time to. handshake is the last one with
// the member on this path; zero if there was none.
func (d *Direct) Step(handshake, now time.Time) Stage {
	fresh := handshake.After(d.moved) && now.Sub(handshake) < freshness
	switch d.stage {
	case Resting:
		switch {
		case fresh && (handshake.After(d.since) || now.Sub(d.since) >= d.rest): // it came to us, or it was so before this program was replaced
			d.enter(Proving, now)
		case len(d.candidates) > 0 && (d.since.IsZero() || now.Sub(d.since) >= d.rest):
			d.next = 0
			d.enter(Trying, now)
		}
	case Trying:
		switch {
		case fresh && !handshake.Before(d.since):
			d.enter(Proving, now)
		case now.Sub(d.since) < tryFor:
		case d.next+1 < len(d.candidates):
			d.next++
			d.enter(Trying, now)
		default:
			d.tire(now)
		}
	case Proving:
		switch {
		case d.proven >= proofs:
			d.rest = 0
			d.enter(Used, now)
		case now.Sub(d.since) >= proveFor:
			d.tire(now)
		}
	case Used:
		if d.path.misses >= DefaultTiming.Misses {
			d.enter(Proving, now) // back to the hub at once; the tunnel may recover
		}
	}
	return d.stage
}

func (d *Direct) tire(now time.Time) {
	d.rest = min(max(firstRest, 2*d.rest), longRest)
	d.enter(Resting, now)
}

// Answer notes how a probe on this path ended.
func (d *Direct) Answer(sent time.Time, rtt time.Duration, ok bool) {
	d.path.answer(sent, rtt, ok, DefaultTiming.Misses)
	if ok && !sent.Before(d.since) {
		d.proven++
	} else if !ok {
		d.proven = 0
	}
}

// Wait is how long an answer on this path is waited for.
func (d *Direct) Wait() time.Duration { return max(DefaultTiming.Timeout, 4*d.path.RTT()) }

// Endpoint is the address being tried; invalid in all other stages.
func (d *Direct) Endpoint() netip.AddrPort {
	if d.stage == Trying && d.next < len(d.candidates) {
		return d.candidates[d.next]
	}
	return netip.AddrPort{}
}

// Path is what the probes found.
func (d *Direct) Path() *Path { return &d.path }

// Stage is the stage now.
func (d *Direct) Stage() Stage { return d.stage }

// Withdraw takes packets off the path, which begins anew a little later.
func (d *Direct) Withdraw(now time.Time) {
	d.rest = tryFor
	d.enter(Resting, now)
}
