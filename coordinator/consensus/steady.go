package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// steady has snapshots go to the disk while they are written. Left to the end,
// tens of MiB go at once, and each write to the log waits for them.
type steady struct {
	raft.SnapshotStore
	dir string // of the snapshots' own
}

// stride is how much of a snapshot is left to the kernel to write when it likes: what
// a slow card takes some 15 ms for.
const stride = 256 << 10

// Create opens a snapshot to be written.
func (s steady) Create(version raft.SnapshotVersion, index, term uint64, all raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, all, at, t)
	if err != nil {
		return nil, err
	}
	// Where raft keeps what it writes (its FileSnapshotStore).
	path := filepath.Join(s.dir, "snapshots", sink.ID()+".tmp", "state.bin")
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the snapshot that is written: %w", err), sink.Cancel())
	}
	return &steadySink{SnapshotSink: sink, file: file}, nil
}

// A steadySink is a snapshot that is being written.
type steadySink struct {
	raft.SnapshotSink
	file   *os.File // the same one; nil once it is closed
	size   int64
	pushed int64 // bytes that are on the disk
}

func (s *steadySink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	s.size += int64(n)
	if err == nil && s.size-s.pushed >= stride {
		if err = push(s.file, s.pushed, s.size-s.pushed); err != nil {
			return n, fmt.Errorf("write the snapshot to the disk: %w", err)
		}
		s.pushed = s.size
	}
	return n, err
}

// Close finishes the snapshot; it is on the disk then. Raft may call it again.
func (s *steadySink) Close() error { return errors.Join(s.release(), s.SnapshotSink.Close()) }

// Cancel gives it up.
func (s *steadySink) Cancel() error { return errors.Join(s.release(), s.SnapshotSink.Cancel()) }

// release closes the second file, once.
func (s *steadySink) release() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}
