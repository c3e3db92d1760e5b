package hailo

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"primespark/shared/worker/frame"
)

func TestLate(t *testing.T) {
	asked := frame.Failure{Type: frame.Device, Call: "hailo_identify"}
	in, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if got := Explain(late(in, fmt.Errorf("device request: %w", in.Err()), asked).(*frame.Failure), "", Facts{}); got.Code != InferTimeout || got.Remedy == "" {
		t.Errorf("a call that does not come back is %+v", got)
	}
	other := errors.New("another")
	if err := late(in, other, asked); !errors.Is(err, other) {
		t.Errorf("another error became %v", err)
	}
	if err := late(t.Context(), context.DeadlineExceeded, asked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("somebody else's deadline became %v", err)
	}
}
