package infer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"primespark/shared/problem"
)

// A Queue stands in front of a device that does a few things at a time, most
// often one. It is bounded: what finds it full is refused at once, with a word
// about when to come back, unless it is more urgent than one who waits, who is
// refused in its place; and what is past its deadline leaves it without ever
// reaching the device. It has no goroutine of its own and is safe to share.
type Queue struct {
	device string // for messages: "builtin"
	slots  int
	bound  int
	mean   Mean

	mu      sync.Mutex
	running int                        // callers being served
	taken   int                        // slots that they have
	waiting [MaxPriority + 1][]*waiter // each in order of arrival
	// gathering are those who wait for company, see Joint, and are told of whoever comes.
	gathering []chan struct{}
	closed    bool
	idle      chan struct{} // closed once the queue is closed and nothing runs
}

// A waiter is one caller in the queue. Verdict has room for one word: nil for
// "your turn", errTaken for "you were taken along", or why neither will ever come.
type waiter struct {
	ctx     context.Context // of the caller, who stands waiting as long as this is kept
	slots   int             // that it wants
	joint   *Joint          // nil: it is run alone
	member  *Member         // of a joint
	verdict chan error
}

// NewQueue returns a queue in front of device, which does slots things at a
// time while at most bound callers wait. Both are at least 1.
func NewQueue(device string, slots, bound int) *Queue {
	return &Queue{device: device, slots: max(1, slots), bound: max(1, bound), idle: make(chan struct{})}
}

// Do waits for a slot, runs work in it and returns work's error, and how long
// the wait was. Priority 0 comes before 1, and so on to MaxPriority; equals are
// served in order of arrival.
//
// It does not run work, and returns a *problem.Error, if the queue is full or somebody
// more urgent takes the place in a full one (Busy, wrapping ErrBusy), if the deadline
// of ctx passes (Deadline) or if the queue is closed (NotReady, wrapping ErrClosed). If ctx is cancelled, that is its cause.
func (q *Queue) Do(ctx context.Context, priority int, work func() error) (waited time.Duration, err error) {
	return q.do(ctx, priority, 1, work)
}

// DoAlone is Do for work that takes all slots, so that nothing else runs beside it. Those
// who come after it wait for it, even if there is a slot for them.
func (q *Queue) DoAlone(ctx context.Context, priority int, work func() error) (waited time.Duration, err error) {
	return q.do(ctx, priority, q.slots, work)
}

func (q *Queue) do(ctx context.Context, priority, slots int, work func() error) (waited time.Duration, err error) {
	start := time.Now()
	if err := q.enter(ctx, priority, &waiter{ctx: ctx, slots: slots}); err != nil {
		return time.Since(start), err
	}
	begin := time.Now()
	defer q.leave(slots) // also if work panics: the device is free again
	err = work()
	q.note(begin, 1, err)
	return begin.Sub(start), err
}

// note takes work for so many callers into the mean, unless it failed.
func (q *Queue) note(begin time.Time, callers int, err error) {
	if err == nil {
		q.mean.Add(time.Since(begin) / time.Duration(callers))
	}
}

// Refusal tells whether Do would be refused at once, and why, so that a caller can
// ask before it prepares something costly. It promises nothing about later.
func (q *Queue) Refusal(priority int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refusal(); q.closed || q.lesser(priority) == nil {
		return err
	}
	return nil
}

// Load is how many callers are being served and how many wait.
func (q *Queue) Load() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, q.length()
}

// Mean is the moving mean of what one piece of work takes, 0 before the first.
// Work that fails does not count.
func (q *Queue) Mean() time.Duration { return q.mean.Value() }

// Close refuses all who wait or come later, and returns when nothing runs any
// more. A second Close only waits.
func (q *Queue) Close() error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		for p := range q.waiting {
			for _, w := range q.waiting[p] {
				w.verdict <- q.refusal()
			}
			q.waiting[p] = nil
		}
		if q.running == 0 {
			close(q.idle)
		}
	}
	q.mu.Unlock()
	<-q.idle
	return nil
}

// enter returns nil once the caller has its slots, and errTaken if another one has taken
// it along.
func (q *Queue) enter(ctx context.Context, priority int, w *waiter) error {
	if overdue(ctx, time.Now()) {
		return q.ended(ctx)
	}
	q.mu.Lock()
	if q.fits(w.slots) && q.length() == 0 && !q.closed {
		q.serve(w.slots)
		q.mu.Unlock()
		return nil
	}
	if err := q.refusal(); err != nil {
		least := q.lesser(priority)
		if q.closed || least == nil {
			q.mu.Unlock()
			return err
		}
		q.drop(least)
		least.verdict <- err
	}
	w.verdict = make(chan error, 1)
	p := min(max(priority, 0), MaxPriority)
	q.waiting[p] = append(q.waiting[p], w)
	for _, c := range q.gathering {
		select {
		case c <- struct{}{}:
		default: // it has yet to look
		}
	}
	q.mu.Unlock()

	select {
	case err := <-w.verdict:
		if err != nil && overdue(ctx, time.Now()) {
			return q.ended(ctx)
		}
		return err
	case <-ctx.Done():
		q.forget(w)
		return q.ended(ctx)
	}
}

// forget takes w out of the queue, and lets those behind it on. If its turn came at the
// same moment, the slots go to the next ones.
func (q *Queue) forget(w *waiter) {
	q.mu.Lock()
	if q.drop(w) {
		q.next()
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	if <-w.verdict == nil {
		q.leave(w.slots)
	}
}

// drop takes w out of the line, and reports whether it stood there. It wants the lock.
func (q *Queue) drop(w *waiter) bool {
	for p := range q.waiting {
		if i := slices.Index(q.waiting[p], w); i >= 0 {
			q.waiting[p] = slices.Delete(q.waiting[p], i, i+1)
			return true
		}
	}
	return false
}

// leave gives slots back.
func (q *Queue) leave(slots int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.taken -= slots
	if q.closed && q.running == 0 {
		close(q.idle)
		return
	}
	q.next()
}

// next hands free slots to the first in the queue who still want them, for as long as
// there are enough for the very first. It wants the lock, as do fits and serve.
func (q *Queue) next() {
	if q.closed {
		return
	}
	now := time.Now()
	for p := range q.waiting {
		for len(q.waiting[p]) > 0 {
			w := q.waiting[p][0]
			late := overdue(w.ctx, now)
			if !late && !q.fits(w.slots) {
				return
			}
			q.waiting[p] = slices.Delete(q.waiting[p], 0, 1)
			if late {
				w.verdict <- errOverdue
				continue
			}
			q.serve(w.slots)
			w.verdict <- nil
		}
	}
}

// lesser returns who makes way, if need be, for somebody of a priority: of the least
// urgent who wait, the last to come; nil if nobody is less urgent. It wants the lock.
func (q *Queue) lesser(priority int) *waiter {
	for p := MaxPriority; p > max(priority, 0); p-- {
		if n := len(q.waiting[p]); n > 0 {
			return q.waiting[p][n-1]
		}
	}
	return nil
}

func (q *Queue) fits(slots int) bool { return q.taken+slots <= q.slots }

func (q *Queue) serve(slots int) {
	q.running++
	q.taken += slots
}

// errOverdue is the verdict for a waiter whose context has ended; enter tells
// the caller in better words.
var errOverdue = errors.New("past its deadline")

// overdue reports whether ctx has ended, even if its timer has yet to fire.
func overdue(ctx context.Context, now time.Time) bool {
	if ctx.Err() != nil {
		return true
	}
	deadline, ok := ctx.Deadline()
	return ok && !now.Before(deadline)
}

func (q *Queue) length() (n int) {
	for _, w := range q.waiting {
		n += len(w)
	}
	return n
}

// refusal says why no one more can be taken, or nil. It wants the lock.
func (q *Queue) refusal() error {
	if q.closed {
		return &problem.Error{
			Code:   problem.NotReady,
			Detail: "The engine " + q.device + " is shutting down.",
			Remedy: "Send the request to another node.",
			Err:    ErrClosed,
		}
	}
	n := q.length()
	if n == 0 && q.taken < q.slots || n < q.bound {
		return nil
	}
	return &problem.Error{
		Code:       problem.Busy,
		Detail:     "The queue of " + q.device + " is full.",
		Remedy:     "Try again after the time in Retry-After, or send the request to another node.",
		Err:        ErrBusy,
		RetryAfter: q.clears(n),
	}
}

// clears estimates when a queue of n waiters has moved on, between 100 ms and
// 30 s.
func (q *Queue) clears(n int) time.Duration {
	rounds := (n + q.running + q.slots - 1) / q.slots
	return min(max(time.Duration(rounds)*q.mean.Value(), 100*time.Millisecond), 30*time.Second)
}

// ended is the error of a caller whose context has ended.
func (q *Queue) ended(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &problem.Error{
		Code:   problem.Deadline,
		Detail: "The deadline passed before " + q.device + " had its turn for the request.",
		Remedy: "Allow more time in X-Deadline-Ms, or send the request to another node.",
		Err:    context.DeadlineExceeded,
	}
}
