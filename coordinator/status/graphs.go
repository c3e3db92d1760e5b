package status

import (
	"slices"

	"primespark/coordinator/status/chart"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

// A graph is a field of a stream that has a chart.
type graph struct {
	stream   telemetry.Stream
	field    string // empty for a stream of single numbers
	title    string
	quantity chart.Quantity
}

// chargeField is how full a battery is, 0 to 1, in the stream of batteries.
const chargeField = "state_of_charge"

// graphs are all charts, in the order of the page. Samples of other fields, and
// what a node may invent, have none.
var graphs = []graph{
	{telemetry.Battery, chargeField, "Battery charge", chart.Share},
	{telemetry.Battery, "load_watts", "Power drawn", chart.Watts},
	{telemetry.Battery, "volts", "Battery voltage", chart.Volts},
	{telemetry.Power, "mains", "Time on mains", chart.Share},
	{telemetry.Temperature, "", "Temperature", chart.Celsius},
	{telemetry.CPU, "used", "Processor", chart.Share},
	{telemetry.CPU, "load_1m", "Load average", chart.Load},
	{telemetry.Memory, "used", "Memory", chart.Share},
	{telemetry.Disk, "used", "Disk used", chart.Share},
	{telemetry.Disk, "read_bytes_per_second", "Disk read", chart.Bytes},
	{telemetry.Disk, "write_bytes_per_second", "Disk written", chart.Bytes},
	{telemetry.Network, "received_bytes_per_second", "Network received", chart.Bytes},
	{telemetry.Network, "sent_bytes_per_second", "Network sent", chart.Bytes},
	{telemetry.Inference, "latency_seconds", "Inference, slowest model", chart.Seconds},
	{telemetry.Inference, "in_flight", "Requests being answered", chart.Number},
	{telemetry.Inference, "queue", "Requests waiting", chart.Number},
	{telemetry.Hailo, "temperature_celsius", "Accelerator temperature", chart.Celsius},
	{telemetry.Hailo, "power_watts", "Accelerator power", chart.Watts},
	{telemetry.Hailo, "used", "Accelerator use", chart.Share},
}

// Unsure reports whether some of the samples are by a clock that was not set.
func (v NodeView) Unsure() bool {
	return slices.ContainsFunc(v.Samples, func(m wire.TelemetryMinute) bool { return m.Unsynced > 0 })
}

// Charts are those for which there are samples.
func (v NodeView) Charts() (all []chart.Chart) {
	type key struct {
		stream telemetry.Stream
		field  string
	}
	points := map[key][]chart.Point{}
	for _, m := range v.Samples {
		k := key{m.Stream, m.Field}
		points[k] = append(points[k], chart.Point{At: m.At, Min: m.Min, Mean: m.Mean, Max: m.Max, Count: m.Count, Unsynced: m.Unsynced})
	}
	span := v.Range.Span(v.At)
	for _, g := range graphs {
		if c, ok := chart.Draw(g.title, g.quantity, span, points[key{g.stream, g.field}]); ok {
			all = append(all, c)
		}
	}
	return all
}
