package models

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"primespark/shared/modelpack"
)

// archiveSuffix is how the name of a package in one file ends.
const archiveSuffix = ".tar"

// An archive is a package in a .tar. Engines want a file of their own, so each one is
// copied out into a file without a name, which goes when it is closed.
type archive struct {
	*modelpack.Archive
	file *os.File
	dir  string // that the copies go to
}

// openArchive opens the package of a model that lies in dir as one file.
func openArchive(dir, name string) (archive, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return archive{}, err
	}
	defer root.Close()
	file, size, err := folder{root}.open(name + archiveSuffix)
	if err != nil {
		return archive{}, err
	}
	index, err := modelpack.ReadArchive(file, size)
	if err != nil {
		return archive{}, errors.Join(fmt.Errorf("%s: %w", name+archiveSuffix, err), file.Close())
	}
	return archive{index, file, dir}, nil
}

func (a archive) open(name string) (*os.File, int64, error) {
	from, err := a.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if from.Size() > maxNetwork {
		return nil, 0, fmt.Errorf("%s has %v; at most %v are read", name, whole(from.Size()), whole(maxNetwork))
	}
	file, err := unnamed(a.dir, name)
	if err != nil {
		return nil, 0, err
	}
	if _, err := io.Copy(file, from); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("unpack %s: %w", name, err), file.Close())
	}
	return file, from.Size(), nil
}

func (a archive) Close() error { return a.file.Close() }

// unnamed makes a file without a name: on the disk of dir, or in memory where that
// does not take one.
func unnamed(dir, name string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return inMemory(name)
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir, name)), nil
}
