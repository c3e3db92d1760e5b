package events

import (
	"fmt"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// transition is the event of a node that was old, if it was known, and is n now.
func transition(old, n fleet.Node, known bool) wire.Event {
	e := wire.Event{Code: "node." + string(n.Liveness), Severity: Warning, Node: n.Name}
	who := fmt.Sprintf("The %s %s", n.Role, n.Name)
	switch n.Liveness {
	case fleet.Alive:
		e.Severity, e.Detail = Info, who+" is there."
		if known {
			e.Detail = who + " is back."
			if d := n.Since.Sub(old.Since); !n.Since.IsZero() && !old.Since.IsZero() && d > 0 {
				e.Detail = who + " is back after " + span(d) + "."
			}
		}
	case fleet.LinkDown:
		e.Detail = "The link to " + n.Name + " is down; others still see it."
		e.Remedy = "Check the network between this coordinator and " + n.Name + "."
	case fleet.Dead:
		e.Detail = who + " does not answer any more."
		e.Remedy = "Check its power and its network; prime-spark node " + n.Name + " tells what it said last."
	case fleet.Left:
		e.Severity, e.Detail = Info, who+" said goodbye."
	default:
		e.Detail = fmt.Sprintf("%s is %s.", who, n.Liveness)
	}
	return e
}

// span is a duration as people say it: 12 s, 3 min, 5 h, 2 d.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}
