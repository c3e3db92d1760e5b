package duties

import (
	"context"
	"errors"
	"sync"
	"time"

	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// Times of one renewal.
const (
	renewTime  = 3 * time.Second        // for one try
	renewAgain = 500 * time.Millisecond // after one that was not answered
)

// errLost means that the lease is over, or has passed to another.
var errLost = errors.New("the lease is lost")

// A hold is a lease as its holder counts it.
type hold struct {
	queue Queue
	task  *wire.Leased

	mu    sync.Mutex
	since time.Time // when the last grant was asked for: it is no older than this
	lasts time.Duration
}

func newHold(q Queue, t *wire.Leased, asked time.Time) *hold {
	return &hold{queue: q, task: t, since: asked, lasts: time.Duration(t.ExpiresIn * float64(time.Second))}
}

// fresh reports whether work may still be begun: the last fifth of the lease
// has not begun.
func (h *hold) fresh() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.since) < h.lasts-(task.LeaseFor-task.StartWithin)
}

// left is how long the lease certainly lasts.
func (h *hold) left() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lasts - time.Since(h.since)
}

// due is how long the next renewal has time.
func (h *hold) due() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(task.RenewEvery, h.lasts/3) - time.Since(h.since)
}

// renew asks once. The error is errLost if it is of no use to ask again.
func (h *hold) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	asked := time.Now()
	lasts, err := h.queue.Renew(ctx, h.task)
	switch {
	case err == nil:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.since, h.lasts = asked, lasts
		return nil
	case final(err):
		return errors.Join(errLost, err)
	}
	return err
}

// keep renews the lease until ctx ends or the lease is lost, which it tells lose.
func (h *hold) keep(ctx context.Context, lose context.CancelCauseFunc) {
	over := time.AfterFunc(h.left(), func() { lose(errLost) })
	defer over.Stop()
	wait := h.due()
	for run.Sleep(ctx, wait) {
		switch err := h.renew(ctx); {
		case err == nil:
			over.Reset(h.left())
			wait = h.due()
		case errors.Is(err, errLost):
			lose(err)
			return
		default:
			wait = renewAgain
		}
	}
}
