package route

import (
	"fmt"

	"primespark/shared/fleet"
)

// What a request costs an agent more whose power is short, as a factor of its
// score. On battery it is asked when the others are several times as busy, the
// sooner it is empty the less.
const (
	recoveringFactor = 1.5 // its battery has to bridge the next outage
	batteryFactor    = 3.0
	emptyFactor      = 2.0  // more, with an empty battery
	shortMinutes     = 60.0 // of battery, below which each counts
)

// assumedCharge is that of a battery whose gauge does not tell.
const assumedCharge = 0.5

// A supply is an agent's power as its score sees it.
type supply struct {
	fleet.Power
	factor float64
}

func supplyOf(p fleet.Power) supply {
	s := supply{p, 1}
	switch {
	case p.OnBattery():
		charge := assumedCharge
		if p.Charge != nil {
			charge = min(max(*p.Charge, 0), 1)
		}
		s.factor = batteryFactor * (1 + emptyFactor*(1-charge))
		if m := p.Minutes; m != nil && *m < shortMinutes {
			s.factor *= 1 + (shortMinutes-max(*m, 0))/shortMinutes
		}
	case p.State == fleet.PowerRecovering:
		s.factor = recoveringFactor
	}
	return s
}

// words say what the supply does to the score; empty if nothing.
func (s supply) words() string {
	text := ""
	switch {
	case s.OnBattery():
		text = "on battery"
	case s.State == fleet.PowerRecovering:
		text = "its battery recovers"
	default:
		return ""
	}
	if s.Charge != nil {
		text += fmt.Sprintf(" at %.0f %%", 100**s.Charge)
	}
	if s.OnBattery() && s.Minutes != nil {
		text += fmt.Sprintf(", %.0f min left", *s.Minutes)
	}
	return text + fmt.Sprintf(", which counts %.1f times", s.factor)
}

// terms are those of the score that the supply makes.
func (s supply) terms(into map[string]float64) {
	into["power"] = s.factor
	if s.Charge != nil {
		into["state_of_charge"] = *s.Charge
	}
	if s.Minutes != nil {
		into["minutes_left"] = *s.Minutes
	}
}
