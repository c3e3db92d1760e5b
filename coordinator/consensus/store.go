package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"primespark/shared/boltfile"
	"primespark/shared/identity"
	"primespark/shared/sabotage"
)

// ErrCorrupt is the kind of an error that lies in the bytes on the disk. Its
// text says where, and how this coordinator is made whole from the others. The
// program ends with exit status 5.
var ErrCorrupt = errors.New("the raft log is damaged")

// Repair is the command that makes a coordinator with a damaged log whole again.
const Repair = "prime-spark-coordinator reset --rejoin"

func corrupt(path, where string, err error) error {
	return fmt.Errorf("%w: %s: %s: %w; the other coordinators have it whole: run %q, then start again", ErrCorrupt, path, where, err, Repair)
}

// Parts of the store.
const (
	logFile  = "raft.db"
	pageSize = boltfile.PageSize
	lockWait = 2 * time.Second // for a predecessor that is just ending
)

var (
	bucketLogs   = []byte("logs")   // index, 8 bytes big endian -> record
	bucketStable = []byte("stable") // raft's own few values: term and vote
)

// A store keeps raft's log and its few values in a bbolt database. Every record
// has a checksum over its key and content; all of them, and the structure of
// the file around them, are checked when it is opened. What raft is told to be
// stored is on the disk.
//
// The free list is not written but found anew at each start: writing it costs
// ten times as much per append after a burst (notes: 288 KB against 34 KB).
type store struct {
	db   *bbolt.DB
	path string
}

var (
	_ raft.LogStore          = (*store)(nil)
	_ raft.StableStore       = (*store)(nil)
	_ raft.MonotonicLogStore = (*store)(nil)
)

// openStore opens the store in dir, or makes it if there is none. A file that is
// empty, cut off or not ours is damage: it is never taken for a new one.
func openStore(dir string) (*store, error) {
	path := filepath.Join(dir, logFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createStore(dir, path); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		PageSize:       pageSize,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
		NoStatistics:   true,
		NoSync:         sabotage.NoSync,
		OpenFile:       openChecked,
	})
	if err != nil {
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrBusy) {
			return nil, err
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &store{db, path}, nil
}

// createStore makes an empty store under another name first, so that a power
// cut leaves none rather than half of one.
func createStore(dir, path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(fresh, 0o600, &bbolt.Options{PageSize: pageSize, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketLogs)
		if err == nil {
			_, err = tx.CreateBucket(bucketStable)
		}
		if err == nil {
			err = sum{}.write(tx)
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return identity.SyncDir(dir)
}

// ErrBusy tells that another process has the log open.
var ErrBusy = errors.New("another process is using the raft log")

// openChecked opens the file for bbolt, locks it, and checks every page before
// bbolt maps it into memory: bbolt trusts what it finds, and a damaged page
// would end the process without a word.
func openChecked(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if where, err := checkFile(f, info.Size(), checkRecords()); err != nil {
		return nil, errors.Join(corrupt(path, where, err), f.Close())
	}
	return f, nil
}

// Verify checks every byte of the log in dir as a start does, and changes nothing. The
// error is of kind ErrCorrupt, ErrBusy or fs.ErrNotExist, or of the disk.
func Verify(dir string) error {
	f, err := openChecked(filepath.Join(dir, logFile), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// lock takes the lock that bbolt takes too, which is no second lock for the
// same open file.
func lock(f *os.File) error {
	for end := time.Now().Add(lockWait); ; time.Sleep(50 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(end):
			return fmt.Errorf("%w: %s; stop the coordinator that runs on this data directory, or give this one another", ErrBusy, f.Name())
		}
	}
}

// checkRecords returns a function that is shown every record of the file in the
// order of the buckets and keys ("logs" before "stable"), and refuses the first
// that is not as written.
func checkRecords() boltfile.Record {
	var all sum
	var last uint64
	return func(bucket string, key, value []byte) (string, error) {
		switch bucket {
		case string(bucketLogs):
			var l raft.Log
			if err := decodeLog(key, value, &l); err != nil {
				return fmt.Sprintf("log entry with key %x", key), err
			}
			if last != 0 && l.Index != last+1 {
				return fmt.Sprintf("log entry %d", l.Index), fmt.Errorf("the one before it is %d", last)
			}
			last = l.Index
			all.add(value)
		case string(bucketStable):
			if err := unseal(key, value); err != nil {
				return fmt.Sprintf("value %q", key), err
			}
			if string(key) == string(keySum) && decodeSum(value) != all {
				return "log entries", fmt.Errorf("there are %d, which are not the %d that were stored", all.count, decodeSum(value).count)
			}
		default:
			return fmt.Sprintf("bucket %q", bucket), errors.New("it is none of ours")
		}
		return "", nil
	}
}

// checkFile checks a file and shows its records; one without the sum of its log
// entries is none of ours.
func checkFile(f io.ReaderAt, size int64, record boltfile.Record) (where string, err error) {
	summed := false
	where, err = boltfile.Check(f, size, func(bucket string, key, value []byte) (string, error) {
		summed = summed || bucket == string(bucketStable) && string(key) == string(keySum)
		return record(bucket, key, value)
	})
	if err == nil && !summed {
		return "file", errNoSum
	}
	return where, err
}

// Close gives the file back. Nothing is left to be written.
func (s *store) Close() error { return s.db.Close() }

// IsMonotonic promises that there are no gaps, and asks raft to make none.
func (s *store) IsMonotonic() bool { return true }

// FirstIndex is the index of the oldest entry; 0 without entries.
func (s *store) FirstIndex() (uint64, error) { return s.edge((*bbolt.Cursor).First) }

// LastIndex is the index of the newest entry; 0 without entries.
func (s *store) LastIndex() (uint64, error) { return s.edge((*bbolt.Cursor).Last) }

func (s *store) edge(of func(*bbolt.Cursor) ([]byte, []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		if k, _ := of(tx.Bucket(bucketLogs).Cursor()); k != nil {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

// GetLog reads one entry. The error is raft.ErrLogNotFound, or ErrCorrupt.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		key := logKey(index)
		value := tx.Bucket(bucketLogs).Get(key)
		if value == nil {
			return raft.ErrLogNotFound
		}
		if err := decodeLog(key, value, l); err != nil {
			return corrupt(s.path, fmt.Sprintf("log entry %d", index), err)
		}
		return nil
	})
}

// StoreLog stores one entry.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries that follow on the last one, in one transaction.
func (s *store) StoreLogs(logs []*raft.Log) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLogs)
		b.FillPercent = 0.9 // keys only grow; half-full pages would never fill up
		all := readSum(tx)
		last := uint64(0)
		if k, _ := b.Cursor().Last(); k != nil {
			last = binary.BigEndian.Uint64(k)
		}
		for _, l := range logs {
			if last != 0 && l.Index != last+1 {
				return fmt.Errorf("store log entry %d: the last one is %d", l.Index, last)
			}
			last = l.Index
			key := logKey(l.Index)
			value := encodeLog(key, l)
			if err := b.Put(key, value); err != nil {
				return fmt.Errorf("store log entry %d: %w", l.Index, err)
			}
			all.add(value)
		}
		return all.write(tx)
	})
}

// DeleteRange drops the entries from first to last, both included. Raft drops
// from one end or the other only.
func (s *store) DeleteRange(first, last uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLogs)
		all := readSum(tx)
		for c, k := b.Cursor(), logKey(first); ; {
			var value []byte
			k, value = c.Seek(k)
			if k == nil || binary.BigEndian.Uint64(k) > last {
				return all.write(tx)
			}
			all.drop(value)
			k = append([]byte(nil), k...) // the database's memory, which Delete may change
			if err := b.Delete(k); err != nil {
				return fmt.Errorf("delete log entry %x: %w", k, err)
			}
		}
	})
}

// errNotFound is what raft expects of a missing value, down to its text.
var errNotFound = errors.New("not found")

// Set stores one of raft's values.
func (s *store) Set(key, value []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStable).Put(key, seal(key, append(make([]byte, 4), value...)))
	})
}

// Get reads one of raft's values; the error's text is "not found" without it.
func (s *store) Get(key []byte) (value []byte, err error) {
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
