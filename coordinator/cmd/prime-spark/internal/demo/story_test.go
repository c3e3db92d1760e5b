package demo

import (
	"testing"
	"time"
)

func TestOverlap(t *testing.T) {
	for name, test := range map[string]struct {
		b    [4]float64
		want float64
	}{
		"the same":   {[4]float64{0, 0, 10, 10}, 1},
		"half":       {[4]float64{0, 0, 10, 5}, 0.5},
		"a third":    {[4]float64{5, 0, 15, 10}, 1.0 / 3},
		"beside":     {[4]float64{10, 0, 20, 10}, 0},
		"elsewhere":  {[4]float64{50, 50, 60, 60}, 0},
		"inside out": {[4]float64{10, 10, 0, 0}, 0},
	} {
		if got := overlap([4]float64{0, 0, 10, 10}, test.b); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestMs(t *testing.T) {
	for d, want := range map[time.Duration]string{7 * time.Millisecond: "7 ms", 840 * time.Millisecond: "840 ms", 1234 * time.Millisecond: "1.23 s"} {
		if got := ms(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
