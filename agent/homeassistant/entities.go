package homeassistant

import (
	"fmt"
	"strings"

	"primespark/shared/telemetry"
)

const diagnostic = "diagnostic"

// A reading is an entity that shows a field of a stream.
type reading struct {
	name   string // of the entity
	title  string
	stream telemetry.Stream
	field  string // "" for a stream of one number
	scale  string // applied in the template
	digits int
	look   component
}

// readings are the sensors that a node can have: those of the streams it has.
var readings = []reading{
	{"battery", "Battery", telemetry.Battery, "state_of_charge", " * 100", 0, component{Class: "battery", StateClass: "measurement", Unit: "%"}},
	{"battery_voltage", "Battery cell voltage", telemetry.Battery, "volts", "", 2, component{Class: "voltage", StateClass: "measurement", Unit: "V", Category: diagnostic}},
	{"power", "Power draw", telemetry.Battery, "load_watts", "", 1, component{Class: "power", StateClass: "measurement", Unit: "W"}},
	{"battery_current", "Battery current", telemetry.Battery, "current_amps", "", 2, component{Class: "current", StateClass: "measurement", Unit: "A", Category: diagnostic}},
	{"battery_temperature", "Battery temperature", telemetry.Battery, "temperature_celsius", "", 0, component{Class: "temperature", StateClass: "measurement", Unit: "°C", Category: diagnostic}},
	{"supply_voltage", "Supply voltage", telemetry.Power, "supply_volts", "", 2, component{Class: "voltage", StateClass: "measurement", Unit: "V", Category: diagnostic}},
	{"board_power", "Board power", telemetry.Power, "board_watts", "", 1, component{Class: "power", StateClass: "measurement", Unit: "W", Category: diagnostic}},
	{"fan", "Fan speed", telemetry.Cooling, "fan_rpm", "", 0, component{StateClass: "measurement", Unit: "rpm", Category: diagnostic, Icon: "mdi:fan"}},
	{"nvme_temperature", "NVMe temperature", telemetry.Cooling, "nvme_celsius", "", 0, component{Class: "temperature", StateClass: "measurement", Unit: "°C", Category: diagnostic}},
	{"temperature", "Processor temperature", telemetry.Temperature, "", "", 1, component{Class: "temperature", StateClass: "measurement", Unit: "°C", Category: diagnostic}},
	{"cpu", "Processor use", telemetry.CPU, "used", " * 100", 0, component{StateClass: "measurement", Unit: "%", Category: diagnostic, Icon: "mdi:cpu-64-bit"}},
	{"load", "Load", telemetry.CPU, "load_1m", "", 2, component{StateClass: "measurement", Category: diagnostic, Icon: "mdi:gauge"}},
	{"memory", "Memory use", telemetry.Memory, "used", " * 100", 0, component{StateClass: "measurement", Unit: "%", Category: diagnostic, Icon: "mdi:memory"}},
	{"disk", "Disk use", telemetry.Disk, "used", " * 100", 0, component{StateClass: "measurement", Unit: "%", Category: diagnostic, Icon: "mdi:harddisk"}},
	{"disk_free", "Disk free", telemetry.Disk, "free_bytes", " / 1000000000", 1, component{Class: "data_size", StateClass: "measurement", Unit: "GB", Category: diagnostic}},
	{"received", "Network received", telemetry.Network, "received_bytes_per_second", " / 1000", 1, component{Class: "data_rate", StateClass: "measurement", Unit: "kB/s", Category: diagnostic}},
	{"sent", "Network sent", telemetry.Network, "sent_bytes_per_second", " / 1000", 1, component{Class: "data_rate", StateClass: "measurement", Unit: "kB/s", Category: diagnostic}},
	{"in_flight", "Inferences running", telemetry.Inference, "in_flight", "", 0, component{StateClass: "measurement", Icon: "mdi:brain"}},
	{"queue", "Inferences waiting", telemetry.Inference, "queue", "", 0, component{StateClass: "measurement", Icon: "mdi:tray-full"}},
	{"latency", "Inference time", telemetry.Inference, "latency_seconds", " * 1000", 1, component{Class: "duration", StateClass: "measurement", Unit: "ms"}},
	{"hailo_temperature", "Accelerator temperature", telemetry.Hailo, "temperature_celsius", "", 1, component{Class: "temperature", StateClass: "measurement", Unit: "°C", Category: diagnostic}},
	{"hailo_power", "Accelerator power", telemetry.Hailo, "power_watts", "", 1, component{Class: "power", StateClass: "measurement", Unit: "W", Category: diagnostic}},
	{"hailo", "Accelerator use", telemetry.Hailo, "used", " * 100", 0, component{StateClass: "measurement", Unit: "%", Category: diagnostic, Icon: "mdi:expansion-card"}},
	{"mesh_rtt", "Mesh round trip", telemetry.Mesh, "rtt_seconds", " * 1000", 1, component{Class: "duration", StateClass: "measurement", Unit: "ms", Category: diagnostic}},
	{"mesh_loss", "Mesh loss", telemetry.Mesh, "loss", " * 100", 0, component{StateClass: "measurement", Unit: "%", Category: diagnostic, Icon: "mdi:lan-disconnect"}},
}

// components are the entities of a node, by name.
func (n Node) components() map[string]component {
	all := map[string]component{}
	for _, r := range readings {
		sample, has := n.Streams[r.stream]
		if !has {
			continue
		}
		path := "value_json." + string(r.stream)
		there := path + " is defined"
		if r.field != "" {
			if _, has := sample.Value.Field(r.field); !has && r.field != "latency_seconds" { // which comes with the first inference
				continue
			}
			path += "." + r.field
			there += " and " + path + " is defined"
		}
		c := r.look
		c.Platform, c.Name, c.Precision = "sensor", r.title, &r.digits
		// A value that is not there leaves the entity as it is, until it expires.
		c.Template = fmt.Sprintf("{%% if %s %%}{{ (%s%s) | round(%d) }}{%% endif %%}", there, path, r.scale, max(2, r.digits))
		all[r.name] = n.entity(r.name, c)
	}
	n.binaries(all)
	for _, m := range n.Models {
		name := "model_" + id(m)
		all[name] = n.entity(name, component{
			Platform: "update", Name: "Model " + m, Title: m, Category: diagnostic,
			Template: "{{ value_json.self.models['" + m + "'] | tojson }}", // a model's name has no quotes
		})
	}
	return all
}

// binaries adds the entities that are yes or no.
func (n Node) binaries(all map[string]component) {
	yes := func(name, title, class, when string, more component) {
		more.Platform, more.Name, more.Class, more.On, more.Off = "binary_sensor", title, class, "ON", "OFF"
		more.Template = "{{ 'ON' if " + when + " else 'OFF' }}"
		all[name] = n.entity(name, more)
	}
	yes("problem", "Problem", "problem", "value_json.self.problem.sentence", component{
		AttributesIn: n.Topics.State(), AttributesBy: "{{ value_json.self.problem | tojson }}",
	})
	yes("ready", "Ready", "running", "value_json.self.ready", component{Category: diagnostic})
	_, battery := n.Streams[telemetry.Battery]
	_, mains := n.Streams[telemetry.Power].Value.Field("mains") // a Pi without a battery tells of its supply there
	if battery || mains {
		yes("mains", "Mains power", "plug", "value_json.power.mains | int(0) == 1", component{})
		// A line that cannot be read is no loss of the mains: None is unknown.
		mains := all["mains"]
		mains.Template = "{{ None if value_json.power.mains is not defined else " + strings.TrimPrefix(mains.Template, "{{ ")
		all["mains"] = mains
		left := component{
			Platform: "sensor", Name: "Battery time left", Class: "duration", StateClass: "measurement", Unit: "min",
			Template: "{{ value_json.self.minutes_left | round(0) if value_json.self.minutes_left is defined else None }}",
		}
		all["minutes_left"] = n.entity("minutes_left", left)
	}
	if _, has := n.Streams[telemetry.Throttle]; has {
		yes("throttle", "Throttled or under-voltage", "problem", "value_json.throttle.values() | select('eq', 1) | list", component{
			Category: diagnostic, AttributesIn: n.Topics.State(), AttributesBy: "{{ value_json.throttle | tojson }}",
		})
	}
	all["mode"] = n.entity("mode", component{
		Platform: "sensor", Name: "Autonomy", Category: diagnostic, Icon: "mdi:lan", Template: "{{ value_json.self.mode }}",
	})
}

// entity completes a component with what each has.
func (n Node) entity(name string, c component) component {
	c.ID = n.base() + "_" + name
	c.Object = c.Platform + "." + strings.ReplaceAll(id(n.Topics.Node+"_"+name), "-", "_")
	if c.Platform != "update" { // which knows no expiry
		c.ExpireAfter = n.expire()
	}
	return c
}
