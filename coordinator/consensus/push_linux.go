package consensus

import (
	"os"

	"golang.org/x/sys/unix"
)

// push brings a part of a file to the disk, without what the file system writes
// about it: fsync(2) would have others wait for that, and comes at the end
// (sync_file_range(2)).
func push(f *os.File, from, size int64) error {
	return unix.SyncFileRange(int(f.Fd()), from, size, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}
