package homeassistant_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"primespark/agent/homeassistant"
	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/health"
	"primespark/shared/model"
	"primespark/shared/telemetry"
)

func sample(v telemetry.Value) telemetry.Sample {
	return telemetry.Sample{Boot: 1, Seq: 1, At: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC), Value: v}
}

var bare = telemetry.Newest{
	telemetry.CPU:       sample(telemetry.Fields(map[string]float64{"used": 0.25, "load_1m": 0.5})),
	telemetry.Memory:    sample(telemetry.Fields(map[string]float64{"used": 0.5})),
	telemetry.Inference: sample(telemetry.Fields(map[string]float64{"in_flight": 0, "queue": 0})),
}

func full() telemetry.Newest {
	all := telemetry.Newest{
		telemetry.Battery:     sample(telemetry.Fields(map[string]float64{"state_of_charge": 0.8, "volts": 3.9, "load_watts": 5, "current_amps": -1, "temperature_celsius": 25})),
		telemetry.Power:       sample(telemetry.Fields(map[string]float64{"mains": 1, "supply_volts": 4.9, "board_watts": 5})),
		telemetry.Cooling:     sample(telemetry.Fields(map[string]float64{"fan_rpm": 3000, "nvme_celsius": 45})),
		telemetry.Temperature: sample(telemetry.Number(51.5, "°C")),
		telemetry.Disk:        sample(telemetry.Fields(map[string]float64{"used": 0.1, "free_bytes": 1e10})),
		telemetry.Network:     sample(telemetry.Fields(map[string]float64{"received_bytes_per_second": 1, "sent_bytes_per_second": 2})),
		telemetry.Throttle:    sample(telemetry.Fields(map[string]float64{"under_voltage": 0})),
		telemetry.Hailo:       sample(telemetry.Fields(map[string]float64{"temperature_celsius": 40, "power_watts": 2, "used": 0.1})),
		telemetry.Mesh:        sample(telemetry.Fields(map[string]float64{"rtt_seconds": 0.01, "loss": 0})),
	}
	maps.Copy(all, bare)
	return all
}

func node(streams telemetry.Newest, models ...string) homeassistant.Node {
	return homeassistant.Node{
		Topics:  telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"},
		Version: "1.2.3", Every: 10 * time.Second, Streams: streams, Models: models,
	}
}

// TestDiscovery holds the messages to golden files, and to a schema that was
// written from Home Assistant's documentation.
func TestDiscovery(t *testing.T) {
	board := node(full(), "blazeface", "Yolo.v8-n")
	board.Board, board.Serial, board.Endpoint = "Raspberry Pi 5 Model B Rev 1.0", "10000000abcdef01", "https://pi-1:7490"
	for name, c := range map[string]struct {
		node   homeassistant.Node
		before map[string]string
	}{
		"bare":    {node: node(bare)},
		"full":    {node: board},
		"changed": {node(bare, "blazeface"), map[string]string{"model_blazeface": "update", "model_old": "update", "battery": "sensor"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := homeassistant.Config(c.node, c.before)
			if err != nil {
				t.Fatal(err)
			}
			valid(t, got)
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			goldentest.Compare(t, name+".json", pretty.Bytes())
		})
	}
}

var schema = func() *jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.MustCompile(filepath.Join("testdata", "discovery.schema.json"))
}()

func valid(t *testing.T, message []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Error(err)
	}
}

// TestSchemaHasTeeth: what Home Assistant would refuse, the schema refuses.
func TestSchemaHasTeeth(t *testing.T) {
	got, err := homeassistant.Config(node(full(), "blazeface"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"no device":        {`"dev":`, `"device2":`},
		"no origin":        {`"o":`, `"origin2":`},
		"wildcard":         {`"state_topic":"primespark/`, `"state_topic":"#/`},
		"wrong unit":       {`"unit_of_measurement":"V"`, `"unit_of_measurement":"W"`},
		"no unique id":     {`"unique_id"`, `"uniq"`},
		"unknown platform": {`"p":"update"`, `"p":"lamp"`},
		"bad category":     {`"entity_category":"diagnostic"`, `"entity_category":"diag"`},
	} {
		broken := strings.Replace(string(got), change[0], change[1], 1)
		if broken == string(got) {
			t.Fatalf("%s: nothing to change", name)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(broken))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(v) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestTemplatesReadTheState: each path that a template reads is in the state that
// is sent.
func TestTemplatesReadTheState(t *testing.T) {
	n := node(full(), "blazeface")
	message, err := homeassistant.Config(n, nil)
	if err != nil {
		t.Fatal(err)
	}
	minutes := 30.0
	self := homeassistant.SelfOf(fleet.Vital{Power: fleet.Power{Minutes: &minutes}, Models: []fleet.Serving{{Name: "blazeface", Version: "1"}}}, nil, nil)
	body := map[string]any{"self": self}
	for s, one := range n.Streams {
		body[string(s)] = one.Value
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`value_json((?:\.[a-z_0-9]+)+)`).FindAllStringSubmatch(string(message), -1)
	if len(paths) < 20 {
		t.Fatalf("%d paths", len(paths))
	}
	for _, p := range paths {
		path := strings.TrimSuffix(p[1], ".values")
		if path == ".inference.latency_seconds" {
			continue // comes with the first inference; its template asks whether it is there
		}
		var at any = state
		for key := range strings.SplitSeq(path[1:], ".") {
			object, _ := at.(map[string]any)
			next, has := object[key]
			at = next
			if !has {
				t.Errorf("a template reads %s, which the state does not have: %s", path, text)
				break
			}
		}
	}
}

func TestSelf(t *testing.T) {
	at := time.Now()
	conditions := health.List{
		{Code: "a_warning", Severity: health.Warning, Detail: "It is slow.", Remedy: "Use an SSD.", Since: at},
		{Code: "info", Severity: health.Info, Detail: "By the way.", Since: at},
		{Code: health.NoModels, Severity: health.Unready, Detail: "No model can answer.", Remedy: "Load one.", Since: at},
	}
	got := homeassistant.SelfOf(fleet.Vital{Mode: fleet.Degraded, Models: []fleet.Serving{{Name: "blazeface", Version: "1"}}}, conditions,
		[]model.Status{{Name: "blazeface", Version: "2"}, {Name: "other", Version: "7"}})
	want := homeassistant.Self{
		Mode:    fleet.Degraded,
		Problem: homeassistant.Problem{Sentence: "No model can answer. It is slow.", Remedy: "Load one.", Codes: []string{"no_models", "a_warning"}},
		Models:  map[string]homeassistant.Release{"blazeface": {Installed: "1", Latest: "2"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if p := homeassistant.SelfOf(fleet.Vital{Ready: true}, nil, nil).Problem; p.Sentence != "" || p.Codes == nil {
		t.Errorf("nothing is wrong, and it says %+v", p)
	}
}
