package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Bounds of what is dropped in one transaction: what comes in the meantime waits for
// as long as that takes.
const (
	dropEntries = 512
	dropBytes   = 1 << 20
)

// DeleteRange drops the entries from first to last, both included. Raft drops
// from one end or the other only. What is dropped from the beginning while later
// entries stay, which is what a snapshot makes superfluous, goes piece by piece, and
// others store theirs in between.
func (s *store) DeleteRange(first, last uint64) error {
	s.mu.RLock()
	whole := first > s.first || last >= s.last
	s.mu.RUnlock()
	if whole {
		_, err := s.deletePiece(first, last, math.MaxInt, math.MaxInt)
		return err
	}
	for over := false; !over; {
		var err error
		if over, err = s.deletePiece(first, last, dropEntries, dropBytes); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) deletePiece(first, last uint64, entries, size int) (over bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	err = s.settle(nil, func(tx *bbolt.Tx) (err error) {
		over, err = drop(tx, first, last, entries, size)
		return err
	})
	return over, err
}

// Close gives the files back, after bbolt has taken all that it has not got: a log
// that was closed is whole without its journal.
func (s *store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	var err error
	if s.journal.f != nil {
		err = s.settle(nil, func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketJournal) })
	}
	err = errors.Join(err, s.journal.close(), s.db.Close())
	s.journal = journal{}
	return err
}

// settle has bbolt take all that it has not got, and changes, and then do what
// else there is, if anything, in one transaction. After that the journal begins
// anew. The caller holds write.
func (s *store) settle(changes []change, then func(*bbolt.Tx) error) error {
	if s.broken != nil {
		return s.broken
	}
	s.mu.RLock()
	old, waiting, taken := s.recent, len(s.queue), s.taken
	s.mu.RUnlock()
	next, err := s.journal.following(filepath.Dir(s.path))
	if err != nil {
		return fmt.Errorf("make %s: %w", journalFile, err)
	}
	err = s.commit(func(tx *bbolt.Tx) error {
		if err := old.put(tx, changes); err != nil {
			return err
		}
		if err := next.enter(tx); err != nil || then == nil {
			return err
		}
		return then(tx)
	})
	if err != nil {
		return s.unsettled(next, err)
	}
	s.journal = next
	first, last, err := s.edges()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What came in the meantime is not in bbolt yet.
	rest := recent{first: s.recent.first + uint64(len(old.logs)), logs: slices.Clone(s.recent.logs[len(old.logs):])}
	s.queue, s.kept = slices.Clone(s.queue[waiting:]), taken
	s.recent, s.first, s.last = rest, first, last
	if n := len(rest.logs); n > 0 {
		if s.last = rest.first + uint64(n) - 1; s.first == 0 {
			s.first = rest.first
		}
	}
	return nil
}

// unsettled leaves all as it was after a commit that failed. Where bbolt shows it all
// the same, nobody can tell what is on the disk: then the store takes nothing any
// more, and who opens it anew reads what is.
func (s *store) unsettled(next journal, err error) error {
	if s.journal.f == nil {
		err = errors.Join(err, next.close())
	}
	m, known, merr := s.mark()
	if merr != nil || known && m.generation == next.generation {
		s.broken = fmt.Errorf("%s: its disk failed in the middle of a commit; start the coordinator again: %w", s.path, err)
		return s.broken
	}
	return err
}

// enter has bbolt know of the journal, if there is one.
func (j journal) enter(tx *bbolt.Tx) error {
	if j.f == nil {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists(bucketJournal)
	if err != nil {
		return err
	}
	return b.Put(keyMark, mark{j.generation, uint32(j.size)}.seal())
}

// following is the journal as it is when bbolt has all that is in j: one that is
// made in dir, if there is none. Where there is no room for it there is still none,
// and bbolt takes each change by itself.
func (j journal) following(dir string) (journal, error) {
	if j.f == nil {
		f, err := j.create(dir, j.size)
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return j, nil
		}
		// A number that no other journal has had: this one could come to lie beside another log.
		return journal{create: j.create, f: f, size: j.size, generation: rand.Uint64() >> 1, clean: true}, err
	}
	j.generation++
	j.clean = j.clean && j.at == 0
	j.number, j.full = 0, false
	return j, nil
}

// put stores what is recent, and changes, in bbolt.
func (r *recent) put(tx *bbolt.Tx, changes []change) error {
	logs, stable := tx.Bucket(bucketLogs), tx.Bucket(bucketStable)
	logs.FillPercent = 0.9 // keys only grow; half-full pages would never fill up
	all := readSum(tx)
	putLog := func(index uint64, record []byte) error {
		if err := logs.Put(logKey(index), record); err != nil {
			return fmt.Errorf("store log entry %d: %w", index, err)
		}
		all.add(record)
		return nil
	}
	for i, record := range r.logs {
		if err := putLog(r.first+uint64(i), record); err != nil {
			return err
		}
	}
	for key, record := range r.values {
		if err := stable.Put([]byte(key), record); err != nil {
			return fmt.Errorf("store value %q: %w", key, err)
		}
	}
	for _, c := range changes {
		var err error
		if c.key == nil {
			err = putLog(c.index, c.record)
		} else if err = stable.Put(c.key, c.record); err != nil {
			err = fmt.Errorf("store value %q: %w", c.key, err)
		}
		if err != nil {
			return err
		}
	}
	return all.write(tx)
}

// drop deletes the entries from first to last, oldest first, at most so many and no
// more once they had so many bytes; over tells that all are gone.
func drop(tx *bbolt.Tx, first, last uint64, entries, size int) (over bool, err error) {
	b := tx.Bucket(bucketLogs)
	all := readSum(tx)
	for c, k := b.Cursor(), logKey(first); ; entries-- {
		var value []byte
		k, value = c.Seek(k)
		over = k == nil || binary.BigEndian.Uint64(k) > last
		if over || entries <= 0 || size <= 0 {
			return over, all.write(tx)
		}
		size -= len(value)
		all.drop(value)
		k = append([]byte(nil), k...) // the database's memory, which Delete may change
		if err := b.Delete(k); err != nil {
			return false, fmt.Errorf("delete log entry %x: %w", k, err)
		}
	}
}
