package models

import (
	"context"
	"errors"
	"slices"
	"time"

	"primespark/shared/problem"
	"primespark/shared/run"
)

// How long a model waits that was too slow to prove itself, at first and at most.
const (
	firstRetry = 10 * time.Second
	lastRetry  = 5 * time.Minute
)

// retry tries models again that were merely too slow to prove themselves: a host that
// boots has much to do besides, and nobody may be there to load them by hand.
func (r *Registry) retry(ctx context.Context, slow []string) {
	for wait := firstRetry; len(slow) > 0 && run.Sleep(ctx, run.Jitter(wait)); wait = min(2*wait, lastRetry) {
		slow = slices.DeleteFunc(slow, func(name string) bool {
			return r.Ready(name, "") || !late(r.loadOnce(ctx, name))
		})
	}
}

// late reports whether a model was refused for the time that it took.
func late(err error) bool {
	return problem.Is(err, problem.Deadline) || errors.Is(err, context.DeadlineExceeded)
}
