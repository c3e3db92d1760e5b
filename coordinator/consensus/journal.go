package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"primespark/shared/identity"
	"primespark/shared/sabotage"
)

// Sizes of a journal, in bytes.
const (
	journalFile    = "raft.journal"
	journalSize    = 2 << 20  // some 500 small batches until bbolt takes them all at once
	maxJournalSize = 64 << 20 // more than any version of this program makes
)

// A journal takes what must be on the disk at once, with one sync for each batch,
// in a file whose blocks are there already, so that nothing but the batch has to be
// written. What it holds is in bbolt when it is wiped.
type journal struct {
	create     func(dir string, size int) (*os.File, error) // createJournal, save in tests
	f          *os.File                                     // nil: there is none
	size       int
	generation uint64
	number     uint64 // of the next batch
	at         int    // where it will begin
	clean      bool   // there are zeros from at to the end
	full       bool   // bbolt has to take all of it before anything else
}

// createJournal makes a journal full of zeros in dir, out of one that bbolt does not
// know of if that lies there: its blocks are good. It is on the disk afterwards.
func createJournal(dir string, size int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err = reserve(f, size); err == nil {
		err = zero(f, 0, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = identity.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	return f, nil
}

// reserve gives a file its size, and its blocks where the file system can do that
// beforehand: a full disk then says so at once.
func reserve(f *os.File, size int) error {
	if err := f.Truncate(int64(size)); err != nil {
		return err
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, int64(size))
	if errors.Is(err, unix.EOPNOTSUPP) || size == 0 {
		return nil
	}
	return err
}

// openJournal opens the journal in dir that a mark in bbolt tells of, and reads the
// payloads that bbolt has not got yet.
func openJournal(dir string, m mark) (j journal, payloads [][]byte, err error) {
	path := filepath.Join(dir, journalFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return j, nil, corrupt(path, "file", err)
	}
	if err != nil {
		return j, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return j, nil, err
	}
	if info.Size() != int64(m.size) {
		return j, nil, corrupt(path, "file", fmt.Errorf("it has %d bytes, want %d", info.Size(), m.size))
	}
	file := make([]byte, m.size)
	if _, err := f.ReadAt(file, 0); err != nil {
		return j, nil, fmt.Errorf("read %s: %w", path, err)
	}
	payloads, err = readJournal(file, m.generation)
	if err != nil {
		return j, nil, corrupt(path, "journal", err)
	}
	// Where the last batch ended is not asked: bbolt takes them, and the next one goes
	// into a wiped journal.
	return journal{create: createJournal, f: f, size: int(m.size), generation: m.generation, at: int(m.size), full: true}, payloads, nil
}

// fits tells whether a batch has room.
func (j *journal) fits(payload int) bool {
	at := j.at
	if !j.clean {
		at = 0 // it will be wiped
	}
	return j.f != nil && !j.full && payload <= j.size && at+batchSize(payload) <= j.size
}

// append writes a batch that fits and waits until it is on the disk. After an
// error the batch may be there or not, so bbolt takes all that was there before.
func (j *journal) append(payload []byte) error {
	if !j.clean {
		if err := j.wipe(); err != nil {
			j.full = true
			return fmt.Errorf("wipe %s: %w", j.f.Name(), err)
		}
	}
	b := encodeBatch(j.generation, j.number, payload)
	_, err := j.f.WriteAt(b, int64(j.at))
	if err == nil {
		err = j.sync()
	}
	j.at += len(b)
	j.number++
	if err != nil {
		j.full = true
		return fmt.Errorf("write %s: %w", j.f.Name(), err)
	}
	return nil
}

// sync has what was written on the disk when it returns.
func (j *journal) sync() error {
	if sabotage.NoSync {
		return nil
	}
	return unix.Fdatasync(int(j.f.Fd()))
}

// wipe fills what was written with zeros. As long as the first block is not one of
// the new generation, readJournal finds nothing.
func (j *journal) wipe() error {
	err := zero(j.f, 0, j.at)
	if err == nil {
		err = j.sync()
	}
	if err == nil {
		j.at, j.clean = 0, true
	}
	return err
}

// zero fills a part of a file with zeros.
func zero(f *os.File, from, to int) error {
	zeros := make([]byte, 64<<10) // little, for the memory of a witness
	for at := from; at < to; at += len(zeros) {
		if _, err := f.WriteAt(zeros[:min(len(zeros), to-at)], int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}

// A mark in bbolt says that a journal belongs to it, and which generation in that
// bbolt has not got. Without the mark there is no journal, whatever lies there. A
// store that is closed has none; and since it lies in a bucket of its own, a program
// that does not know of journals refuses a store that was not closed, instead of
// going on without what is in the journal.
type mark struct {
	generation uint64
	size       uint32
}

var (
	bucketJournal = []byte("journal")
	keyMark       = []byte("mark")
)

func (m mark) seal() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 4), m.generation)
	return seal(keyMark, binary.BigEndian.AppendUint32(b, m.size))
}

// readMark reads a sealed mark.
func readMark(sealed []byte) (mark, error) {
	if len(sealed) != 16 {
		return mark{}, fmt.Errorf("it has %d bytes, want 16", len(sealed))
	}
	if err := unseal(keyMark, sealed); err != nil {
		return mark{}, err
	}
	m := mark{binary.BigEndian.Uint64(sealed[4:]), binary.BigEndian.Uint32(sealed[12:])}
	if m.size == 0 || m.size%blockSize != 0 || m.size > maxJournalSize {
		return mark{}, fmt.Errorf("it tells of a journal of %d bytes", m.size)
	}
	return m, nil
}
