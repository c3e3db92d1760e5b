package sinks

import (
	"context"
	"fmt"
	"log/slog"
)

// A Follower moves the cursor of a coordinator that does not feed the sink.
type Follower struct {
	Name    string
	Source  Source
	Leading func() bool
	// Heard returns up to where in the log of this coordinator the sink has everything,
	// as the leader said last, and a channel that closes at the next change.
	Heard func() (n uint64, changed <-chan struct{})
	Log   *slog.Logger
}

func (f *Follower) String() string { return f.Name + " sink's follower" }

// Run moves the cursor until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	for {
		n, changed := f.Heard()
		if !f.Leading() {
			if err := f.move(n); err != nil {
				f.Log.Warn("cursor not moved; rows are sent again if this coordinator leads", "sink", f.Name, "err", err)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// move moves the cursor, which never goes back.
func (f *Follower) move(to uint64) error {
	at, err := f.Source.Cursor(cursorOf(f.Name))
	if err == nil && to > at {
		err = f.Source.SetCursor(cursorOf(f.Name), to)
	}
	if err != nil {
		return fmt.Errorf("move the cursor of the sink %s: %w", f.Name, err)
	}
	return nil
}
