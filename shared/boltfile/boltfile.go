// Package boltfile opens bbolt databases with care.
//
// bbolt has no checksum on its pages: a flipped bit gives wrong content in
// silence, and a page that cannot be ends the process. So a file is checked as a
// whole before bbolt gets it, every record has a checksum of its own (Seal), and
// what is damaged is put aside (Aside) rather than used or thrown away. A file
// that is opened here is one that a power cut leaves whole.
package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// PageSize of the files: the same on a Pi 5, whose kernel has 16 KiB pages, as
// elsewhere.
const PageSize = 4096

// ErrDamaged is the kind of an error that lies in the bytes of a file.
var ErrDamaged = errors.New("the file is damaged")

// ErrBusy tells that another process has the file open.
var ErrBusy = errors.New("another process uses the file")

// errSum tells that bytes are not those that were written.
var errSum = errors.New("checksum differs")

// lockWait is for a predecessor that is just ending.
const lockWait = 2 * time.Second

// Open opens the file at path, or makes one with these buckets if there is none.
// Record is shown each record of a file that was there. The error is of kind
// ErrDamaged or ErrBusy, or of the disk.
//
// The list of free pages is not written but found anew at each start: writing it
// costs ten times as much per commit after a burst.
func Open(path string, buckets []string, record Record) (*bbolt.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path, buckets); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		PageSize: PageSize, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
			return openChecked(path, flag&^os.O_CREATE, mode, record)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// create makes an empty file under another name first, so that a power cut
// leaves none rather than half of one.
func create(path string, buckets []string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(fresh, 0o600, &bbolt.Options{PageSize: PageSize, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func openChecked(path string, flag int, mode os.FileMode, record Record) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
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
	if where, err := Check(f, info.Size(), record); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrDamaged, where, err), f.Close())
	}
	if err := byPages(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// anew is how much of a file byPages has the kernel read anew: all of a small one.
// Of a large one the check has just warmed up the rest.
const anew = 1 << 20

// byPages has the kernel hold the file in memory page by page. Since Linux 6.16 ext4
// holds what was read or written in one piece in pieces of up to 64 KiB and more, and
// counts the whole piece as written (/proc/PID/io) when a page of it is.
func byPages(f *os.File) error {
	err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, anew, unix.FADV_DONTNEED)
	}
	if err != nil {
		return fmt.Errorf("advise the kernel on %s: %w", f.Name(), err)
	}
	return nil
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
			return fmt.Errorf("%w: %s", ErrBusy, f.Name())
		}
	}
}

// Aside moves a damaged file out of the way and returns where it is, so that
// nothing is lost that somebody could still read out of it. One that was put
// aside before makes room: a card that breaks must not fill up with its ruins.
func Aside(path string) (aside string, err error) {
	aside = path + ".corrupt"
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("put %s aside: %w", path, err)
	}
	return aside, syncDir(filepath.Dir(path))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal writes the CRC-32C of key and b[4:] into the first four bytes of b, big
// endian, and returns b.
func Seal(key, b []byte) []byte {
	binary.BigEndian.PutUint32(b, crc(key, b[4:]))
	return b
}

// Unseal returns what follows the checksum of a record, if that is right. It is
// the same memory.
func Unseal(key, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != crc(key, value[4:]) {
		return nil, errSum
	}
	return value[4:], nil
}

func crc(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}
