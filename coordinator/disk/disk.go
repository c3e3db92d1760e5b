// Package disk watches the disk that a coordinator's promises lie on: how long it
// takes to make a write last, whether it answers at all, and how much room is
// left. It decides what that means and says so; what a coordinator does about
// it is up to Act.
//
// Nothing here looks at the time of day, and a process that stood still itself
// does not take that for a disk that hangs.
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// A Disk is what is watched. Its methods may hang for as long as the disk does.
type Disk interface {
	// Sync writes a little, and returns once it would survive a power cut.
	Sync() error
	// Space is the room for this process and the size of the whole, in bytes.
	Space() (free, size uint64, err error)
}

// probeFile is written to over and over again, and holds nothing.
const probeFile = "disk.probe"

// block is how much is written: what the log's smallest write is made of.
var block = make([]byte, 4096)

// A Dir is the disk under a directory. Its probe stays in place and keeps its
// size, so that a probe costs flash memory one block and no journal.
type Dir struct {
	path string

	mu     sync.Mutex
	file   *os.File
	closed bool
}

// At returns the disk under the directory path, which has to exist when the disk
// is used.
func At(path string) *Dir { return &Dir{path: path} }

// Sync overwrites the probe and has the disk flush it.
func (d *Dir) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	if d.file == nil {
		f, err := os.OpenFile(filepath.Join(d.path, probeFile), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("open the disk's probe: %w", err)
		}
		d.file = f
	}
	if _, err := d.file.WriteAt(block, 0); err != nil {
		return fmt.Errorf("write the disk's probe: %w", err)
	}
	// As the log does: the time stamps need not last.
	if err := unix.Fdatasync(int(d.file.Fd())); err != nil {
		return fmt.Errorf("flush the disk's probe: %w", err)
	}
	return nil
}

// Space asks the file system.
func (d *Dir) Space() (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the room in %s: %w", d.path, err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

// Close gives the probe back. A Sync that hangs keeps it.
func (d *Dir) Close() error {
	if !d.mu.TryLock() {
		return nil
	}
	defer d.mu.Unlock()
	d.closed = true
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

// noRoom reports whether err says that a disk is full.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
