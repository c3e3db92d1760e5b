package status

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

func TestTrendPath(t *testing.T) {
	for name, test := range map[string]struct{ trend, want string }{
		"nothing":          {"", ""},
		"not known":        {"\x00\x00", ""},
		"full":             {"eee", "M0 1h2"},
		"one":              {"\x00e\x00", "M1 1"},
		"down and up":      {"ee3\x01\x013e", "M0 1h1l1 7l1 7h1l1 -7l1 -7"},
		"a gap":            {"ee\x00\x0033", "M0 1h1M4 8h1"},
		"less than a line": {"ede", "M0 1h2"},
	} {
		if got := Trend(test.trend).path(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	var m markup
	if Trend("\x00e").draw(&m); len(m.made) > 0 {
		t.Errorf("one point makes %s", m.made)
	}
	if Trend("ed").draw(&m); !strings.Contains(string(m.made), `aria-label="charge in the last 12 h: 99 to 100 %"`) {
		t.Errorf("two points make %s", m.made)
	}
}

// TestTrends follows a battery, loses sight of it, and has the history fill the gap.
func TestTrends(t *testing.T) {
	var trends Trends
	note := func(at time.Time, charge float64, liveness fleet.Liveness) Trend {
		n := agent("pi-1")
		n.Power.Charge, n.Liveness = &charge, liveness
		bare := agent("pi-2")
		bare.Power.Charge = nil
		v := View{At: at, Nodes: []wire.NodeBody{n, bare}}
		trends.Note(&v)
		if len(v.Trends) > 1 {
			t.Errorf("a node without a battery has a curve: %v", v.Trends)
		}
		return v.Trends["pi-1"]
	}
	check := func(got Trend, want string) {
		t.Helper()
		if strings.TrimLeft(string(got), "\x00") != want || len(got) != trendKept {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check(note(noon, 1, fleet.Alive), "e")
	check(note(noon.Add(20*time.Minute), 0.5, fleet.Alive), "3") // the newest of each half hour
	check(note(noon.Add(30*time.Minute), 0.4, fleet.Alive), "3)")
	check(note(noon.Add(90*time.Minute), 0.1, fleet.Dead), "3)\x00\x00") // what a dead node said is of before
	if got := note(noon.Add(120*time.Minute), math.NaN(), fleet.Alive); got != "" {
		t.Errorf("one that tells no charge has the curve %q", got)
	}
	now := noon.Add(150 * time.Minute)
	check(note(now, 0, fleet.Alive), "\x01") // it was forgotten

	if got := trends.Wanted(now); got != "pi-1" {
		t.Errorf("wanted is %q", got)
	}
	sample := func(ago time.Duration, field string, x float64) wire.TelemetryMinute {
		return wire.TelemetryMinute{Stream: telemetry.Battery, Field: field, At: now.Add(-ago), Mean: x}
	}
	trends.Fill("pi-1", now, []wire.TelemetryMinute{
		sample(0, chargeField, 1), sample(30*time.Minute, chargeField, 0.2), sample(time.Hour, "volts", 3.9), sample(90*time.Minute, chargeField, 7),
		sample(-time.Hour, chargeField, 1), sample(13*time.Hour, chargeField, 1), sample(2*time.Hour, chargeField, math.NaN()),
	})
	trends.Fill("gone", now, nil)
	check(note(now, 0, fleet.Alive), "e\x00\x15\x01")
	if got := trends.Wanted(now); got != "" {
		t.Errorf("%q is wanted again at once", got)
	}
	if got := trends.Wanted(now.Add(again)); got != "pi-1" {
		t.Errorf("after an hour %q is wanted", got)
	}
	for i := range trendKept {
		now = now.Add(trendEach)
		if got := note(now, 1, fleet.Alive); i == trendKept-1 && !slices.Equal([]byte(got), []byte(strings.Repeat("e", trendKept))) {
			t.Errorf("after 12 hours: %q", got)
		}
	}
	if got := trends.Wanted(now); got != "" {
		t.Errorf("%q is wanted though all is known", got)
	}
}
