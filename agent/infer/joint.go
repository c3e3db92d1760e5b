package infer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Joint says how requests of one model are run together: whoever gets its turn takes
// others along that wait in the same queue. None of them goes before a request of
// another kind that is more urgent, and each has its own deadline and may leave
// at any time. It is not changed once it is in use.
type Joint struct {
	// Most is how many inferences a run takes, at most.
	Most int
	// Take is how many of so many inferences that wait a run takes; it is given 1 to Most
	// and returns no more.
	Take func(waiting int) int
	// Enough reports whether so many are worth running at once, without waiting for others.
	Enough func(waiting int) bool
	// Delay is how long the first waits for others while nobody else wants the engine.
	Delay time.Duration
	// Begin is called before a run of several, and what it returns after it; nil: nothing.
	Begin func() (end func())
	// Run does all of them. Ctx ends when all have left, or, if there is one alone, with
	// that one's own. It is never called twice at a time, unless the queue has several slots.
	Run func(ctx context.Context, all []*Member) error
}

// A Member is one request in a run.
type Member struct {
	Rows int // inferences that it is
	Item any // for Run

	done chan error // has room for the one word of how it ended

	mu   sync.Mutex
	left bool
	gone func() // told when it leaves; nil before the run
}

// Stay calls f unless the member has left, which it cannot while f runs, and reports
// whether it did. What belongs to the member is touched in f alone.
func (m *Member) Stay(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return false
	}
	f()
	return true
}

func (m *Member) leave() {
	m.mu.Lock()
	m.left = true
	gone := m.gone
	m.gone = nil
	m.mu.Unlock()
	if gone != nil {
		gone()
	}
}

// errTaken is the verdict for a waiter whom another one has taken along.
var errTaken = errors.New("taken along")

// DoJoint is Do for a request that may be run together with others of the same joint.
// What Item refers to is the caller's own again when it returns.
func (q *Queue) DoJoint(ctx context.Context, priority int, j *Joint, rows int, item any) (waited time.Duration, err error) {
	start := time.Now()
	m := &Member{Rows: rows, Item: item, done: make(chan error, 1)}
	defer m.leave()
	switch err := q.enter(ctx, priority, &waiter{ctx: ctx, slots: 1, joint: j, member: m}); {
	case errors.Is(err, errTaken):
		return q.ride(ctx, m, start)
	case err != nil:
		return time.Since(start), err
	}
	all := q.gather(ctx, j, m)
	waited = time.Since(start)
	if len(all) == 1 {
		defer q.leave(1)
		err := j.Run(ctx, all)
		q.note(start.Add(waited), 1, err)
		return waited, err
	}
	if j.Begin != nil {
		end := j.Begin()
		go q.together(ctx, j, all, end) // Close waits for it, by its slot
	} else {
		go q.together(ctx, j, all, func() {})
	}
	_, err = q.ride(ctx, m, start)
	return waited, err
}

// ride waits for a run that m has a part in. Waited is until its end, for who was taken
// along knows no better.
func (q *Queue) ride(ctx context.Context, m *Member, start time.Time) (waited time.Duration, err error) {
	select {
	case err := <-m.done:
		return time.Since(start), err
	case <-ctx.Done():
		return time.Since(start), q.ended(ctx)
	}
}

// together does a run of several and gives the slot back.
func (q *Queue) together(first context.Context, j *Joint, all []*Member, end func()) {
	defer q.leave(1)
	defer end()
	ctx, cancel := context.WithCancel(context.WithoutCancel(first))
	defer cancel()
	var mu sync.Mutex
	there := len(all)
	gone := func() {
		mu.Lock()
		defer mu.Unlock()
		if there--; there == 0 {
			cancel()
		}
	}
	for _, m := range all {
		if !m.Stay(func() { m.gone = gone }) {
			gone()
		}
	}
	begin := time.Now()
	err := guarded(func() error { return j.Run(ctx, all) })
	q.note(begin, len(all), err)
	for _, m := range all {
		m.done <- err
	}
}

// guarded makes an error of a panic: nobody stands above a run of several to catch it.
func guarded(f func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: panic: %v", ErrBroken, fault)
		}
	}()
	return f()
}

// gather returns the members of the run that m begins, itself first. It has a slot.
func (q *Queue) gather(ctx context.Context, j *Joint, m *Member) []*Member {
	news := make(chan struct{}, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	until := hurried(ctx, time.Now(), time.Now().Add(j.Delay))
	for {
		rows, others, strangers := q.company(j, m.Rows)
		for _, w := range others {
			until = hurried(w.ctx, time.Now(), until)
		}
		left := time.Until(until)
		if strangers || q.closed || left <= 0 || ctx.Err() != nil || j.Enough(rows) {
			return q.takeAlong(j, m, rows, others)
		}
		q.gathering = append(q.gathering, news)
		q.mu.Unlock()
		t := time.NewTimer(left)
		select {
		case <-news:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		q.mu.Lock()
		q.gathering = without(q.gathering, news)
	}
}

func without(all []chan struct{}, one chan struct{}) []chan struct{} {
	kept := all[:0]
	for _, c := range all {
		if c != one {
			kept = append(kept, c)
		}
	}
	return kept
}

// hurried is until, or earlier for a request with little time: half of what it has left
// is for the engine.
func hurried(ctx context.Context, now, until time.Time) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		if half := now.Add(deadline.Sub(now) / 2); half.Before(until) {
			return half
		}
	}
	return until
}

// company lists those who may come along with rows inferences, in order, how many
// inferences that makes, and whether others wait for the engine. It wants the lock.
func (q *Queue) company(j *Joint, rows int) (total int, others []*waiter, strangers bool) {
	now := time.Now()
	for p := range q.waiting {
		for _, w := range q.waiting[p] {
			switch {
			case overdue(w.ctx, now): // it leaves by itself
			case w.joint != j:
				strangers = true
			case rows+w.member.Rows <= j.Most:
				rows += w.member.Rows
				others = append(others, w)
			}
		}
		if strangers { // what is less urgent than one of them comes after it
			break
		}
	}
	return rows, others, strangers
}

// takeAlong takes the first of others out of the queue, as many as the joint wants. It
// wants the lock.
func (q *Queue) takeAlong(j *Joint, m *Member, rows int, others []*waiter) []*Member {
	all, taken, most := []*Member{m}, m.Rows, max(m.Rows, j.Take(rows))
	for _, w := range others {
		if taken+w.member.Rows > most {
			break
		}
		taken += w.member.Rows
		q.drop(w)
		w.verdict <- errTaken
		all = append(all, w.member)
	}
	return all
}
