package gauge_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/battery"
	"primespark/agent/battery/batterytest"
	"primespark/agent/battery/gauge"
	"primespark/shared/fleet"
	"primespark/shared/telemetry"
)

type nowhere struct{}

func (nowhere) Record(_ telemetry.Stream, v telemetry.Value) error { return v.Check() }

// TestTraces plays what people's boards did to a monitor. Whatever comes, a sample is
// either an error or what the chip showed, and the power never counts as empty.
func TestTraces(t *testing.T) {
	traces, err := batterytest.Traces()
	if err != nil {
		t.Fatal(err)
	}
	// How a trace ends, and for how many seconds there is an error.
	ends := map[string]struct {
		volts   battery.Volts
		charge  battery.Charge
		failing int
	}{
		"glitch":        {3.9, 0.875, 4},
		"empty-at-3v25": {3.04, 0, 0},
		"stuck":         {3.5, 0.5, 0},
		"loose":         {3.9, 0.87, 28},
	}
	for _, trace := range traces {
		want, ok := ends[trace.Name]
		if !ok {
			t.Errorf("the trace %s is not told of here", trace.Name)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			r, err := gauge.New(gauge.Config{Source: "max1704x"}, trace.Bus())
			if err != nil {
				t.Fatal(err)
			}
			trace.Play(0)
			m := battery.New(battery.Config{Gauge: r, Every: 10 * time.Second, Record: nowhere{}, Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			start, failing := time.Now(), 0
			for time.Since(start) < trace.Length()+5*time.Second {
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				s := m.Samples().Get()
				if s.GaugeErr != nil && time.Since(start)%time.Second != 0 {
					failing++
				}
				if s.GaugeErr != nil && s.Gauge != (battery.Reading{}) || s.GaugeErr == nil && (s.Gauge.Volts < 3 || s.Gauge.Charge.Value > 1) {
					t.Errorf("%s, %v: sample %+v", trace.Name, time.Since(start), s)
				}
				if p := m.Power().Get(); p.Source != fleet.PowerUnknown {
					t.Errorf("%s, %v: power %+v of a gauge that does not know the mains", trace.Name, time.Since(start), p)
				}
				trace.Play(time.Since(start))
			}
			if s := m.Samples().Get(); s.GaugeErr != nil || abs(s.Gauge.Volts-want.volts) > 0.01 || abs(s.Gauge.Charge.Value-want.charge) > 0.005 {
				t.Errorf("%s ends with %+v, want %+v", trace.Name, s, want)
			}
			if failing < want.failing-2 || failing > want.failing+2 {
				t.Errorf("%s: %d s of errors, want %d", trace.Name, failing, want.failing)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func abs[T ~float64](x T) T { return max(x, -x) }

// FuzzBoards fills the registers of every board with anything.
func FuzzBoards(f *testing.F) {
	f.Add([]byte{0xa6, 0x0a, 0xff, 0x00})
	f.Fuzz(func(t *testing.T, mem []byte) {
		for _, b := range boards {
			chip := b.chip()
			for i, v := range mem {
				chip.Set(byte(i), uint16(v)<<8|uint16(v))
			}
			r, err := gauge.New(gauge.Config{Source: b.source}, chip.On())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := r.Read(t.Context()); err == nil && got.Check() != nil || err != nil && got != (battery.Reading{}) {
				t.Errorf("%s: %+v, %v", b.source, got, err)
			}
		}
	})
}
