// Package objects keeps what is too large for the agreed state, photos and large
// results, on the disks of the coordinators, each named by its SHA-256.
//
// An object that was acknowledged is on two disks, so that the loss of one
// coordinator loses nothing; what a task refers to is kept as long as the task is,
// and copied again when a holder is lost. What nobody refers to goes after a
// while, or when the room is needed, the one that was used longest ago first.
//
// It is not agreed on: whoever wants an object asks the coordinators one after the
// other, and checks what comes by its name.
package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// Bounds of a store.
type Bounds struct {
	Bytes int64         // that all objects may take together
	Keep  time.Duration // an object that nobody refers to, since it was last used
}

// leastWeight is what an object takes at least, a block of the disk.
const leastWeight = 4 << 10

// A Store is the objects on one disk. It is safe to share.
type Store struct {
	dir    string
	bounds Bounds
	refers func(sha string) bool // whether something refers to an object

	mu    sync.Mutex
	files map[string]file
	bytes int64 // of files, and of those that are being written
}

// A file is an object on the disk.
type file struct {
	size int64
	used time.Time // last
}

func weight(size int64) int64 { return max(size, leastWeight) }

// OpenStore opens the store in dir, or makes one. refers tells of an object
// whether it is to be kept.
func OpenStore(dir string, b Bounds, refers func(sha string) bool) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of objects: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	s := &Store{dir: dir, bounds: b, refers: refers, files: map[string]file{}}
	for _, e := range list {
		info, err := e.Info()
		switch {
		case err != nil:
			return nil, fmt.Errorf("list objects: %w", err)
		case task.ValidSHA256(e.Name()) && info.Mode().IsRegular():
			s.files[e.Name()] = file{info.Size(), info.ModTime()}
			s.bytes += weight(info.Size())
		case filepath.Ext(e.Name()) == partial: // a power cut left it
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("remove half an object: %w", err)
			}
		}
	}
	return s, nil
}

// partial is how the names of files end that are being written.
const partial = ".part"

func (s *Store) path(sha string) string { return filepath.Join(s.dir, sha) }

// Put keeps what is read from r, at most task.MaxObject bytes: when it returns nil
// they are on the disk. A name that is given must be theirs.
func (s *Store) Put(r io.Reader, name string) (o task.Object, err error) {
	f, err := os.CreateTemp(s.dir, "*"+partial)
	if err != nil {
		return o, fmt.Errorf("keep an object: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), ignoring(os.Remove(f.Name()), fs.ErrNotExist))
		}
	}()
	claim := &claim{store: s}
	defer claim.release()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.TeeReader(io.LimitReader(r, task.MaxObject+1), claim))
	o = task.Object{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n}
	switch {
	case err != nil:
		return o, fmt.Errorf("keep an object: %w", err)
	case n == 0:
		return o, problem.New(problem.Invalid, "Send the bytes themselves as the body, as in curl -T photo.jpg.", "The object is empty.")
	case n > task.MaxObject:
		return o, problem.New(problem.TooLarge, "Send a smaller image, or a JPEG instead of a PNG.", "An object may have %d bytes at most.", task.MaxObject)
	case name != "" && o.SHA256 != name:
		return o, problem.New(problem.Invalid, "Send it again.", "The bytes are not those of the object %.16s.", name)
	}
	if err := f.Sync(); err != nil {
		return o, fmt.Errorf("keep an object: %w", err)
	}
	if err := f.Close(); err != nil {
		return o, fmt.Errorf("keep an object: %w", err)
	}
	if err := claim.keep(o, f.Name()); err != nil {
		return o, fmt.Errorf("keep an object: %w", err)
	}
	if err := identity.SyncDir(s.dir); err != nil {
		return o, fmt.Errorf("keep an object: %w", err)
	}
	return o, nil
}

func ignoring(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// A claim is the room that an object takes while it is being written.
type claim struct {
	store *Store
	size  int64 // written
	taken int64 // of the store's bytes
}

// Write makes room for as many bytes before they reach the disk.
func (c *claim) Write(b []byte) (int, error) {
	c.size += int64(len(b))
	if more := weight(c.size) - c.taken; more > 0 {
		if err := c.store.take(more); err != nil {
			return 0, err
		}
		c.taken += more
	}
	return len(b), nil
}

// keep makes of the claim the object that was written to a file. Both at once: an
// old copy that makes room just then must not take the new one with it.
func (c *claim) keep(o task.Object, written string) error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(written, s.path(o.SHA256)); err != nil {
		return err
	}
	if _, twice := s.files[o.SHA256]; !twice {
		c.taken -= weight(o.Size)
	}
	s.files[o.SHA256] = file{o.Size, time.Now()}
	return nil
}

func (c *claim) release() {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	c.store.bytes -= c.taken
	c.taken = 0
}

// fresh is how long an object is safe before anything has to refer to it.
const fresh = 10 * time.Minute

// take makes room for n bytes: of what nobody refers to, the one that was used
// longest ago goes first.
func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes+n > s.bounds.Bytes {
		oldest := ""
		for sha, f := range s.files {
			if (oldest == "" || f.used.Before(s.files[oldest].used)) && time.Since(f.used) > fresh && !s.refers(sha) {
				oldest = sha
			}
		}
		if oldest == "" {
			e := problem.New(problem.Busy, "Try again when some of the tasks that refer to objects are done, or raise objects.bytes.",
				"The objects take %d MiB, and more is not kept.", s.bytes>>20)
			e.RetryAfter = 10 * time.Second
			return e
		}
		if err := s.drop(oldest); err != nil {
			return err
		}
	}
	s.bytes += n
	return nil
}

// drop removes an object. The lock is held.
func (s *Store) drop(sha string) error {
	f, ok := s.files[sha]
	if !ok {
		return nil
	}
	if err := ignoring(os.Remove(s.path(sha)), fs.ErrNotExist); err != nil {
		return fmt.Errorf("remove an object: %w", err)
	}
	delete(s.files, sha)
	s.bytes -= weight(f.size)
	return nil
}

// Has tells whether an object is here, and its size.
func (s *Store) Has(sha string) (size int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[sha]
	return f.size, ok
}

// Touch counts as a use, and makes a copy that was kept earlier as safe as a
// fresh one.
func (s *Store) touch(sha string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.files[sha]; ok {
		f.used = time.Now()
		s.files[sha] = f
		// After a restart the file's own time stands for it; without it, it goes sooner.
		_ = os.Chtimes(s.path(sha), f.used, f.used)
	}
}

// Open opens an object, which is read whole first: what is not as it was written
// is removed and counts as not there (fs.ErrNotExist).
func (s *Store) Open(sha string) (*os.File, int64, error) {
	if !task.ValidSHA256(sha) {
		return nil, 0, fs.ErrNotExist
	}
	f, err := os.Open(s.path(sha))
	if err != nil {
		return nil, 0, err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read object %.16s: %w", sha, err), f.Close())
	}
	if hex.EncodeToString(sum.Sum(nil)) != sha {
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, 0, errors.Join(fmt.Errorf("object %.16s is damaged: %w", sha, fs.ErrNotExist), f.Close(), s.drop(sha))
	}
	s.touch(sha)
	return f, n, nil
}

// list names the objects that something refers to.
func (s *Store) list() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sha := range s.files {
		if s.refers(sha) {
			names = append(names, sha)
		}
	}
	return names
}

// clean removes what nobody refers to and nobody has used for long.
func (s *Store) clean(_ context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var faults []error
	for sha, f := range s.files {
		if time.Since(f.used) > s.bounds.Keep && !s.refers(sha) {
			faults = append(faults, s.drop(sha))
		}
	}
	return errors.Join(faults...)
}
