package history

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"primespark/shared/telemetry"
)

// streamHour is the rows of a stream within an hour.
type streamHour struct {
	node   string
	stream telemetry.Stream
	hour   int64 // Unix hours
}

// seal puts the rows that came since the last time in order: into chunks by
// stream and time, and into minutes. Each row is counted in its minute once, for
// that and the number up to which it is done are written together.
func (s *Store) seal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last.Get()
	for s.sealed < last {
		upTo := s.sealed
		err := s.db.Update(func(tx *bbolt.Tx) error {
			groups := map[streamHour][]Row{}
			all := true
			err := s.eachRow(tx, s.sealed, func(r Row) bool {
				k := streamHour{r.Node, r.Stream, hours(r.At)}
				groups[k] = append(groups[k], r)
				upTo = r.N
				all = r.N-s.sealed < sealRows
				return all
			})
			if err != nil {
				return err
			}
			if all {
				upTo = last // the newest rows may be in a block that is damaged
			}
			for _, k := range slices.SortedFunc(maps.Keys(groups), streamHour.compare) {
				if err := errors.Join(writeChunk(tx, k, groups[k]), s.addMinutes(tx, k, groups[k])); err != nil {
					return err
				}
			}
			if err := s.writeMarks(tx); err != nil {
				return err
			}
			return putNumber(tx.Bucket([]byte(bucketMeta)), keySealed, upTo)
		})
		if err != nil {
			return fmt.Errorf("put the history in order: %w", err)
		}
		s.sealed = upTo
		clear(s.touched)
	}
	return nil
}

// hours is the hour of a time, rounded down; 1970 is the earliest there is.
func hours(t time.Time) int64 { return t.Unix() / 3600 }

func (k streamHour) compare(other streamHour) int {
	return bytes.Compare(k.bytes(), other.bytes())
}

func (k streamHour) bytes() []byte {
	return binary.BigEndian.AppendUint64(prefix(k.node, k.stream), uint64(k.hour))
}

// writeMarks writes those that were touched.
func (s *Store) writeMarks(tx *bbolt.Tx) error {
	b := tx.Bucket([]byte(bucketMarks))
	for k := range s.touched {
		m := s.marks[k]
		if m == nil {
			if err := b.Delete(k.bytes()); err != nil {
				return err
			}
			continue
		}
		if err := put(b, k.bytes(), m.bytes()); err != nil {
			return err
		}
	}
	return nil
}

// writeChunk writes the rows of one hour of a stream that came together. Its key
// is the time of the first and the number of one of them: another chunk of the
// same hour does not replace it.
func writeChunk(tx *bbolt.Tx, k streamHour, rows []Row) error {
	slices.SortStableFunc(rows, Row.compare)
	key := prefix(k.node, k.stream)
	key = binary.BigEndian.AppendUint64(key, uint64(rows[0].At.UnixNano()))
	key = binary.BigEndian.AppendUint64(key, rows[0].N)
	body, err := deflate(appendRows(nil, rows))
	if err != nil {
		return err
	}
	return put(tx.Bucket([]byte(bucketChunks)), key, body)
}

// compare orders rows of one stream by time, and those of one time as they were
// measured.
func (r Row) compare(other Row) int {
	if c := r.At.Compare(other.At); c != 0 {
		return c
	}
	if c := int(r.Boot - other.Boot); c != 0 {
		return c
	}
	return int(r.Seq - other.Seq)
}

// chunkMost bounds what is read of one chunk or hour: no seal writes more.
const chunkMost = 64 << 20

func deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// inflaters are readers that were used before: making one takes longer than what it
// reads here.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

func inflate(b []byte) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), nil); err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, chunkMost))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBlock, err)
	}
	return out, nil
}
