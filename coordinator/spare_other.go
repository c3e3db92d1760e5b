//go:build !linux

package coordinator

import "runtime/debug"

// spare gives memory back that the garbage collector keeps in stock.
func spare() error {
	debug.FreeOSMemory()
	return nil
}
