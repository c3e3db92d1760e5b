//go:build !linux

package run

import "context"

// Wake waits until ctx ends: Go's own timers do.
func Wake(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
