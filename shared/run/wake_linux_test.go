package run

import (
	"context"
	"testing"
	"time"
)

// TestWake is woken some times, and ends with its context.
func TestWake(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n := 0
	err := wake(ctx, time.Millisecond, func() {
		if n++; n == 5 {
			cancel()
		}
	})
	if err != nil || n < 5 {
		t.Errorf("woken %d times: %v", n, err)
	}
}
