package power

import (
	"errors"
	"time"
)

// errHangs is what somebody has not done in time, and may be at still.
var errHangs = errors.New("it hangs")

// An aside is what may hang: a disk, a bus of messages. It is done beside the loop, which
// waits for a while and goes on, so that no card that has died keeps the node up until
// its cells have, too. The zero value is ready; it belongs to one goroutine.
type aside struct {
	busy chan error // of what has not come back; nil if all has
}

// do does something, and waits for so long at most. While the last one hangs nothing
// more is begun.
func (a *aside) do(most time.Duration, f func() error) error {
	if a.busy != nil {
		select {
		case <-a.busy: // it was told of already
			a.busy = nil
		default:
			return errHangs
		}
	}
	done := make(chan error, 1)
	go func() { done <- f() }() // ends with what hangs
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		a.busy = done
		return errHangs
	}
}
