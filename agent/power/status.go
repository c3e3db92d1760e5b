package power

import (
	"strings"
	"time"
)

// A Status is what is known of the node's power and done about it, for /v1/node.
type Status struct {
	Mode      Mode       `json:"mode"`
	Since     time.Time  `json:"since"`
	Why       string     `json:"why"`
	Words     string     `json:"ups_status"` // as NUT writes it: "OB DISCHRG LB"
	DryRun    bool       `json:"dry_run,omitempty"`
	Countdown *time.Time `json:"shuts_down_at,omitempty"`
	Taken     []string   `json:"actions"` // with dry_run: that would be in force
	Evidence
}

func (p *Part) show() {
	m := p.memory
	s := Status{
		Mode: m.Mode, Since: p.base.Add(m.Since).UTC(), Why: m.Why, Words: nutWords(m), DryRun: p.cfg.DryRun,
		Taken: p.effects.taken(), Evidence: p.cfg.Rules.evidence(m, nil),
	}
	if s.Taken == nil {
		s.Taken = []string{}
	}
	if at, running := m.Countdown(); running {
		when := p.base.Add(at).UTC()
		s.Countdown = &when
	}
	p.status.Store(s)
}

// nutWords is the state as NUT's ups.status has it: OL and OB tell of the mains
// alone, LB of a low battery, FSD of a shutdown that nothing stops.
func nutWords(m Memory) string {
	var w []string
	switch m.AC() {
	case ACYes:
		w = append(w, "OL")
	case ACNo:
		w = append(w, "OB")
	}
	switch {
	case m.Mode.onBattery():
		w = append(w, "DISCHRG")
	case m.AC() == ACYes && m.track.Both == rising:
		w = append(w, "CHRG")
	}
	if m.Mode == Low || m.Mode == Critical || m.Mode == Emergency {
		w = append(w, "LB")
	}
	if m.Mode == ShuttingDown {
		w = append(w, "FSD")
	}
	if len(m.Alarmed()) > 0 {
		w = append(w, "ALARM")
	}
	return strings.Join(w, " ")
}
