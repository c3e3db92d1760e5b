package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
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

// A store keeps raft's log and its few values in a bbolt database, and what came
// last in a journal in front of that: bbolt takes two syncs and some 30 KB for
// each change, the journal one sync and 4 KB, and bbolt takes some hundred changes
// at once when the journal is full. Every record has a checksum over its key and
// content; all of them, and the structure of the files around them, are checked
// when it is opened. What raft is told to be stored is on the disk, save for
// StoreSoon.
//
// The free list is not written but found anew at each start: writing it costs
// ten times as much per append after a burst (notes: 288 KB against 34 KB).
//
// Many may read while one writes. Only one goroutine at a time stores entries.
type store struct {
	db   *bbolt.DB
	path string

	before func() error                      // what tests have happen before entries are written; nil for nothing
	commit func(func(*bbolt.Tx) error) error // db.Update, save in tests of disks that fail

	write   sync.Mutex // of who writes to the disk; taken before mu
	journal journal    // write
	broken  error      // write; why nothing can be stored any more

	mu          sync.RWMutex // of what follows; never held while the disk works
	first, last uint64       // index of the oldest and newest entry; 0 for none
	recent      recent       // what bbolt has not got
	queue       []byte       // the newest part of that, which the journal has not got either
	taken, kept uint64       // how often queue was added to, and how many of these are on the disk
	refused     bool         // the disk did not take it the last time
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
	s := &store{db: db, path: path, commit: db.Update, journal: journal{create: createJournal, size: journalSize}}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.journal.close(), db.Close())
	}
	return s, nil
}

// load finds out what there is, and reads the journal if there is one.
func (s *store) load() (err error) {
	if s.first, s.last, err = s.edges(); err != nil {
		return err
	}
	m, known, err := s.mark()
	if err != nil || !known {
		return err
	}
	var payloads [][]byte
	if s.journal, payloads, err = openJournal(filepath.Dir(s.path), m); err != nil {
		return err
	}
	for i, p := range payloads {
		if err := s.replay(p); err != nil {
			return corrupt(s.journal.f.Name(), fmt.Sprintf("batch %d", i), err)
		}
	}
	// A process that was killed may have written what the disk has not got yet, and
	// from now on all of this counts as stored.
	if sabotage.NoSync {
		return nil
	}
	if err := errors.Join(s.db.Sync(), s.journal.sync()); err != nil {
		return fmt.Errorf("have the disk keep what %s and %s hold: %w", s.path, s.journal.f.Name(), err)
	}
	return nil
}

// mark reads what bbolt knows of its journal: nothing, in a log that was closed, in
// one of an older version and in one that nothing was ever stored in.
func (s *store) mark() (m mark, known bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) (err error) {
		b := tx.Bucket(bucketJournal)
		if b == nil {
			return nil
		}
		if m, err = readMark(b.Get(keyMark)); err != nil {
			return corrupt(s.path, "mark of the journal", err)
		}
		known = true
		return nil
	})
	return m, known, err
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
		case string(bucketJournal):
			if err := unseal(key, value); err != nil {
				return "mark of the journal", err
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
