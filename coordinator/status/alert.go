package status

import (
	"strings"
	"time"

	"primespark/shared/wire"
)

// shownAlerts is how many alerts the page has room for.
const shownAlerts = 20

// A Trouble is an open alert on the page.
type Trouble struct {
	wire.Alert
	now time.Time
}

// Troubles are the open alerts that the page shows, the worst first.
func (v View) Troubles() (all []Trouble) {
	for _, a := range v.Alerts[:min(len(v.Alerts), shownAlerts)] {
		all = append(all, Trouble{a, v.At})
	}
	return all
}

// Untold is how many open alerts the page has no room for.
func (v View) Untold() int { return max(0, len(v.Alerts)-shownAlerts) }

// Tone is a class of the stylesheet.
func (t Trouble) Tone() string {
	if t.Severity == "critical" {
		return "bad"
	}
	return "warn"
}

// For is how long the alert has held.
func (t Trouble) For() string { return span(t.now.Sub(t.Since)) }

// Iso is when it began, for machines.
func (t Trouble) Iso() string { return iso(t.Since) }

// Heard says who was told, and how long ago.
func (t Trouble) Heard() string {
	var all []string
	for _, one := range t.Told {
		all = append(all, one.Channel+" "+span(t.now.Sub(one.At))+" ago")
	}
	if len(all) == 0 {
		return "nobody yet"
	}
	return strings.Join(all, ", ")
}
