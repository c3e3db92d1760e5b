package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A source is where the files of a package come from.
type source interface {
	// open opens a regular file of the package. Errors are those of package fs.
	open(name string) (*os.File, int64, error)
	io.Closer
}

// A folder is a package on disk. No name, and no link in it, leads out of it.
type folder struct{ *os.Root }

func (f folder) open(name string) (*os.File, int64, error) {
	// A pipe would block whoever opens it, without the flag.
	file, err := f.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// embedded is a package in memory: contents by file name.
type embedded map[string][]byte

// open gives the file in an anonymous file of the kernel, since engines read
// from an open file, and there may be no disk to write to.
func (e embedded) open(name string) (*os.File, int64, error) {
	data, ok := e[name]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	file, err := inMemory(name)
	if err != nil {
		return nil, 0, err
	}
	if _, err := io.Copy(file, bytes.NewReader(data)); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("fill the file in memory for %s: %w", name, err), file.Close())
	}
	return file, int64(len(data)), nil
}

func inMemory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory for %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (embedded) Close() error { return nil }

// A shelved is a package of a shelf: small files in memory, large ones on disk.
type shelved struct {
	embedded
	paths map[string]string
}

func (s shelved) open(name string) (*os.File, int64, error) {
	path, ok := s.paths[name]
	if !ok {
		return s.embedded.open(name)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	return folder{root}.open(filepath.Base(path))
}

// read reads a whole file of at most most bytes.
func read(from source, name string, most int64) ([]byte, error) {
	file, size, err := from.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > most {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", name, size, most)
	}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, most))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// A reader reads until its context ends.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// checkSum compares a file with the SHA-256 that its manifest gives.
func checkSum(name, want string, data io.Reader) error {
	h := sha256.New()
	if _, err := io.Copy(h, data); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s is not the file that the manifest names: its SHA-256 is %.12s…, not %.12s…; copy the package again", name, got, want)
	}
	return nil
}
