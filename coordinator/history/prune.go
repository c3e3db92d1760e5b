package history

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// tidy puts what came in order and drops what is too old, or too much.
func (s *Store) tidy(now time.Time) {
	if err := s.seal(); err != nil {
		s.cfg.Log.Warn("history not put in order, trying on", "err", err, "remedy", "see that the disk has room and is writable")
		return
	}
	if err := s.prune(now); err != nil {
		s.cfg.Log.Warn("old history not dropped, trying on", "err", err, "remedy", "see that the disk is writable")
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
		if err := dropBefore(tx, bucketChunks, raw.UnixNano()); err != nil {
			return err
		}
		return dropBefore(tx, bucketMinutes, minutes.Unix()/3600)
	})
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

// dropBefore drops the records of a bucket whose number is below n.
func dropBefore(tx *bbolt.Tx, bucket string, n int64) error {
	b := tx.Bucket([]byte(bucket))
	var old [][]byte
	err := b.ForEach(func(k, _ []byte) error {
		_, _, rest, err := names(k)
		if err != nil || len(rest) < 8 {
			return errKey
		}
		if int64(binary.BigEndian.Uint64(rest)) < n {
			old = append(old, append([]byte(nil), k...))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range old {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
