package status

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// Limits at which a figure is marked. A Raspberry Pi 5 slows itself down from
// 80 °C on ("soft" limit) and hard at 85 °C (its documentation, frequency management).
const (
	warmCelsius = 70
	hotCelsius  = 80
	lowCharge   = 0.2 // of 1
	fullUse     = 0.9 // of 1: processor and memory
)

// fresh is how old a word of an agent may be and still be of now: beats come at least
// every two seconds.
const fresh = 5 * time.Second

// A Row is one agent on the page.
type Row struct {
	wire.NodeBody
	Beats   Beats
	Trend   Trend
	Link    Link // to the mesh
	Meshed  bool // there is a mesh
	Operate bool // the reader may operate
	now     time.Time
}

// shown reports whether the node has a row: agents that have not been revoked do.
func (r Row) shown() bool { return r.Role == fleet.Agent && r.State != "revoked" }

// Tone is ok, warn, bad or off.
func (r Row) Tone() string {
	switch {
	case r.Liveness == fleet.Dead:
		return "bad"
	case r.Liveness == fleet.Left || r.Liveness == "":
		return "off"
	case r.State != "approved" || r.Liveness != fleet.Alive || !r.Ready:
		return "warn"
	}
	return "ok"
}

// Word says how the agent is in a word or a few.
func (r Row) Word() string {
	switch {
	case r.State == "pending":
		return "waits for approval"
	case r.Liveness == "":
		return "not seen yet"
	case r.Liveness == fleet.LinkDown:
		return "link down"
	case r.Liveness != fleet.Alive:
		return string(r.Liveness)
	case r.State == "draining":
		return "draining"
	case !r.Ready && len(r.Reasons) > 0:
		return "not ready: " + strings.ReplaceAll(strings.Join(r.Reasons, ", "), "_", " ")
	case !r.Ready:
		return "not ready"
	}
	return "healthy"
}

// For says for how long the agent has been silent; empty while it speaks.
func (r Row) For() string {
	if r.Liveness == fleet.Alive || r.Since.IsZero() {
		return ""
	}
	return span(r.now.Sub(r.Since))
}

// Old reports whether the figures of the row are of the past.
func (r Row) Old() bool { return r.Liveness != fleet.Alive }

// Seen is the age of what the agent last said.
func (r Row) Seen() string {
	switch age := r.now.Sub(r.LastSeen); {
	case r.LastSeen.IsZero():
		return "–"
	case age < fresh:
		return "now"
	default:
		return span(age) + " ago"
	}
}

// Supply says where the agent's current comes from.
func (r Row) Supply() string {
	switch r.Power.Source {
	case fleet.Mains:
		return "mains" + r.charge()
	case fleet.Battery:
		text := "battery" + r.charge()
		if m := r.Power.Minutes; m != nil && finite(*m) {
			text += ", " + span(time.Duration(*m*float64(time.Minute)))
		}
		return text
	}
	return "–"
}

func (r Row) charge() string {
	if c := r.Power.Charge; c != nil && finite(*c) {
		return " " + percent(*c)
	}
	return ""
}

// SupplyTone marks a node that runs on battery, and one that will not for long.
func (r Row) SupplyTone() string {
	switch {
	case r.Power.Source != fleet.Battery:
		return ""
	case r.Power.Charge != nil && *r.Power.Charge < lowCharge:
		return "bad"
	}
	return "warn"
}

// Heat is the temperature as people read it.
func (r Row) Heat() string {
	if r.Temperature == nil || !finite(*r.Temperature) {
		return "–"
	}
	return fmt.Sprintf("%.0f °C", *r.Temperature) + r.held()
}

// held says that the firmware holds the processor back. Under-voltage comes first,
// since it is a supply that is too weak, and damages cards.
func (r Row) held() string {
	switch {
	case len(r.Throttled) == 0:
		return ""
	case slices.Contains(r.Throttled, "under_voltage"):
		return ", under-voltage"
	}
	return ", " + strings.ReplaceAll(r.Throttled[0], "_", " ")
}

// HeatTone marks a temperature that slows the node down, or soon will.
func (r Row) HeatTone() string {
	switch {
	case len(r.Throttled) > 0:
		return "bad"
	case r.Temperature == nil || *r.Temperature < warmCelsius:
		return ""
	case *r.Temperature < hotCelsius:
		return "warn"
	}
	return "bad"
}

// Chip says how the agent's accelerator is; empty without one.
func (r Row) Chip() string {
	a := r.Accelerator
	if a == nil {
		return ""
	}
	text := a.Kind + " " + a.State
	if a.Temperature != nil && finite(*a.Temperature) {
		text += fmt.Sprintf(", %.0f °C", *a.Temperature)
	}
	if a.FPS > 0 && finite(a.FPS) {
		text += fmt.Sprintf(", %.4g frames/s", a.FPS)
	}
	if a.Detail != "" {
		text = a.Detail
	}
	if a.Simulated {
		text = "simulated: " + text
	}
	return text
}

// ChipTone marks an accelerator that does not work.
func (r Row) ChipTone() string {
	switch a := r.Accelerator; {
	case a.State == "ready" && !a.Simulated, a.State == "starting":
		return ""
	case a.State == "ready":
		return "sim"
	}
	return "warn"
}

// A Gauge is a share of something as a bar with its number.
type Gauge struct {
	Value string // 0 to 1, for <meter>
	Text  string
	Tone  string
}

// Processor and Space are the use of processor and memory.
func (r Row) Processor() Gauge { return gauge(r.CPU) }

// Space is the use of memory.
func (r Row) Space() Gauge { return gauge(r.Memory) }

func gauge(v float64) Gauge {
	if !finite(v) {
		v = 0
	}
	v = min(max(v, 0), 1)
	g := Gauge{Value: fmt.Sprintf("%.2f", v), Text: percent(v)}
	if v > fullUse {
		g.Tone = "warn"
	}
	return g
}

// Load is what the agent is doing.
func (r Row) Load() string { return fmt.Sprintf("%d / %d", r.InFlight, r.Queue) }

// Latency is the mean time of one inference of a model, if there was one.
func (Row) Latency(s fleet.Serving) string {
	switch {
	case !(s.Millis > 0) || math.IsInf(s.Millis, 0):
		return ""
	case s.Millis < 10:
		return fmt.Sprintf("%.1f ms", s.Millis)
	}
	return fmt.Sprintf("%.0f ms", s.Millis)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// span is a duration as people say it. What lies ahead, by a clock that
// disagrees, is now.
func span(d time.Duration) string {
	d = max(d, 0)
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
