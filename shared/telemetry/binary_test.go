package telemetry_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/telemetry"
)

var kinds = []telemetry.Sample{
	{Boot: 1795392000000, Stream: "temperature", Seq: 300, At: at, Value: telemetry.Number(51.5, "°C")},
	{Boot: 1, Stream: "cpu", Seq: 1, At: time.Unix(0, 0).UTC(), Value: telemetry.Fields(map[string]float64{"used": 0.25, "load_1m": 1})},
	{Boot: 1, Stream: "cpu", Seq: 9, At: at, Value: telemetry.Fields(map[string]float64{})},
	{Boot: 1, Stream: "cpu", Seq: 12, At: at, Gap: &telemetry.Gap{From: 10, Reason: "full"}},
	{Boot: 1, Stream: "cpu", Seq: 13, At: at, Unsynced: 300, Value: telemetry.Number(1, "")},
	{Boot: 1, Stream: "cpu", Seq: 14, At: at, Unsynced: 1, Value: telemetry.Fields(map[string]float64{"used": 0.25})},
}

func same(a, b telemetry.Sample) string {
	return cmp.Diff(a, b, cmp.AllowUnexported(telemetry.Value{}))
}

func TestSamplesOnDisk(t *testing.T) {
	var b []byte
	for _, s := range kinds {
		b = telemetry.AppendBinary(b, s)
	}
	// These bytes are on disks: they may not change.
	const want = "0180c09edbc068ac0280dcc5ceb9b9c3ea310b74656d70657261747572650000000000c0494003c2b043"
	if got := hex.EncodeToString(telemetry.AppendBinary(nil, kinds[0])); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	const unsynced = "11020d80dcc5ceb9b9c3ea31ac0203637075000000000000f03f00"
	if got := hex.EncodeToString(telemetry.AppendBinary(nil, kinds[4])); got != unsynced {
		t.Errorf("%s, want %s", got, unsynced)
	}
	for _, s := range kinds {
		var got telemetry.Sample
		var err error
		if got, b, err = telemetry.ReadBinary(b); err != nil {
			t.Fatal(err)
		}
		if diff := same(s, got); diff != "" {
			t.Error(diff)
		}
	}
	if len(b) != 0 {
		t.Errorf("%d bytes are left", len(b))
	}
}

func TestSamplesInJSON(t *testing.T) {
	for _, s := range kinds {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got telemetry.Sample
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := same(s, got); diff != "" {
			t.Errorf("%s: %s", b, diff)
		}
	}
	for name, bad := range map[string]string{
		"value and gap":     `{"boot":1,"seq":2,"value":1,"gap":{"from":1,"reason":"full"}}`,
		"gap from beyond":   `{"boot":1,"seq":2,"gap":{"from":3,"reason":"full"}}`,
		"gap from nowhere":  `{"boot":1,"seq":2,"gap":{"from":0,"reason":"full"}}`,
		"gap of no reason":  `{"boot":1,"seq":2,"gap":{"from":1}}`,
		"a far year":        `{"boot":1,"seq":2,"value":1,"at":"9999-01-01T00:00:00Z"}`,
		"before all clocks": `{"boot":1,"seq":2,"value":1,"at":"1969-01-01T00:00:00Z"}`,
		"beyond 2^53":       `{"boot":1,"seq":9007199254740993,"value":1}`,
	} {
		var s telemetry.Sample
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s: taken as %+v", name, s)
		}
	}
}

func FuzzReadBinary(f *testing.F) {
	for _, s := range kinds {
		f.Add(telemetry.AppendBinary(nil, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _, err := telemetry.ReadBinary(b)
		if err != nil {
			return
		}
		again, rest, err := telemetry.ReadBinary(telemetry.AppendBinary(nil, s))
		if diff := same(s, again); err != nil || len(rest) != 0 || diff != "" {
			t.Errorf("written and read again: %v, %d bytes left, %s", err, len(rest), diff)
		}
	})
}

func TestAcks(t *testing.T) {
	a := telemetry.Ack{Boot: 7, Streams: map[telemetry.Stream]uint64{"cpu": 3, "disk": 1 << 40}}
	b, err := json.Marshal(a)
	if want := `{"boot":7,"cpu":3,"disk":1099511627776}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
	var got telemetry.Ack
	if err := json.Unmarshal(b, &got); err != nil || cmp.Diff(a, got) != "" {
		t.Errorf("%+v, %v, want %+v", got, err, a)
	}
	for _, bad := range []string{`{}`, `{"cpu":1}`, `[]`, `{"boot":1,"A":1}`, `{"boot":-1}`, `{"boot":1,"cpu":"x"}`, `{"boot":1,"cpu":` + strings.Repeat(" ", 16<<10) + `1}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%.50s is taken as %+v", bad, got)
		}
	}
}

func FuzzAck(f *testing.F) {
	f.Add([]byte(`{"boot":7,"cpu":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a telemetry.Ack
		if json.Unmarshal(b, &a) != nil {
			return
		}
		for s := range a.Streams {
			if !s.Valid() {
				t.Errorf("stream %q", s)
			}
		}
	})
}
