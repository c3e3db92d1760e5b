//go:build !sabotage_nosync

package sabotage

// NoSync tells that the raft log is not flushed to the disk.
const NoSync = false
