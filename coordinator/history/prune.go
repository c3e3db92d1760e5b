package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// tidy puts what came in order and drops what is too old, or too much: that also
// when the first fails, for it makes room on a disk that is full.
func (s *Store) tidy(now time.Time) {
	s.order()
	if err := s.prune(now); err != nil {
		s.cfg.Log.Warn("old history not dropped, trying on", "err", err, "remedy", "see that the disk is writable")
	}
}

// order puts what came in order.
func (s *Store) order() {
	if err := s.seal(); err != nil {
		s.cfg.Log.Warn("history not put in order, trying on", "err", err, "remedy", "see that the disk has room and is writable")
	}
}

// prune drops what is older than it may be and, as long as the file holds more
// than it may, the oldest of what is left: first rows, then minutes.
func (s *Store) prune(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, m := range s.marks {
		if now.Sub(m.touched) > marksStay {
			s.forget(k)
		}
	}
	raw, minutes := s.cfg.Raw, s.cfg.Minutes
	for range 64 {
		used, err := s.drop(now.Add(-raw), now.Add(-minutes))
		if err != nil {
			return fmt.Errorf("drop old history: %w", err)
		}
		s.metrics.size.Set(float64(used))
		switch {
		case used <= s.cfg.MaxSize:
			s.tellShort(raw, minutes)
			return nil
		case raw > time.Hour:
			raw -= raw / 4
		default:
			minutes -= minutes / 4
			raw -= raw / 4
		}
	}
	return nil
}

// tellShort says it once when the bound on the size keeps less than was wanted.
func (s *Store) tellShort(raw, minutes time.Duration) {
	if raw == s.cfg.Raw || s.short {
		s.short = raw != s.cfg.Raw
		return
	}
	s.short = true
	s.cfg.Log.Warn("the history is at its largest size and keeps less than it should", "rows_for", raw.String(), "minutes_for", minutes.String(),
		"max_size", s.cfg.MaxSize, "remedy", "raise history.max_size on all coordinators")
}

// drop drops rows and minutes from before two times, and returns how many bytes
// are in use.
func (s *Store) drop(raw, minutes time.Time) (used int64, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		log := tx.Bucket([]byte(bucketLog)).Cursor()
		for k, _ := log.First(); k != nil; k, _ = log.First() {
			body := get(tx.Bucket([]byte(bucketLog)), k)
			if len(body) >= 8 && int64(binary.BigEndian.Uint64(body)) >= raw.UnixMilli() || binary.BigEndian.Uint64(k) > s.sealed {
				break
			}
			if err := log.Delete(); err != nil {
				return err
			}
		}
		s.first = max(firstNumber(tx), min(s.first, s.last.Get()+1))
		return nil
	})
	if err == nil {
		err = errors.Join(s.dropBefore(bucketChunks, raw.UnixNano()), s.dropBefore(bucketMinutes, minutes.Unix()/3600))
	}
	if err != nil {
		return 0, err
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		stats := s.db.Stats()
		used = tx.Size() - int64(stats.FreePageN+stats.PendingPageN)*int64(s.db.Info().PageSize)
		return nil
	})
	return used, err
}

// dropMost is how many records one transaction drops: those of a long time are not
// all dropped at once.
const dropMost = 20_000

// dropBefore drops the records of a bucket whose number is below n.
func (s *Store) dropBefore(bucket string, n int64) error {
	for {
		var old [][]byte
		err := s.db.View(func(tx *bbolt.Tx) (err error) {
			old, err = before(tx.Bucket([]byte(bucket)).Cursor(), n)
			return err
		})
		if err != nil || len(old) == 0 {
			return err
		}
		err = s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucket))
			for _, k := range old {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(old) < dropMost {
			return err
		}
	}
}

// before returns keys whose number is below n, at most dropMost. It looks at the
// beginning of each stream alone, and not at what stays.
func before(c *bbolt.Cursor, n int64) (old [][]byte, err error) {
	for k, _ := c.First(); k != nil && len(old) < dropMost; {
		node, stream, rest, err := names(k)
		if err != nil || len(rest) < 8 {
			return nil, errKey
		}
		if int64(binary.BigEndian.Uint64(rest)) < n {
			old = append(old, bytes.Clone(k))
			k, _ = c.Next()
			continue
		}
		next := prefix(node, stream)
		next[len(next)-1] = 1 // no name has it, and none is before it
		k, _ = c.Seek(next)
	}
	return old, nil
}
