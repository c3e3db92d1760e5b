package modelpack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile writes the package as a .tar with everything in one folder, and returns the
// SHA-256 of the file. The same package makes the same bytes. What stands at path is
// replaced once all of it is written.
func (p *Package) WriteFile(ctx context.Context, path string) (sum string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close(), os.Remove(f.Name()))
		}
	}()
	h := sha256.New()
	if err := p.write(ctx, io.MultiWriter(f, h)); err != nil {
		return "", err
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return "", err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), f.Close()
}

func (p *Package) write(ctx context.Context, to io.Writer) error {
	w := tar.NewWriter(to)
	for _, file := range p.Files {
		if err := p.pack(ctx, w, file); err != nil {
			return err
		}
	}
	return w.Close()
}

func (p *Package) pack(ctx context.Context, w *tar.Writer, file File) error {
	if err := w.WriteHeader(&tar.Header{Name: p.Manifest.Name + "/" + file.Name, Typeflag: tar.TypeReg, Size: file.Size, Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	r, err := p.Open(file.Name)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, until{ctx, r})
	return err
}
