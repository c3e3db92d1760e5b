//go:build !linux

package consensus

import "os"

// push leaves it to the end, where the snapshot is flushed.
func push(*os.File, int64, int64) error { return nil }
