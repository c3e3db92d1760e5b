package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"primespark/shared/telemetry"
)

var at = time.Date(2026, 11, 23, 1, 2, 3, 4e6, time.UTC)

func ExampleBatch() {
	b, err := telemetry.Batch([]telemetry.Sample{
		{Boot: 1795392000000, Stream: telemetry.Temperature, Seq: 1, At: at, Value: telemetry.Number(51.5, "°C")},
		{Boot: 1795392000000, Stream: telemetry.Temperature, Seq: 2, At: at.Add(time.Second), Value: telemetry.Number(52, "°C")},
	})
	fmt.Printf("%s %v\n", b, err)
	// Output: [{"boot":1795392000000,"seq":1,"at":"2026-11-23T01:02:03.004Z","value":51.5,"unit":"°C"},{"boot":1795392000000,"seq":2,"at":"2026-11-23T01:02:04.004Z","value":52,"unit":"°C"}] <nil>
}

func ExampleSample() {
	s := telemetry.Sample{
		Boot: 1, Stream: telemetry.CPU, Seq: 7, At: at,
		Value: telemetry.Fields(map[string]float64{"used": 0.25, "load_1m": 1}),
	}
	b, err := json.Marshal(s)
	fmt.Printf("%s %v\n", b, err)
	// Output: {"boot":1,"stream":"cpu","seq":7,"at":"2026-11-23T01:02:03.004Z","value":{"load_1m":1,"used":0.25}} <nil>
}

func TestBatchRoundTrip(t *testing.T) {
	in := []telemetry.Sample{
		{Boot: 1, Stream: "x", Seq: 1, At: at, Value: telemetry.Number(-0.5, "V")},
		{Boot: 1, Stream: "x", Seq: 2, At: at, Value: telemetry.Fields(map[string]float64{"a": 1})},
		{Boot: 1, Stream: "x", Seq: 3, At: at, Value: telemetry.Fields(map[string]float64{})},
	}
	b, err := telemetry.Batch(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := telemetry.ParseBatch("x", b)
	if err != nil || len(out) != 3 {
		t.Fatalf("%d samples, %v", len(out), err)
	}
	if v := out[0].Value; v.Number() != -0.5 || v.Unit() != "V" || out[0].Stream != "x" || !out[0].At.Equal(at) {
		t.Errorf("first is %+v", out[0])
	}
	if x, ok := out[1].Value.Field("a"); x != 1 || !ok {
		t.Errorf("second is %+v", out[1])
	}
	if again, err := telemetry.Batch(out); !bytes.Equal(again, b) || err != nil {
		t.Errorf("written again\n%s, %v, first\n%s", again, err, b)
	}
}

func TestParseBatchRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"no array":      `{}`,
		"null":          `[null]`,
		"no value":      `[{"boot":1,"seq":1}]`,
		"value null":    `[{"boot":1,"seq":1,"value":null}]`,
		"value text":    `[{"boot":1,"seq":1,"value":"x"}]`,
		"no seq":        `[{"boot":1,"value":1}]`,
		"negative boot": `[{"boot":-1,"seq":1,"value":1}]`,
		"infinite":      `[{"boot":1,"seq":1,"value":1e999}]`,
		"hostile field": `[{"boot":1,"seq":1,"value":{"<b>":1}}]`,
		"long unit":     `[{"boot":1,"seq":1,"value":1,"unit":"` + strings.Repeat("x", 17) + `"}]`,
		"many fields":   `[{"boot":1,"seq":1,"value":{` + manyFields(65) + `}}]`,
		"too large":     `[` + strings.Repeat(" ", telemetry.BatchBytes) + `]`,
	} {
		if got, err := telemetry.ParseBatch("x", []byte(b)); err == nil {
			t.Errorf("%s: taken as %+v", name, got)
		}
	}
	if _, err := telemetry.ParseBatch("A/#", []byte("[]")); err == nil {
		t.Error("a stream that is no name is taken")
	}
}

func manyFields(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"f%d":1`, i))
	}
	return strings.Join(all, ",")
}

func TestCheck(t *testing.T) {
	for name, v := range map[string]telemetry.Value{
		"no number":   telemetry.Number(math.NaN(), ""),
		"infinite":    telemetry.Number(math.Inf(1), ""),
		"field":       telemetry.Fields(map[string]float64{"a": math.NaN()}),
		"field name":  telemetry.Fields(map[string]float64{"A": 1}),
		"field empty": telemetry.Fields(map[string]float64{"": 1}),
	} {
		if err := v.Check(); !errors.Is(err, telemetry.ErrBad) {
			t.Errorf("%s: %v, want %v", name, err, telemetry.ErrBad)
		}
	}
}

func TestBatchThatIsTooLarge(t *testing.T) {
	if _, err := telemetry.Batch(make([]telemetry.Sample, 10_000)); err == nil || !strings.Contains(err.Error(), "send fewer") {
		t.Errorf("10,000 samples: %v, want them refused with a remedy", err)
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte(`[{"boot":1,"seq":1,"at":"2026-11-23T01:02:03Z","value":{"used":0.5}},{"boot":1,"seq":2,"value":1,"unit":"W"}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := telemetry.ParseBatch("x", b)
		if err != nil {
			return
		}
		for _, s := range all {
			if err := s.Value.Check(); err != nil || s.Seq == 0 || s.Stream != "x" {
				t.Errorf("taken: %+v, %v", s, err)
			}
		}
	})
}
