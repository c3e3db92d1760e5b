package sinks

import (
	"context"
	"maps"
	"time"
)

// A word to those who follow: what it says holds once the sink has all rows of this
// log up to n.
type word struct {
	logs map[string]uint64
	n    uint64
}

// prepare notes what is to be said next, when that is due. All that has been read
// from other logs is in this one before its position counts as read.
func (f *Feed) prepare() {
	if f.next != nil || time.Since(f.told) < sayEvery {
		return
	}
	logs := f.Source.Logs()
	n, _ := f.Source.Last()
	f.next = &word{logs, n}
}

// tell says what was noted as soon as it holds, unless it was said before.
func (f *Feed) tell(ctx context.Context) {
	if f.next == nil || f.cursor < f.next.n {
		return
	}
	logs := f.next.logs
	f.next = nil
	if maps.Equal(logs, f.last) {
		return
	}
	f.told = time.Now()
	if err := f.Say(ctx, logs); err != nil {
		if ctx.Err() == nil {
			f.Log.Debug("the others were not told how far the sink is", "sink", f.Name, "err", err) // soon again
		}
		return
	}
	f.last = logs
}
