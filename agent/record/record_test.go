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
	r := record.New(time.UnixMilli(1000), 100, nil)
	for _, celsius := range []float64{50, 51} {
		if err := r.Record(telemetry.Temperature, telemetry.Number(celsius, "°C")); err != nil {
			panic(err)
		}
	}
	newest := r.Newest().Get()[telemetry.Temperature]
	fmt.Println(newest.Seq, newest.Value.Number(), newest.Value.Unit())
	// Output: 2 51 °C
}

func TestAfter(t *testing.T) {
	r := record.New(time.Now(), 5, nil)
	for i := range 12 {
		if err := r.Record("cpu", telemetry.Number(float64(i+1), "")); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		seq  uint64
		most int
		want []uint64
	}{
		"all that is kept":   {0, 100, []uint64{8, 9, 10, 11, 12}},
		"at most two":        {0, 2, []uint64{8, 9}},
		"after what is gone": {3, 100, []uint64{8, 9, 10, 11, 12}},
		"the newest":         {11, 100, []uint64{12}},
		"nothing new":        {12, 100, nil},
		"from the future":    {99, 100, nil},
		"the last number":    {math.MaxUint64, 100, nil},
	} {
		var got []uint64
		for _, s := range r.After("cpu", test.seq, test.most) {
			if s.Value.Number() != float64(s.Seq) {
				t.Errorf("%s: sample %d has the value of %v", name, s.Seq, s.Value.Number())
			}
			got = append(got, s.Seq)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := r.After("disk", 0, 9); got != nil {
		t.Errorf("samples %v of a stream without any", got)
	}
}

func TestStreamsCountByThemselves(t *testing.T) {
	r := record.New(time.UnixMilli(77), 5, nil)
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
	r := record.New(time.Now(), 5, nil)
	if err := r.Record("A/b", telemetry.Number(1, "")); err == nil {
		t.Error("a stream that is no name")
	}
	if err := r.Record("cpu", telemetry.Number(math.NaN(), "")); !errors.Is(err, telemetry.ErrBad) {
		t.Errorf("not a number: %v", err)
	}
	if len(r.Streams()) != 0 || r.After("cpu", 0, 1) != nil {
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
	r := record.New(time.Now(), 5, nil)
	before, changed := r.Newest().Load()
	if err := r.Record("cpu", telemetry.Number(1, "")); err != nil {
		t.Fatal(err)
	}
	<-changed
	if len(before) != 0 {
		t.Error("a view that was shared has changed")
	}
}
