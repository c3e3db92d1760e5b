package battery

import (
	"context"
	"fmt"
	"time"
)

// A Point is one moment of a simulated battery's life.
type Point struct {
	At     time.Duration // since the start
	Mains  bool          // from here on
	Charge Charge
	Load   float64 // watts
}

// A Sim is a battery that follows a script, for demos and tests without a UPS
// board. Charge and load change evenly between two points, the mains at once.
// After the last point nothing changes any more.
type Sim struct {
	script []Point
	start  time.Time
}

// NewSim returns a battery whose script begins now. It refuses a script without
// points, out of order, or with values that no battery has.
func NewSim(script []Point) (*Sim, error) {
	if len(script) == 0 {
		return nil, fmt.Errorf("simulated battery: no points; give at least one")
	}
	for i, p := range script {
		if i > 0 && p.At <= script[i-1].At {
			return nil, fmt.Errorf("simulated battery: point %d is at %v, not after the one before", i+1, p.At)
		}
		if err := (Reading{Charge: Known(p.Charge), Load: p.Load}).Check(); err != nil {
			return nil, fmt.Errorf("simulated battery: point %d: %w", i+1, err)
		}
	}
	return &Sim{script, time.Now()}, nil
}

// Read returns what the script says of now. It never fails.
func (s *Sim) Read(context.Context) (Reading, error) {
	return at(s.script, time.Since(s.start)), nil
}

// at returns the reading at a moment of a script.
func at(script []Point, t time.Duration) Reading {
	next := 0
	for next < len(script) && script[next].At <= t {
		next++
	}
	from := script[max(next-1, 0)]
	to := script[min(next, len(script)-1)]
	part := 0.0
	if to.At > from.At {
		part = float64(t-from.At) / float64(to.At-from.At)
	}
	charge := from.Charge + Charge(part)*(to.Charge-from.Charge)
	return Reading{
		Mains:  Known(from.Mains),
		Charge: Known(charge),
		Volts:  Volts(3.3 + 0.85*float64(charge)), // a cell at rest, roughly
		Load:   from.Load + part*(to.Load-from.Load),
	}
}
