package duties

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"primespark/shared/problem"
	"primespark/shared/wire"
)

// A Queue is where tasks come from. Its errors are a *problem.Error where the
// other side said no. Each of its calls may be repeated without harm.
type Queue interface {
	// Lease waits for a task that needs one of the models, or none at all, for at
	// most the time given. No task and no error means that there was none.
	// When ctx ends first, what it may have been given is given back.
	Lease(ctx context.Context, models []string, wait time.Duration) (*wire.Leased, error)
	// Renew returns how long the lease lasts from now on.
	Renew(ctx context.Context, t *wire.Leased) (time.Duration, error)
	// Complete reports a result, however large (task.MaxObject).
	Complete(ctx context.Context, t *wire.Leased, result json.RawMessage) error
	Fail(ctx context.Context, t *wire.Leased, f Failure) error
}

// A Failure is why a task was not done.
type Failure struct {
	Reason    string
	Permanent bool // another attempt would fail the same way
	Release   bool // it is no fault of the task's, and was no attempt at it
}

// errNobody means that there is nobody to ask.
var errNobody = errors.New("no coordinator is in sight")

// final reports whether err is an answer that another try would not change: the
// lease has passed to another, or the task is gone or decided.
func final(err error) bool {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return false
	}
	status := e.Code.Status()
	return status >= 400 && status < 500 && e.Code != problem.Busy
}
