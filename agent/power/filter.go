package power

import (
	"math"
	"time"
)

// A Health is how far a source can be believed.
type Health string

// The healths: one failure degrades a source, five in a row or 15 s without a
// good reading fail it, three good readings heal it.
const (
	Untried  Health = ""
	Healthy  Health = "ok"
	Degraded Health = "degraded"
	Failed   Health = "failed"
)

const (
	failAfter = 5
	failStale = 15 * time.Second
	healAfter = 3
)

// A vigil watches the health of a source.
type vigil struct {
	Health Health        `json:"health"`
	Fails  int           `json:"fails,omitempty"`
	Goods  int           `json:"goods,omitempty"`
	Seen   time.Duration `json:"-"` // the last good reading
	Ever   bool          `json:"ever,omitempty"`
}

// note counts a reading that was tried.
func (v vigil) note(good bool, now time.Duration) vigil {
	switch {
	case good:
		v.Fails, v.Goods, v.Seen, v.Ever = 0, min(v.Goods+1, healAfter), now, true
		if v.Health == Untried || v.Goods >= healAfter {
			v.Health = Healthy
		}
	default:
		v.Goods, v.Fails = 0, min(v.Fails+1, failAfter)
		if v.Fails >= failAfter {
			v.Health = Failed
		} else if v.Health == Healthy || v.Health == Untried {
			v.Health = Degraded
		}
	}
	return v
}

// age fails a source that has said nothing good for too long.
func (v vigil) age(now time.Duration) vigil {
	if v.Health != Failed && now-v.Seen > failStale {
		v.Health, v.Goods = Failed, 0
	}
	return v
}

// believed reports whether the source's last good reading still counts.
func (v vigil) believed() bool { return v.Ever && (v.Health == Healthy || v.Health == Degraded) }

// Bounds of what a lithium cell and its gauge can say.
const (
	leastVolts  = 2.5
	mostVolts   = 4.35
	mostCharge  = 1.10
	joltVolts   = 0.300 // a second
	joltCharge  = 0.05  // a reading
	joltConfirm = 5     // readings that agree make a jump true
	doubtMost   = 30    // readings in a row that leap about
)

// plausible reports whether any battery gives such a reading. A charge that none
// has is left to the filter: the voltage counts without it. Some gauges know no
// voltage.
func (g Gauge) plausible() bool {
	ok := g.Err == "" && (g.Volts >= leastVolts && g.Volts <= mostVolts || g.Volts == 0 && g.Charge != nil)
	for _, x := range []*float64{g.Amps, g.Rate, g.Minutes} {
		ok = ok && (x == nil || !math.IsNaN(*x) && !math.IsInf(*x, 0))
	}
	return ok && g.Watts >= 0 && g.Watts < 1000
}

// A gate lets a value through that can follow the last one; a jump is held back
// until five readings agree on it.
type gate struct {
	Good  float64 `json:"good"`
	Held  float64 `json:"held,omitempty"`
	Agree int     `json:"agree,omitempty"`
	Set   bool    `json:"set"`
}

// add takes a value that may differ from the last by most, or from one that is
// held by slack. jumped tells that it is let through and far from the last.
func (g gate) add(x, most, slack float64) (_ gate, through, jumped bool) {
	if !g.Set || math.Abs(x-g.Good) <= most {
		return gate{Good: x, Set: true}, true, false
	}
	if g.Agree > 0 && math.Abs(x-g.Held) <= slack {
		g.Agree++
	} else {
		g.Agree = 1
	}
	g.Held = x
	if g.Agree < joltConfirm {
		return g, false, false
	}
	return gate{Good: x, Set: true}, true, true
}

// A filter lets through what can be believed of a gauge.
type filter struct {
	vigil
	Good   Gauge         `json:"good"` // the last that was let through
	At     time.Duration `json:"-"`    // when
	Volts  gate          `json:"volts"`
	Charge gate          `json:"charge"`
	Doubt  int           `json:"doubt,omitempty"` // readings in a row whose charge was held back
	Last3  [3]float64    `json:"last3"`           // volts
	N      int           `json:"n"`               // volts that were let through, up to 5
	Asks   int           `json:"asks,omitempty"`  // of the board for a shutdown, in a row
}

// add takes a reading that was tried. fresh tells whether it was let through,
// jumped that the charge is another one now: slopes begin anew.
func (f filter) add(g Gauge, now time.Duration) (_ filter, fresh, jumped bool) {
	if !g.plausible() {
		f.vigil, f.Asks = f.note(false, now), 0
		return f, false, false
	}
	f.vigil = f.note(true, now)
	f.Asks = min(f.Asks+1, 2)
	if !g.Request {
		f.Asks = 0
	}
	var through bool
	if g.Volts > 0 {
		if f.Volts, through, _ = f.Volts.add(g.Volts, joltVolts*max(1, (now-f.At).Seconds()), joltVolts); !through {
			return f, false, false
		}
	}
	if g.Charge != nil {
		through = false
		if c := *g.Charge; c >= 0 && c <= mostCharge { // false for what is no number
			f.Charge, through, jumped = f.Charge.add(min(c, 1), joltCharge, joltCharge)
		}
		f.Doubt = min(f.Doubt+1, doubtMost+1)
		if through {
			f.Doubt = 0
		}
		charge := f.Charge.Good
		g.Charge = &charge
		if f.Doubt > doubtMost || !f.Charge.Set {
			g.Charge = nil // it leaps about, or is nonsense: nobody knows
		}
	}
	f.Good, f.At = g, now
	f.Last3[0], f.Last3[1], f.Last3[2] = f.Last3[1], f.Last3[2], g.Volts
	f.N = min(f.N+1, emergencyN)
	return f, true, jumped
}

// volts is the median of the last three readings, or the last one of fewer.
func (f filter) volts() float64 {
	if f.N < 3 {
		return f.Good.Volts
	}
	a, b, c := f.Last3[0], f.Last3[1], f.Last3[2]
	return max(min(a, b), min(max(a, b), c))
}
