package modelpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"primespark/shared/model"
)

// maxEntries bounds the entries of a tar, those that the package does not need too.
const maxEntries = 1024

// An Archive is the index of a .tar that holds one package, at its top or in one
// folder: tar -cf yolox-nano.tar yolox-nano, or tar -C yolox-nano -cf yolox-nano.tar .
type Archive struct {
	from    io.ReaderAt
	entries map[string]extent
}

// An extent is where a file lies in the archive.
type extent struct{ offset, size int64 }

// ReadArchive reads the index of an archive of so many bytes. What is no plain tar,
// was cut off, or holds links, devices, sparse files or names that lead out of the
// package, is refused.
func ReadArchive(from io.ReaderAt, size int64) (*Archive, error) {
	if err := notCompressed(from); err != nil {
		return nil, err
	}
	all, end, err := index(from, size)
	if err != nil {
		return nil, err
	}
	var mark [512]byte
	if _, err := from.ReadAt(mark[:], end); err != nil || !allZero(mark[:]) {
		return nil, errors.New("the archive ends before its end mark, so it was cut off; copy it again")
	}
	top, err := topOf(all)
	if err != nil {
		return nil, err
	}
	a := &Archive{from: from, entries: map[string]extent{}}
	for name, e := range all {
		if path.Dir(name) == top {
			a.entries[path.Base(name)] = e
		}
	}
	return a, nil
}

// notCompressed tells a compressed archive from a broken one.
func notCompressed(from io.ReaderAt) error {
	var head [6]byte
	if _, err := from.ReadAt(head[:], 0); err != nil {
		return errors.New("the file is too short for a .tar; copy it again")
	}
	for magic, tool := range map[string]string{"\x1f\x8b": "gunzip", "\xfd7zXZ": "unxz", "\x28\xb5\x2f\xfd": "unzstd", "BZh": "bunzip2", "PK\x03\x04": "unzip"} {
		if strings.HasPrefix(string(head[:]), magic) {
			return fmt.Errorf("the archive is compressed; unpack it with %s first, networks gain little by it", tool)
		}
	}
	return nil
}

// index walks through the archive. End is where the last file's blocks end.
func index(from io.ReaderAt, size int64) (all map[string]extent, end int64, err error) {
	section := io.NewSectionReader(from, 0, size)
	r := tar.NewReader(section) // it reads no further than it has to, and skips by seeking
	all = map[string]extent{}
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, end, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("it is no whole .tar: %w; copy it again", err)
		}
		if n == maxEntries {
			return nil, 0, fmt.Errorf("the archive has more than %d entries; pack the model's files alone", maxEntries)
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, 0, fmt.Errorf("read the archive: %w", err)
		}
		length, err := add(all, h, offset)
		if err != nil {
			return nil, 0, err
		}
		if length > size-offset {
			return nil, 0, fmt.Errorf("the archive ends within %q, so it was cut off; copy it again", clip(h.Name))
		}
		end = (offset + length + 511) / 512 * 512
	}
}

// add notes an entry and returns how many bytes it has in the archive.
func add(all map[string]extent, h *tar.Header, offset int64) (int64, error) {
	name := path.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return 0, nil
	case tar.TypeReg:
	default:
		return 0, fmt.Errorf("%q is not a regular file; pack the files themselves, without links", clip(h.Name))
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return 0, fmt.Errorf("%q is packed with holes; pack it without --sparse", clip(h.Name))
		}
	}
	if !fs.ValidPath(name) || strings.HasPrefix(h.Name, "/") {
		return 0, fmt.Errorf("the name %q leads out of the package", clip(h.Name))
	}
	if _, twice := all[name]; twice {
		return 0, fmt.Errorf("%q is in the archive twice", clip(name))
	}
	all[name] = extent{offset, h.Size}
	return h.Size, nil
}

// topOf finds the folder of the manifest: the archive's top, or one below it.
func topOf(all map[string]extent) (string, error) {
	top, found := "", 0
	for name := range all {
		if path.Base(name) == model.ManifestFile && strings.Count(name, "/") <= 1 {
			top, found = path.Dir(name), found+1
		}
	}
	switch found {
	case 0:
		return "", fmt.Errorf("there is no %s in the package", model.ManifestFile)
	case 1:
		return top, nil
	}
	return "", fmt.Errorf("the archive holds %d packages; hand them over one by one", found)
}

// Open returns the contents of a file; fs.ErrNotExist if there is none.
func (a *Archive) Open(name string) (*io.SectionReader, error) {
	e, ok := a.entries[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NewSectionReader(a.from, e.offset, e.size), nil
}

// clip shortens a name for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// Names lists the files of the package, sorted.
func (a *Archive) Names() []string { return slices.Sorted(maps.Keys(a.entries)) }
