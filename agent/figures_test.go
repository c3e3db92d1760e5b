package agent

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/fleet"
	"primespark/shared/telemetry"
)

// TestPowerFigures tells what is known, and of what is not, nothing.
func TestPowerFigures(t *testing.T) {
	half := 0.5
	newest := telemetry.Newest{telemetry.Battery: {Value: telemetry.Fields(map[string]float64{"volts": 3.75, "current_amps": -1.5, "temperature_celsius": 30})}}
	for name, c := range map[string]struct {
		power fleet.Power
		want  []string
		not   []string
	}{
		"on battery":        {fleet.Power{Source: fleet.Battery, Charge: &half}, []string{"power_mains 0", "charge_ratio 0.5", "cell_volts 3.75", "current_amperes -1.5", "temperature_celsius 30"}, nil},
		"the line fails":    {fleet.Power{Charge: &half}, []string{"charge_ratio 0.5", "cell_volts 3.75"}, []string{"power_mains"}},
		"everything fails":  {fleet.Power{}, nil, []string{"primespark_"}},
		"the gauge is none": {fleet.Power{Source: fleet.Mains}, []string{"power_mains 1"}, []string{"charge_ratio"}},
	} {
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(powerFigures{func() fleet.Vital { return fleet.Vital{Power: c.power} }, func() telemetry.Newest { return newest }})
		w := httptest.NewRecorder()
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text := w.Body.String()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", name, want, text)
			}
		}
		for _, n := range c.not {
			if strings.Contains(text, n) {
				t.Errorf("%s: %q is in\n%s", name, n, text)
			}
		}
	}
}
