package status

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/health"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

// measured is a curve of each chart over a range, with an outage of a tenth of it.
func measured(r Range, now time.Time) (all []wire.TelemetryMinute) {
	span := r.Span(now)
	for n, g := range graphs {
		for i := range span.Slots {
			if i > span.Slots*6/10 && i < span.Slots*7/10 {
				continue
			}
			v := 0.5 + 0.4*math.Sin(float64(i*(n+1))*math.Pi/float64(span.Slots))
			switch g.quantity.Unit() {
			case "°C":
				v *= 80
			case "B/s":
				v *= 300_000
			case "ms":
				v /= 50
			case "W", "V", "":
				v *= 6
			}
			all = append(all, wire.TelemetryMinute{
				Node: "pi-1", Stream: g.stream, Field: g.field, At: span.From.Add(time.Duration(i) * span.Step),
				Min: v * 0.8, Mean: v, Max: v * 1.05, Count: 6,
			})
		}
	}
	return all
}

func nodeView(rangeName string, n wire.NodeBody) NodeView {
	r, _ := FindRange(rangeName)
	return NodeView{Self: "c2", At: noon, Version: "0.1.0", Cluster: "home", Mode: fleet.Normal, Node: n, Range: r}
}

func nodeViews() map[string]NodeView {
	const evil = `<script>alert(1)</script>"'&`
	well := nodeView("24h", agent("pi-1"))
	well.Node.Accelerator = &fleet.Accelerator{Kind: "hailo8l", State: "ready", Temperature: new(47.2)}
	well.Node.Addresses = map[string]string{"api": "pi-1.lan:7490", "gossip": "pi-1.lan:7482"}
	well.Samples = measured(well.Range, noon)

	sick := nodeView("1h", trouble().Nodes[1])
	sick.Mode, sick.More = fleet.Degraded, true
	sick.Samples = []wire.TelemetryMinute{
		{Stream: telemetry.CPU, Field: "used", At: noon.Add(-30 * time.Minute), Min: 0.9, Mean: 0.99, Max: 1, Count: 6},
		{Stream: telemetry.CPU, Field: "used", At: noon.Add(-29 * time.Minute), Min: 0.8, Mean: 0.9, Max: 1, Count: 6},
		{Stream: telemetry.CPU, Field: "used", At: noon.Add(-2 * time.Minute), Min: 0.7, Mean: 0.7, Max: 0.7, Count: 1, Unsynced: 1},
	}
	away := nodeView("30d", trouble().Nodes[2])
	away.Trouble = "The history on the disk of c2 cannot be read."

	hostile := nodeView("1h", hostile().Nodes[0])
	hostile.Self, hostile.Version, hostile.Cluster, hostile.Trouble = evil, evil, evil, evil
	hostile.Node.Addresses = map[string]string{evil: evil}
	hostile.Samples = []wire.TelemetryMinute{
		{Node: evil, Stream: evil, Field: evil, Unit: evil, At: noon, Count: 1},
		{Node: evil, Stream: telemetry.Temperature, Unit: evil, At: noon, Min: 50, Mean: 50, Max: 50, Count: 1},
		{Node: evil, Stream: telemetry.CPU, Field: "used", At: noon, Min: math.NaN(), Mean: math.Inf(1), Max: math.Inf(1), Count: 1},
	}
	coordinator := nodeView("", wire.NodeBody{Name: "c1", Role: fleet.Coordinator, State: "approved", Liveness: fleet.Alive, Ready: true, LastSeen: noon, Version: "0.1.0"})
	return map[string]NodeView{"well": well, "sick": sick, "away": away, "hostile": hostile, "coordinator": coordinator, "new": nodeView("", agent("pi-2"))}
}

func TestNodePage(t *testing.T) {
	for name, v := range nodeViews() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := RenderNode(&b, v, readers[name]); err != nil {
				t.Fatal(err)
			}
			goldentest.Compare(t, "node-"+name+".html", b.Bytes())
			inert(t, b.String())
			if strings.Contains(b.String(), "<script") {
				t.Error("there is a script")
			}
			if got, want := strings.Count(b.String(), "<svg"), map[string]int{"well": len(graphs), "sick": 1, "hostile": 1}[name]; got != want {
				t.Errorf("%d charts, want %d", got, want)
			}
		})
	}
}

// TestNodePageIsBounded draws all charts of the longest range with the worst of noise.
func TestNodePageIsBounded(t *testing.T) {
	v := nodeView("30d", agent("pi-1"))
	span := v.Range.Span(noon)
	for _, g := range graphs {
		for i := range span.Slots {
			v.Samples = append(v.Samples, wire.TelemetryMinute{
				Stream: g.stream, Field: g.field, At: span.From.Add(time.Duration(i) * span.Step), Min: 0, Mean: float64(i*7919%1000) / 1000, Max: 1 + float64(i%2), Count: 6,
			})
		}
	}
	var b bytes.Buffer
	if err := RenderNode(&b, v, ada); err != nil {
		t.Fatal(err)
	}
	if n := b.Len(); n > 100_000 {
		t.Errorf("the page has %d bytes", n)
	}
}

func TestRanges(t *testing.T) {
	for name, want := range map[string]string{
		"":    "2026-03-01 11:01 to 12:01, 60 slots",
		"1h":  "2026-03-01 11:01 to 12:01, 60 slots",
		"24h": "2026-02-28 12:10 to 12:10, 144 slots",
		"30d": "2026-01-30 16:00 to 16:00, 180 slots",
		"1y":  "none",
	} {
		got := "none"
		if r, ok := FindRange(name); ok {
			s := r.Span(noon.Add(59 * time.Second))
			got = fmt.Sprintf("%s to %s, %d slots", s.From.Format("2006-01-02 15:04"), s.To().Format("15:04"), s.Slots)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestReasons(t *testing.T) {
	for _, code := range health.Codes() {
		if r := explain(string(code), "pi-1"); r.Title == "" || strings.Contains(r.Title, "_") || strings.Contains(r.Remedy, "NODE") {
			t.Errorf("%s: %+v", code, r)
		}
	}
	if r := explain("on_fire", "pi-1"); r.Title != "on fire" || r.Remedy == "" {
		t.Errorf("a code that is not known: %+v", r)
	}
}
