package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// IsMonotonic promises that there are no gaps, and asks raft to make none.
func (s *store) IsMonotonic() bool { return true }

// FirstIndex is the index of the oldest entry; 0 without entries.
func (s *store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, nil
}

// LastIndex is the index of the newest entry; 0 without entries.
func (s *store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// edges are the indexes of the oldest and the newest entry in bbolt.
func (s *store) edges() (first, last uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLogs).Cursor()
		if k, _ := c.First(); k != nil {
			first = binary.BigEndian.Uint64(k)
		}
		if k, _ := c.Last(); k != nil {
			last = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return first, last, err
}

// GetLog reads one entry. The error is raft.ErrLogNotFound, or ErrCorrupt.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	s.mu.RLock()
	record := s.recent.log(index)
	s.mu.RUnlock()
	key := logKey(index)
	if record != nil {
		return s.decode(index, key, record, l)
	}
	return s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLogs).Get(key)
		if value == nil {
			return raft.ErrLogNotFound
		}
		return s.decode(index, key, value, l)
	})
}

func (s *store) decode(index uint64, key, value []byte, l *raft.Log) error {
	if err := decodeLog(key, value, l); err != nil {
		return corrupt(s.path, fmt.Sprintf("log entry %d", index), err)
	}
	return nil
}

// errNotFound is what raft expects of a missing value, down to its text.
var errNotFound = errors.New("not found")

// Set stores one of raft's values.
func (s *store) Set(key, value []byte) error {
	key = append([]byte(nil), key...)
	return s.store(change{key: key, record: seal(key, append(make([]byte, 4), value...))})
}

// Get reads one of raft's values; the error's text is "not found" without it.
func (s *store) Get(key []byte) (value []byte, err error) {
	s.mu.RLock()
	sealed := s.recent.values[string(key)]
	s.mu.RUnlock()
	if sealed != nil {
		return append([]byte(nil), sealed[4:]...), nil // checked when it was stored, or read
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		sealed := tx.Bucket(bucketStable).Get(key)
		if sealed == nil {
			return errNotFound
		}
		if err := unseal(key, sealed); err != nil {
			return corrupt(s.path, fmt.Sprintf("value %q", key), err)
		}
		value = append([]byte(nil), sealed[4:]...)
		return nil
	})
	return value, err
}

// SetUint64 stores one of raft's numbers.
func (s *store) SetUint64(key []byte, n uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 reads one of raft's numbers; 0 and "not found" without it.
func (s *store) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, corrupt(s.path, fmt.Sprintf("value %q", key), fmt.Errorf("%d bytes, want 8", len(b)))
	}
	return binary.BigEndian.Uint64(b), nil
}
