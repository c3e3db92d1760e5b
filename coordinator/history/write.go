package history

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"primespark/shared/telemetry"
)

const (
	commitRows    = 4096             // in one transaction, unless one request alone has more
	hurryRows     = 512              // that wait for no others
	hurryRequests = 64               // nor do so many requests, whoever they are from
	sealRows      = 16384            // that wait in the log until they are put in order
	sealEvery     = 10 * time.Minute // and at most so long
	pruneEvery    = 10 * time.Minute
)

// A request is rows to be stored, and who waits for it.
type request struct {
	rows []Row // without numbers
	peer string
	at   uint64 // how far the peer's log was read with these rows
	done chan answer
}

type answer struct {
	last uint64 // number of the newest row once these are stored
	acks []telemetry.Ack
	err  error
}

// An Appended says what came of an Append.
type Appended struct {
	Last uint64          // all that is acknowledged has this number in the log, or a smaller one
	Acks []telemetry.Ack // what of the streams is stored by now, by boot
}

// Append stores samples of a node. When it returns nil they are on the disk, save
// those that are stored already. Samples may come in any order and any number of
// times.
func (s *Store) Append(ctx context.Context, node string, samples []telemetry.Sample) (Appended, error) {
	rows := make([]Row, len(samples))
	for i, one := range samples {
		rows[i] = Row{Node: node, Sample: one}
	}
	a, err := s.do(ctx, &request{rows: rows})
	return Appended{a.last, a.acks}, err
}

func (s *Store) do(ctx context.Context, r *request) (answer, error) {
	r.done = make(chan answer, 1)
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	select {
	case a := <-r.done:
		return a, a.err
	case <-ctx.Done():
		return answer{}, ctx.Err() // it may be stored all the same, and comes again
	}
}

// Run stores what is asked for until ctx ends. What comes while the disk works
// shares the next transaction.
func (s *Store) Run(ctx context.Context) error {
	tidy := time.NewTicker(pruneEvery)
	defer tidy.Stop()
	s.tidy(time.Now())
	sealed := time.Now()
	var began time.Time // of the last transaction
	for {
		select {
		case r := <-s.requests:
			all := s.gather(r, began.Add(s.cfg.Every))
			began = time.Now()
			s.commit(all)
			if s.unsealed() < sealRows && time.Since(sealed) < sealEvery {
				continue
			}
			sealed = time.Now()
			s.order()
		case <-tidy.C:
			sealed = time.Now()
			s.tidy(sealed)
		case <-ctx.Done():
			return nil
		}
	}
}

// gather takes what waits besides. While that is little, it waits for more until
// the transaction is due: the nodes that send a few samples each second share one.
func (s *Store) gather(first *request, due time.Time) []*request {
	all, rows := []*request{first}, len(first.rows)
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for rows < commitRows {
		select {
		case r := <-s.requests:
			all, rows = append(all, r), rows+len(r.rows)
			continue
		default:
		}
		if rows >= hurryRows || len(all) >= hurryRequests {
			return all
		}
		select {
		case r := <-s.requests:
			all, rows = append(all, r), rows+len(r.rows)
		case <-timer.C:
			return all
		}
	}
	return all
}

// commit stores the rows of requests in one transaction, and answers them.
func (s *Store) commit(all []*request) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []Row
	last := s.last.Get()
	for _, r := range all {
		most := spansMost
		if r.peer != "" {
			most = peersMost
		}
		for _, row := range r.rows {
			if row.At.After(now.Add(ahead)) {
				row.At = now.UTC() // a clock that is wrong must not keep a row for years
			}
			if s.mark(row.Node, row.Sample, now, most) {
				row.N = last + uint64(len(fresh)) + 1
				fresh = append(fresh, row)
			}
		}
	}
	err := s.write(fresh, all, now)
	if err != nil {
		s.metrics.failures.Inc()
		err = fmt.Errorf("store the history: %w", err)
		s.cfg.Log.Warn("history not stored, the nodes send it again", "rows", len(fresh), "err", err, "remedy", "see that the disk has room and is writable")
		if again := s.reload(); again != nil {
			err = errors.Join(err, again)
		}
	} else if len(fresh) > 0 {
		last += uint64(len(fresh))
		if s.first == 0 {
			s.first = fresh[0].N
		}
		s.metrics.rows.Add(float64(len(fresh)))
		s.metrics.commits.Inc()
		s.metrics.newest.Set(float64(last))
		s.last.Store(last)
	}
	for _, r := range all {
		a := answer{last: last, err: err}
		if err == nil && r.peer != "" {
			s.followed[r.peer] = r.at
		}
		if err == nil && r.peer == "" {
			samples := make([]telemetry.Sample, len(r.rows))
			for i, row := range r.rows {
				samples[i] = row.Sample
			}
			if len(r.rows) > 0 {
				a.acks = s.acks(r.rows[0].Node, samples)
			}
		}
		r.done <- a
	}
}

// ahead is how far a node's clock may be ahead of this one's.
const ahead = time.Hour

// write writes one block of the log, and how far the logs of others were read.
// Rows that are all there already cost no transaction: each row comes back to the
// one who has it first in the logs of all who follow him.
func (s *Store) write(fresh []Row, all []*request, now time.Time) error {
	if len(fresh) == 0 {
		return nil // where the logs of others are read is written with the next rows
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketLog))
		b.FillPercent = 1 // numbers only grow
		if err := put(b, number(fresh[0].N), encodeBlock(fresh, now)); err != nil {
			return err
		}
		return s.writeFollowed(tx, all)
	})
}

// reload has the marks say again what the file does, after rows were marked that
// could not be written.
func (s *Store) reload() error {
	clear(s.marks)
	clear(s.lives)
	clear(s.touched)
	clear(s.followed)
	return s.load()
}

func (s *Store) unsealed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.Get() - s.sealed
}

// A block of the log is when it was written (Unix ms, i64), and then of each row
// the node (text) and the sample. Numbers count from the key on.
func encodeBlock(rows []Row, now time.Time) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 64*len(rows)), uint64(now.UnixMilli()))
	return appendRows(b, rows)
}

func appendRows(b []byte, rows []Row) []byte {
	for _, r := range rows {
		b = append(b, byte(len(r.Node)))
		b = append(b, r.Node...)
		b = telemetry.AppendBinary(b, r.Sample)
	}
	return b
}

var errBlock = errors.New("a block of the history is damaged")

// readRows reads rows until give returns false.
func readRows(b []byte, n uint64, give func(Row) bool) error {
	for ; len(b) > 0; n++ {
		length := int(b[0])
		if len(b) < 1+length {
			return errBlock
		}
		r := Row{N: n, Node: string(b[1 : 1+length])}
		var err error
		if r.Sample, b, err = telemetry.ReadBinary(b[1+length:]); err != nil {
			return fmt.Errorf("%w: row %d: %w", errBlock, n, err)
		}
		if !give(r) {
			return nil
		}
	}
	return nil
}
