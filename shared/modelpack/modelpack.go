// Package modelpack reads model packages as they are handed over: a folder, or a
// .tar of one. It takes nothing on trust: what is not as the manifest says, half
// copied or tampered with, is refused with the reason, and no name leads out of
// the package.
package modelpack

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

	"golang.org/x/sys/unix"

	"primespark/shared/conf"
	"primespark/shared/model"
)

// Bounds of a package.
const (
	MaxFile  = 256 << 20 // bytes of one file
	MaxFiles = 128       // that a manifest may name
)

// A File is one file of a package that the manifest names, or the manifest.
type File struct {
	Name   string
	Size   int64
	SHA256 string // hexadecimal
}

// A Package is an open package that was checked. Close it after use.
type Package struct {
	Manifest model.Manifest
	Files    []File // the manifest first, then by name

	from source
}

// A source is where the files of a package come from.
type source interface {
	// open opens a regular file; fs.ErrNotExist if there is none of that name.
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// Open opens the package at path, a folder or a .tar, and checks all of it: the
// manifest, that each file it names is there, and that each has the sum that the
// manifest gives. It reads everything once, until ctx ends.
func Open(ctx context.Context, path string) (*Package, error) {
	from, err := openSource(path)
	if err != nil {
		return nil, err
	}
	p := &Package{from: from}
	if err := p.check(ctx); err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return p, nil
}

func openSource(path string) (source, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe does not block whoever opens it so
	if err != nil {
		return nil, fmt.Errorf("open the package: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("open the package: %w", err), f.Close())
	case info.IsDir():
		root, err := os.OpenRoot(path)
		return folder{root}, errors.Join(err, f.Close())
	case !info.Mode().IsRegular():
		return nil, errors.Join(fmt.Errorf("%s is neither a folder nor a .tar file", path), f.Close())
	}
	a, err := ReadArchive(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return tarball{a, f}, nil
}

// Close closes the package's files.
func (p *Package) Close() error { return p.from.Close() }

// Open opens one of Files.
func (p *Package) Open(name string) (io.ReadCloser, error) {
	r, _, err := p.from.open(name)
	return r, err
}

// Size is what all files have together, in bytes.
func (p *Package) Size() (n int64) {
	for _, f := range p.Files {
		n += f.Size
	}
	return n
}

func (p *Package) check(ctx context.Context) error {
	text, err := p.text(model.ManifestFile)
	if err != nil {
		return err
	}
	if p.Manifest, err = model.ParseManifest(text); err != nil {
		return err
	}
	names := p.Manifest.FileNames()
	if len(names) > MaxFiles {
		return fmt.Errorf("the manifest names %d files; at most %d are taken", len(names), MaxFiles)
	}
	sum := sha256.Sum256(text)
	p.Files = []File{{model.ManifestFile, int64(len(text)), hex.EncodeToString(sum[:])}}
	sums := p.Manifest.Sums()
	for _, name := range names {
		f, err := p.measure(ctx, name)
		if err != nil {
			return err
		}
		if want, ok := sums[name]; ok && want != f.SHA256 {
			return fmt.Errorf("%s is not the file that the manifest names: its SHA-256 is %.12s…, not %.12s…; copy the package again", name, f.SHA256, want)
		}
		p.Files = append(p.Files, f)
	}
	return nil
}

// text reads the manifest.
func (p *Package) text(name string) ([]byte, error) {
	r, size, err := p.from.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s in the package", name)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > conf.MaxSize {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", name, size, conf.MaxSize)
	}
	b, err := io.ReadAll(io.LimitReader(r, conf.MaxSize))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// measure reads one file and sums it up.
func (p *Package) measure(ctx context.Context, name string) (File, error) {
	r, size, err := p.from.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, fmt.Errorf("%s is missing from the package, and the manifest names it; copy the package again, or take it out of the manifest", name)
	}
	if err != nil {
		return File{}, err
	}
	defer r.Close()
	if size > MaxFile {
		return File{}, fmt.Errorf("%s has %d MiB; at most %d are taken", name, size>>20, MaxFile>>20)
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(until{ctx, r}, MaxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", name, err)
	}
	if n != size {
		return File{}, fmt.Errorf("%s changed while it was read; try again", name)
	}
	return File{name, n, hex.EncodeToString(h.Sum(nil))}, nil
}

// until reads until its context ends.
type until struct {
	ctx context.Context
	io.Reader
}

func (u until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(b)
}

// A folder is a package on disk. No name, and no link in it, leads out of it.
type folder struct{ *os.Root }

func (f folder) open(name string) (io.ReadCloser, int64, error) {
	file, err := f.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// A tarball is a package in an open .tar.
type tarball struct {
	*Archive
	file *os.File
}

func (t tarball) open(name string) (io.ReadCloser, int64, error) {
	r, err := t.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(r), r.Size(), nil
}

func (t tarball) Close() error { return t.file.Close() }

// allZero reports whether b holds nothing but zeros.
func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
