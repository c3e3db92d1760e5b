package figures

import (
	"os"
	"testing"
	"time"

	"primespark/shared/rig"
)

func TestSpread(t *testing.T) {
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := spread(all), (Spread{51, 100, 100, 100}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := spread(nil); got != (Spread{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestMemoryWithoutAProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	if n, err := memory([]*rig.Node{{Name: "pi-1"}}); err == nil {
		t.Errorf("a node that does not run takes %d bytes", n)
	}
}
