// Package runtest runs parts for as long as a test.
package runtest

import (
	"context"
	"testing"

	"primespark/shared/run"
)

// Start runs parts until the test ends, which fails if one of them does.
func Start(t testing.TB, parts ...run.Part) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run.All(ctx, parts...) }() // waited for below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
