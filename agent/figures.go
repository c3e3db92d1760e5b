package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/hostmetrics"
	"primespark/shared/identity"
	"primespark/shared/telemetry"
)

// register makes what the node is, and how its host and its power are, known to
// Prometheus.
func (n node) register(reg prometheus.Registerer, id *identity.Identity, newest func() telemetry.Newest) error {
	self := hostmetrics.Node{
		Name: n.cfg.Name, Role: fleet.Agent, Health: func() health.List { return n.conditions.All() },
		Mode: func() fleet.Mode { return n.vital.Get().Mode },
	}
	if id != nil {
		self.Cluster, self.Expires = id.ID().Cluster, id.Expires
	}
	if err := hostmetrics.Register(reg, self); err != nil {
		return err
	}
	return reg.Register(powerFigures{func() fleet.Vital { return n.vital.Get() }, newest})
}

var (
	descMains   = prometheus.NewDesc("primespark_power_mains", "1 on mains, 0 on battery; not there while it is not known.", nil, nil)
	descCharge  = prometheus.NewDesc("primespark_battery_charge_ratio", "State of charge, 0 to 1.", nil, nil)
	descLeft    = prometheus.NewDesc("primespark_battery_remaining_seconds", "Time until the battery is empty, by its present load.", nil, nil)
	descVolts   = prometheus.NewDesc("primespark_battery_cell_volts", "Voltage across one cell.", nil, nil)
	descLoad    = prometheus.NewDesc("primespark_power_load_watts", "What the node draws.", nil, nil)
	descAmps    = prometheus.NewDesc("primespark_battery_current_amperes", "Current into the battery; below 0 while it discharges.", nil, nil)
	descCelsius = prometheus.NewDesc("primespark_battery_temperature_celsius", "Temperature of the battery or of its board.", nil, nil)
	descModel   = prometheus.NewDesc("primespark_model_info", "1 for each resident model.", []string{"model", "version", "backend"}, nil)
	descLatency = prometheus.NewDesc("primespark_model_latency_seconds", "Moving mean of one inference.", []string{"model"}, nil)
)

// powerFigures are the newest words on the node's power and models.
type powerFigures struct {
	vital  func() fleet.Vital
	newest func() telemetry.Newest
}

// Describe tells the names.
func (powerFigures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMains, descCharge, descLeft, descVolts, descLoad, descAmps, descCelsius, descModel, descLatency} {
		out <- d
	}
}

// Collect tells what is known now.
func (p powerFigures) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	v := p.vital()
	for _, m := range v.Models {
		if m.Cold {
			continue
		}
		tell(descModel, 1, m.Name, m.Version, m.Backend)
		if m.Millis > 0 {
			tell(descLatency, m.Millis/1000, m.Name)
		}
	}
	switch v.Power.Source {
	case fleet.Mains:
		tell(descMains, 1)
	case fleet.Battery:
		tell(descMains, 0)
	default:
		if v.Power.Charge == nil {
			return // nothing answers, and what was last read may be long past
		}
	}
	if v.Power.Charge != nil {
		tell(descCharge, *v.Power.Charge)
	}
	if v.Power.Minutes != nil {
		tell(descLeft, *v.Power.Minutes*time.Minute.Seconds())
	}
	sample := p.newest()[telemetry.Battery].Value
	for field, d := range map[string]*prometheus.Desc{"volts": descVolts, "load_watts": descLoad, "current_amps": descAmps, "temperature_celsius": descCelsius} {
		if x, ok := sample.Field(field); ok {
			tell(d, x)
		}
	}
}

// freshPower is how old a sample of the power may be and still tell of now.
const freshPower = time.Minute

// drawn is what the node draws, in watts, by the newest sample; 0 if none tells.
func drawn(newest telemetry.Newest, now time.Time) float64 {
	sample := newest[telemetry.Battery]
	watts, ok := sample.Value.Field("load_watts")
	if !ok || now.Sub(sample.At) > freshPower {
		return 0
	}
	return watts
}
