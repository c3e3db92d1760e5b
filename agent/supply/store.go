package supply

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"primespark/shared/identity"
	"primespark/shared/model"
	"primespark/shared/modelpack"
	"primespark/shared/task"
)

// Where things are in the store's directory: files by their SHA-256, those that are
// being fetched beside them, and a bill for each package that is in force.
const (
	fileDir = "files"
	billDir = "bills"
	partial = ".part"
	billEnd = ".json"
)

// A Store is the packages on this node's disk. It is safe to share.
type Store struct {
	dir     string
	log     *slog.Logger
	damaged chan struct{} // holds a token once a file was found damaged

	mu    sync.RWMutex
	bills map[string]held // in force, by model
}

// A held bill is in force.
type held struct {
	modelpack.Bill
	object task.Object // that it is
}

// OpenStore opens the store in dir, or makes one. A bill that is damaged is dropped,
// and so fetched again.
func OpenStore(dir string, log *slog.Logger) (*Store, error) {
	s := &Store{dir: dir, log: log, damaged: make(chan struct{}, 1), bills: map[string]held{}}
	for _, sub := range []string{fileDir, billDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("make the store of models: %w", err)
		}
	}
	list, err := os.ReadDir(filepath.Join(dir, billDir))
	if err != nil {
		return nil, fmt.Errorf("read the store of models: %w", err)
	}
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), billEnd)
		if !ok || !model.ValidName(name) {
			continue // what a power cut left of one that was being written
		}
		b, err := s.readBill(name)
		if err != nil {
			log.Warn("model of the fleet is not in force", "model", name, "err", err, "remedy", "none; it is fetched again once a coordinator is in reach")
			continue
		}
		s.bills[name] = b
	}
	return s, nil
}

func (s *Store) readBill(name string) (held, error) {
	f, err := os.Open(s.billPath(name))
	if err != nil {
		return held{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, modelpack.MaxBill+1))
	if err != nil {
		return held{}, fmt.Errorf("read the bill: %w", err)
	}
	b, err := modelpack.ParseBill(text)
	if err == nil && b.Name != name {
		err = fmt.Errorf("it is of %s", b.Name)
	}
	return held{b, task.ObjectOf(text)}, err
}

func (s *Store) billPath(name string) string { return filepath.Join(s.dir, billDir, name+billEnd) }

func (s *Store) filePath(sum string) string { return filepath.Join(s.dir, fileDir, sum) }

// Names lists the models that have a package in force, sorted.
func (s *Store) Names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.bills))
}

// Package gives what opens the files of the package that is in force for a model;
// fs.ErrNotExist if there is none. It opens those of that package, whatever comes
// after it.
func (s *Store) Package(name string) (open func(file string) (*os.File, int64, error), err error) {
	b, ok := s.held(name)
	if !ok {
		return nil, fs.ErrNotExist
	}
	return func(file string) (*os.File, int64, error) {
		i := slices.IndexFunc(b.Files, func(f modelpack.BillFile) bool { return f.Name == file })
		if i < 0 {
			return nil, 0, &fs.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}
		}
		return s.open(b.Files[i])
	}, nil
}

func (s *Store) held(name string) (held, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.bills[name]
	return b, ok
}

// open opens a file and reads it once: one that is not as it was fetched is removed,
// so that it is fetched again.
func (s *Store) open(want modelpack.BillFile) (*os.File, int64, error) {
	f, err := os.Open(s.filePath(want.SHA256))
	if err != nil {
		return nil, 0, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read %s: %w", want.Name, err), f.Close())
	}
	if hex.EncodeToString(h.Sum(nil)) == want.SHA256 {
		return f, n, nil
	}
	err = fmt.Errorf("%s was damaged on this node's disk, and is fetched again", want.Name)
	select {
	case s.damaged <- struct{}{}:
	default: // it is known already
	}
	return nil, 0, errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// has reports whether a file is on the disk, as far as its size tells.
func (s *Store) has(f modelpack.BillFile) bool {
	info, err := os.Stat(s.filePath(f.SHA256))
	return err == nil && info.Size() == f.Size
}

// enforce puts a bill in force whose files are there.
func (s *Store) enforce(b modelpack.Bill, text []byte) error {
	if err := identity.WriteFile(filepath.Join(s.dir, billDir), b.Name+billEnd, text); err != nil {
		return fmt.Errorf("put the model in force: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bills[b.Name] = held{b, task.ObjectOf(text)}
	return nil
}

// drop takes a model's package out of force.
func (s *Store) drop(name string) error {
	s.mu.Lock()
	delete(s.bills, name)
	s.mu.Unlock()
	if err := os.Remove(s.billPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the model out of force: %w", err)
	}
	return nil
}

// tidy removes the files that no bill in force has, and none of these.
func (s *Store) tidy(wanted []modelpack.Bill) error {
	keep := map[string]bool{}
	note := func(b modelpack.Bill) {
		for _, f := range b.Files {
			keep[f.SHA256] = true
		}
	}
	for _, b := range wanted {
		note(b)
	}
	s.mu.RLock()
	for _, b := range s.bills {
		note(b.Bill)
	}
	s.mu.RUnlock()
	list, err := os.ReadDir(filepath.Join(s.dir, fileDir))
	if err != nil {
		return fmt.Errorf("tidy the store of models: %w", err)
	}
	var faults []error
	for _, e := range list {
		if sum := strings.TrimSuffix(e.Name(), partial); !keep[sum] {
			faults = append(faults, os.Remove(filepath.Join(s.dir, fileDir, e.Name())))
		}
	}
	return errors.Join(faults...)
}
