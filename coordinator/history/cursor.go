package history

import (
	"encoding/binary"
	"fmt"
	"regexp"

	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
)

// Last returns the number of the newest row, and a channel that closes when there
// is a newer one.
func (s *Store) Last() (n uint64, changed <-chan struct{}) { return s.last.Load() }

// First returns the number of the oldest row that After still has; 0 if there
// never was one. A cursor that is before it has missed rows: they were older than
// Config.Raw, or had to make room.
func (s *Store) First() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first
}

// After returns rows that come after number n in the log, oldest first, at most
// so many; none if n is the newest. It is how to read all rows once, in order:
//
//	for n, _ := s.Cursor("sink"); ; {
//		last, changed := s.Last()
//		if n >= last { wait for changed; continue }
//		rows, err := s.After(n, 1000)
//		... // keep them, then:
//		n = rows[len(rows)-1].N
//		err = s.SetCursor("sink", n)
//	}
//
// Rows of one stream come in the order in which they arrived, which is that of
// their sequence save when a node catches up on what it could not send.
func (s *Store) After(n uint64, most int) (rows []Row, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return s.eachRow(tx, n, func(r Row) bool {
			if len(rows) > 0 && r.N != rows[len(rows)-1].N+1 {
				return false // a damaged block lies between: numbers count from the first row on
			}
			rows = append(rows, r)
			return len(rows) < most
		})
	})
	return rows, err
}

// eachRow gives the rows of the log after n until give returns false. A block that is
// damaged is left out.
func (s *Store) eachRow(tx *bbolt.Tx, n uint64, give func(Row) bool) error {
	c := tx.Bucket([]byte(bucketLog)).Cursor()
	k, v := c.Seek(number(n + 1))
	if k == nil || binary.BigEndian.Uint64(k) > n+1 { // it may lie in the block before
		if k == nil {
			k, v = c.Last()
		} else if before, value := c.Prev(); before != nil {
			k, v = before, value
		} else {
			k, v = c.First()
		}
	}
	going := true
	for ; k != nil && going; k, v = c.Next() {
		body, err := boltfile.Unseal(k, v)
		if err != nil || len(body) < 8 {
			s.leaveOut(bucketLog, k, errBlock)
			continue
		}
		err = readRows(body[8:], binary.BigEndian.Uint64(k), func(r Row) bool {
			if r.N > n {
				going = give(r)
			}
			return going
		})
		if err != nil {
			s.leaveOut(bucketLog, k, err)
		}
	}
	return nil
}

var cursorName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Cursor returns the number that SetCursor was last given for a name; 0 if none.
func (s *Store) Cursor(name string) (n uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		n = getNumber(tx.Bucket([]byte(bucketMeta)), []byte("cursor/"+name))
		return nil
	})
	return n, err
}

// SetCursor keeps a number by a name of a-z, 0-9 and hyphen, durably. Each call
// is a transaction: call it once for many rows.
func (s *Store) SetCursor(name string, n uint64) error {
	if !cursorName.MatchString(name) {
		return fmt.Errorf("history cursor %q: no name", name)
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return putNumber(tx.Bucket([]byte(bucketMeta)), []byte("cursor/"+name), n)
	})
	if err != nil {
		return fmt.Errorf("keep the history cursor %s: %w", name, err)
	}
	return nil
}

// A Page is part of a log, for another coordinator.
type Page struct {
	ID          string // of the log
	First, Last uint64 // number of the first row in it, and of the newest there is
	Rows        []Row
}

// EncodeRows writes rows as they travel between coordinators.
func EncodeRows(rows []Row) []byte { return appendRows(nil, rows) }

// DecodeRows reads rows, the first of which has number n. What it takes was
// checked as samples are; the names of nodes are the caller's to check.
func DecodeRows(b []byte, n uint64) (rows []Row, err error) {
	err = readRows(b, n, func(r Row) bool {
		rows = append(rows, r)
		return true
	})
	return rows, err
}
