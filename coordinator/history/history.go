// Package history keeps the samples of all nodes, durably, on a coordinator.
//
// A Store has one file with two views of what came in. The log holds the rows in
// the order in which this coordinator got them, each with a number: who passes
// them on (other coordinators, sinks, alert rules) reads it with a cursor of his
// own, from where he left off. The chunks and minutes hold them by node, stream
// and time, for questions: the samples themselves for a day, and for each minute
// the least, the greatest, the mean and the count for a month.
//
// A row is known by node, boot, stream and sequence, and is stored once, in
// whatever order and however often it comes. What Append has stored is on the
// disk when it returns. Each record has a checksum; a file that is damaged is put
// aside and a new one begun, which fills up again from the other coordinators.
package history

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// A Row is one sample that is stored, or a gap in its place.
type Row struct {
	N    uint64 // its number in the log of this coordinator, from 1 without a gap
	Node string
	telemetry.Sample
}

// Config bounds what is kept.
type Config struct {
	Dir     string
	MaxSize int64         // bytes in use; the oldest rows make room
	Raw     time.Duration // for which rows stay
	Every   time.Duration // between two transactions while few rows come: a card bears a certain number of them; 0 for none
	Minutes time.Duration // for which minutes stay
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// The file and its buckets.
const (
	fileName = "history.db"

	bucketLog     = "log"     // number of the first row u64 -> block of rows
	bucketMarks   = "marks"   // node 0 stream 0 boot u64 -> spans
	bucketChunks  = "chunks"  // node 0 stream 0 time i64, number u64 -> rows of one hour
	bucketMinutes = "minutes" // node 0 stream 0 hour u64 -> minutes
	bucketMeta    = "meta"    // see below
)

// Keys of the meta bucket, besides cursors ("cursor/NAME") and how far another
// coordinator's log was read ("peer/ID").
var (
	keyID     = []byte("id")     // of this log, made with the file
	keySealed = []byte("sealed") // number of the last row that is in chunks and minutes
)

var buckets = []string{bucketLog, bucketMarks, bucketChunks, bucketMinutes, bucketMeta}

// A Store is safe to share. It stores while its Run runs.
type Store struct {
	cfg     Config
	db      *bbolt.DB
	id      string
	metrics *metrics
	damaged string // where the file that was put aside is, if one was

	requests chan *request
	last     *watch.Value[uint64] // number of the newest row

	mu       sync.Mutex
	marks    map[markKey]*mark
	lives    map[string]int    // marks of each node
	touched  map[markKey]bool  // since they were last written
	followed map[string]uint64 // up to where the logs of others were read, by their ids
	sealed   uint64            // number of the last row that was sealed
	first    uint64            // number of the oldest row in the log
	short    bool              // it was told that less is kept than should be

	ruins ruins
}

var _ run.Part = (*Store)(nil)

// Open opens the store in a directory, or makes one.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		cfg: cfg, requests: make(chan *request, 256), last: watch.New(uint64(0)),
		marks: map[markKey]*mark{}, lives: map[string]int{}, touched: map[markKey]bool{}, followed: map[string]uint64{},
	}
	var err error
	if s.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.Dir, fileName)
	s.db, err = boltfile.Open(path, buckets, checkRecord)
	if errors.Is(err, boltfile.ErrDamaged) {
		aside, moved := boltfile.Aside(path)
		if moved != nil {
			return nil, errors.Join(err, moved)
		}
		cfg.Log.Error("the history is damaged, beginning a new one", "err", err, "aside", aside,
			"remedy", "nothing is to be done: it fills up from the other coordinators; look after the disk")
		s.damaged = aside
		s.db, err = boltfile.Open(path, buckets, checkRecord)
	}
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	if err := errors.Join(s.named(), s.load()); err != nil {
		return nil, errors.Join(fmt.Errorf("read the history: %w", err), s.db.Close())
	}
	return s, nil
}

func checkRecord(bucket string, key, value []byte) (string, error) {
	_, err := boltfile.Unseal(key, value)
	return fmt.Sprintf("record %x of %s", key, bucket), err
}

// Damaged returns where a damaged file was put when the store was opened; "" if
// it was whole.
func (s *Store) Damaged() string { return s.damaged }

// ID names this log: a position in it means nothing in another.
func (s *Store) ID() string { return s.id }

// Close gives the file back. Run must have ended.
func (s *Store) Close() error { return s.db.Close() }

func (*Store) String() string { return "history" }

// named gives the log its id, if it has none yet.
func (s *Store) named() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		id := get(meta, keyID)
		if id == nil {
			id = make([]byte, 16)
			rand.Read(id) // never fails
			if err := put(meta, keyID, id); err != nil {
				return err
			}
		}
		s.id = hex.EncodeToString(id)
		return nil
	})
}

// load reads what is kept in memory: the marks, and those of rows that came after
// they were written.
func (s *Store) load() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		s.sealed = getNumber(tx.Bucket([]byte(bucketMeta)), keySealed)
		marks := tx.Bucket([]byte(bucketMarks))
		err := marks.ForEach(func(k, _ []byte) error {
			key, m, err := readMark(k, get(marks, k))
			if err != nil {
				return err
			}
			s.marks[key] = m
			s.lives[key.node]++
			return nil
		})
		if err != nil {
			return err
		}
		if err := s.loadFollowed(tx); err != nil {
			return err
		}
		newest := s.sealed
		s.first = firstNumber(tx)
		err = s.eachRow(tx, s.sealed, func(r Row) bool {
			s.mark(r.Node, r.Sample, time.Now(), peersMost)
			newest = r.N
			return true
		})
		s.last.Store(newest)
		s.metrics.newest.Set(float64(newest))
		return err
	})
}

func firstNumber(tx *bbolt.Tx) uint64 {
	if k, _ := tx.Bucket([]byte(bucketLog)).Cursor().First(); k != nil {
		return binary.BigEndian.Uint64(k)
	}
	return 0
}

// get returns what a record holds, a copy; nil without it. Records were checked
// when the file was opened; one that is damaged since is as good as none.
func get(b *bbolt.Bucket, key []byte) []byte {
	body, err := boltfile.Unseal(key, b.Get(key))
	if err != nil {
		return nil
	}
	return append([]byte{}, body...)
}

func put(b *bbolt.Bucket, key, body []byte) error {
	return b.Put(key, boltfile.Seal(key, append(make([]byte, 4, 4+len(body)), body...)))
}

func getNumber(b *bbolt.Bucket, key []byte) uint64 {
	if body := get(b, key); len(body) == 8 {
		return binary.BigEndian.Uint64(body)
	}
	return 0
}

func putNumber(b *bbolt.Bucket, key []byte, n uint64) error { return put(b, key, number(n)) }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
