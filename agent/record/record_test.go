package record_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"primespark/agent/record"
	"primespark/shared/telemetry"
)

func ExampleRecorder() {
	r := record.New(time.UnixMilli(1000), nil)
	for _, celsius := range []float64{50, 51} {
		if err := r.Record(telemetry.Temperature, telemetry.Number(celsius, "°C")); err != nil {
			panic(err)
		}
	}
	newest := r.Newest().Get()[telemetry.Temperature]
	fmt.Println(newest.Seq, newest.Value.Number(), newest.Value.Unit())
	// Output: 2 51 °C
}

// kept is a keeper in memory.
type kept []telemetry.Sample

func (k *kept) Keep(s telemetry.Sample) { *k = append(*k, s) }

func TestAllIsKept(t *testing.T) {
	var k kept
	r := record.New(time.UnixMilli(7), &k)
	for i := range 12 {
		if err := r.Record("cpu", telemetry.Number(float64(i+1), "")); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range k {
		if s.Boot != 7 || s.Seq != uint64(i)+1 || s.Value.Number() != float64(s.Seq) || s.Stream != "cpu" {
			t.Errorf("sample %d is %+v", i, s)
		}
	}
	if len(k) != 12 {
		t.Errorf("%d samples are kept of 12", len(k))
	}
}

func TestStreamsCountByThemselves(t *testing.T) {
	r := record.New(time.UnixMilli(77), nil)
	for _, s := range []telemetry.Stream{"cpu", "disk", "cpu"} {
		if err := r.Record(s, telemetry.Number(1, "")); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.Streams(), []telemetry.Stream{"cpu", "disk"}; !slices.Equal(got, want) {
		t.Errorf("streams %v, want %v", got, want)
	}
	newest := r.Newest().Get()
	if newest["cpu"].Seq != 2 || newest["disk"].Seq != 1 || newest["disk"].Boot != 77 {
		t.Errorf("newest %+v", newest)
	}
}

func TestRecordRefuses(t *testing.T) {
	r := record.New(time.Now(), nil)
	if err := r.Record("A/b", telemetry.Number(1, "")); err == nil {
		t.Error("a stream that is no name")
	}
	if err := r.Record("cpu", telemetry.Number(math.NaN(), "")); !errors.Is(err, telemetry.ErrBad) {
		t.Errorf("not a number: %v", err)
	}
	if len(r.Streams()) != 0 {
		t.Error("what is refused is kept")
	}
	for i := range 100 {
		err := r.Record(telemetry.Stream(fmt.Sprint("s", i)), telemetry.Number(1, ""))
		if (err != nil) != (i >= 64) {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
}

func TestARecordWakes(t *testing.T) {
	r := record.New(time.Now(), nil)
	before, changed := r.Newest().Load()
	if err := r.Record("cpu", telemetry.Number(1, "")); err != nil {
		t.Fatal(err)
	}
	<-changed
	if len(before) != 0 {
		t.Error("a view that was shared has changed")
	}
}
