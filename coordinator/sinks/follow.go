package sinks

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// margin is how much longer than the leader's word a row must have been here to
// count as delivered: in that time it has got to the leader, too. After a change of
// the leader so much is sent again, and told apart by who gets it.
const margin = 10 * time.Minute

// A Follower moves the cursor of a coordinator that does not feed the sink.
type Follower struct {
	Name    string
	Source  Source
	Leading func() bool
	// Heard returns how often the leader has said that the sink has everything, as a
	// number that changes each time, and a channel that closes at the next change.
	Heard func() (times uint64, changed <-chan struct{})
	Log   *slog.Logger
}

func (f *Follower) String() string { return f.Name + " sink's follower" }

// A mark is how far the history was at a time.
type mark struct {
	at time.Time
	n  uint64
}

// Run moves the cursor until ctx ends. What was said before it began tells nothing
// about the rows that are here now.
func (f *Follower) Run(ctx context.Context) error {
	heard, _ := f.Heard()
	var marks []mark // one a minute, oldest first
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		times, changed := f.Heard()
		if times != heard && !f.Leading() {
			heard = times
			var err error
			if marks, err = f.move(marks); err != nil {
				f.Log.Warn("cursor not moved; rows are sent again if this coordinator leads", "sink", f.Name, "err", err)
			}
		}
		select {
		case <-tick.C:
			n, _ := f.Source.Last()
			marks = append(marks, mark{time.Now(), n})
			if len(marks) > 2*int(margin/time.Minute) {
				marks = marks[1:]
			}
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// move sets the cursor to the newest mark that is old enough, and returns the
// marks that are left.
func (f *Follower) move(marks []mark) ([]mark, error) {
	last := -1
	for i, m := range marks {
		if time.Since(m.at) >= margin {
			last = i
		}
	}
	if last < 0 {
		return marks, nil
	}
	to := marks[last].n
	at, err := f.Source.Cursor(cursorOf(f.Name))
	if err == nil && to > at {
		err = f.Source.SetCursor(cursorOf(f.Name), to)
	}
	if err != nil {
		return marks, fmt.Errorf("move the cursor of the sink %s: %w", f.Name, err)
	}
	return marks[last+1:], nil
}
