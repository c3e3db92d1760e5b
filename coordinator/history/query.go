package history

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
	"primespark/shared/telemetry"
)

// A Query asks for what was measured from one time up to, and not including,
// another.
type Query struct {
	Node     string
	Stream   telemetry.Stream // empty: all of the node
	From, To time.Time
	Limit    int // at most so many, the oldest
}

// A Minute sums one field of a stream up, over a minute or longer.
type Minute struct {
	Stream         telemetry.Stream
	At             time.Time // when it begins
	Field          string    // empty if the value is one number
	Unit           string    // of that number
	Min, Mean, Max float64
	Count          uint64
	Unsynced       uint64 // of Count, by a clock that was not set
}

// Rows returns the rows that a query asks for, by stream and time; more tells
// that there are others beyond the limit.
func (s *Store) Rows(ctx context.Context, q Query) (rows []Row, more bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		wanted := func(r Row) bool { return !r.At.Before(q.From) && r.At.Before(q.To) }
		byStream := map[telemetry.Stream][]Row{}
		err := s.each(ctx, q, tx, bucketChunks, func(stream telemetry.Stream, at int64, key, body []byte) error {
			if time.Unix(0, at).Add(time.Hour).Before(q.From) || !time.Unix(0, at).Before(q.To) {
				return nil
			}
			b, err := inflate(body)
			if err != nil {
				return err
			}
			return readRows(b, 0, func(r Row) bool {
				if wanted(r) {
					byStream[stream] = append(byStream[stream], r)
				}
				return true
			})
		})
		if err != nil {
			return err
		}
		err = s.eachRow(tx, getNumber(tx.Bucket([]byte(bucketMeta)), keySealed), func(r Row) bool {
			if r.Node == q.Node && (q.Stream == "" || q.Stream == r.Stream) && wanted(r) {
				byStream[r.Stream] = append(byStream[r.Stream], r)
			}
			return true
		})
		for _, stream := range slices.Sorted(maps.Keys(byStream)) {
			all := byStream[stream]
			slices.SortStableFunc(all, Row.compare)
			rows = append(rows, all...)
		}
		return err
	})
	for i := range rows {
		rows[i].N = 0 // the order is another one here
	}
	if more = len(rows) > q.Limit; more {
		rows = rows[:q.Limit]
	}
	return rows, more, err
}

// Minutes returns what the samples that a query asks for come to, for each field
// and each stretch of so many minutes, by stream, field and time. A stretch that
// begins before From counts whole. It gives up when ctx ends: a month of a busy node
// is some hundred thousand minutes.
func (s *Store) Minutes(ctx context.Context, q Query, step time.Duration) (all []Minute, more bool, err error) {
	step = max(time.Minute, step.Truncate(time.Minute))
	from := q.From.Truncate(step)
	sums := sums{}
	add := func(stream telemetry.Stream, at time.Time, field, unit string, f figure) {
		if !at.Before(from) && at.Before(q.To) {
			sums.add(curveKey{stream, field, unit}, at.Truncate(step).Unix(), f)
		}
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		err := s.each(ctx, q, tx, bucketMinutes, func(stream telemetry.Stream, hour int64, _, body []byte) error {
			begin := time.Unix(hour*3600, 0)
			if begin.Add(time.Hour).Before(from) || !begin.Before(q.To) {
				return nil
			}
			return eachMinute(body, func(c cell, f figure) {
				add(stream, begin.Add(time.Duration(c.minute)*time.Minute), c.field, c.unit, f)
			})
		})
		if err != nil {
			return err
		}
		return s.eachRow(tx, getNumber(tx.Bucket([]byte(bucketMeta)), keySealed), func(r Row) bool {
			if r.Node != q.Node || q.Stream != "" && q.Stream != r.Stream || r.Gap != nil {
				return true
			}
			at := r.At.Truncate(time.Minute)
			if r.Value.All() == nil {
				add(r.Stream, at, "", r.Value.Unit(), r.figure(r.Value.Number()))
			}
			for field, x := range r.Value.All() {
				add(r.Stream, at, field, "", r.figure(x))
			}
			return true
		})
	})
	if err != nil {
		return nil, false, err
	}
	all, more = sums.minutes(q.Limit)
	return all, more, nil
}

// each gives the records of a bucket that a query may ask for, with the number
// after their stream's name. One that is damaged is left out.
func (s *Store) each(ctx context.Context, q Query, tx *bbolt.Tx, bucket string, give func(stream telemetry.Stream, n int64, key, body []byte) error) error {
	begin := append([]byte(q.Node), 0)
	if q.Stream != "" {
		begin = prefix(q.Node, q.Stream)
	}
	c := tx.Bucket([]byte(bucket)).Cursor()
	for k, v := c.Seek(begin); k != nil && bytes.HasPrefix(k, begin); k, v = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, stream, rest, err := names(k)
		if err != nil || len(rest) < 8 {
			return errKey
		}
		body, err := boltfile.Unseal(k, v)
		if err == nil {
			err = give(stream, int64(binary.BigEndian.Uint64(rest)), k, body)
		}
		if err != nil {
			s.leaveOut(bucket, k, err)
		}
	}
	return nil
}
