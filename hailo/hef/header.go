package hef

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/zeebo/xxh3"
)

// header is the fixed part at the beginning of a file, big-endian (hailort,
// src/hef/hef_internal.hpp). All begin with the magic, a version and the size of
// the description; the checksum covers everything after the header.
//
//	V0  32 bytes: 4 reserved, MD5 (16)
//	V1  28: CRC32 (4), weights' size (8), 4 reserved
//	V2  44: XXH3-64 (8), weights' size (8), 16 reserved
//	V3  56: XXH3-64 (8), weights' size with padding (8), padding (4), size of more (8), 16 reserved
type header struct {
	version int
	length  int64 // of the header itself
	proto   int64 // bytes of the description, which follows
	rest    int64 // bytes after that; -1 if the header does not say
	sum     []byte
}

var (
	magic   = []byte("\x01HEF")
	lengths = [...]int64{32, 28, 44, 56}
)

// gitLFS is how a file begins that git left on the server.
var gitLFS = []byte("version https://git-lfs")

func readHeader(r io.ReaderAt, size int64) (header, error) {
	var b [56]byte
	n, err := r.ReadAt(b[:min(size, int64(len(b)))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return header{}, fmt.Errorf("read the header: %w", err)
	}
	be := binary.BigEndian
	switch got := b[:n]; {
	case bytes.HasPrefix(got, gitLFS):
		return header{}, fmt.Errorf("%w, but a Git LFS pointer of %d bytes to one; fetch it with git lfs pull", ErrNotHEF, size)
	case !bytes.HasPrefix(got, magic):
		return header{}, fmt.Errorf("%w: it begins with %q, want %q", ErrNotHEF, got[:min(4, n)], magic)
	case n < 12:
		return header{}, fmt.Errorf("%w: it ends after %d bytes", ErrDamaged, n)
	case be.Uint32(b[4:]) >= uint32(len(lengths)):
		return header{}, fmt.Errorf("%w: version %d, and this program knows 0 to %d", ErrTooNew, be.Uint32(b[4:]), len(lengths)-1)
	case size > MaxSize:
		return header{}, fmt.Errorf("%w: %d bytes, at most %d", ErrDamaged, size, int64(MaxSize))
	}
	h := header{version: int(be.Uint32(b[4:])), proto: int64(be.Uint32(b[8:])), rest: -1}
	h.length = lengths[h.version]
	if int64(n) < h.length {
		return header{}, fmt.Errorf("%w: it ends within its header, after %d bytes", ErrDamaged, n)
	}
	var rest uint64
	switch h.version {
	case 0:
		h.sum = b[16:32]
	case 1:
		h.sum, rest = b[12:16], be.Uint64(b[16:])
	case 2:
		h.sum, rest = b[12:20], be.Uint64(b[20:])
	case 3:
		h.sum, rest = b[12:20], be.Uint64(b[20:])
		if more := be.Uint64(b[32:]); more <= MaxSize && rest <= MaxSize {
			rest += more
		} else {
			rest = MaxSize + 1
		}
	}
	if rest > MaxSize {
		return header{}, fmt.Errorf("%w: it says that it has over %d bytes of weights", ErrDamaged, int64(MaxSize))
	}
	h.rest = int64(rest)
	return h, h.fits(size)
}

// fits tells a file that was cut off from a whole one.
func (h header) fits(size int64) error {
	want := h.length + h.proto + h.rest
	switch {
	case h.proto > MaxProto:
		return fmt.Errorf("%w: its description has %d bytes, at most %d", ErrDamaged, h.proto, int64(MaxProto))
	case size < want:
		return fmt.Errorf("%w: it is cut off, with %d of %d bytes; copy it again", ErrDamaged, size, want)
	case size > want:
		return fmt.Errorf("%w: it has %d bytes too many", ErrDamaged, size-want)
	}
	return nil
}

func (h header) checksum() string { return [...]string{"md5", "crc32", "xxh3", "xxh3"}[h.version] }

// verify compares the checksum. It reads the whole file, a piece at a time.
func (h header) verify(r io.ReaderAt, size int64) error {
	var sum hash.Hash
	switch h.version {
	case 0:
		sum = md5.New()
	case 1:
		sum = crc32.NewIEEE()
	default:
		sum = xxh3.New()
	}
	if _, err := io.Copy(sum, io.NewSectionReader(r, h.length, size-h.length)); err != nil {
		return fmt.Errorf("read for the checksum: %w", err)
	}
	if got := sum.Sum(nil); !bytes.Equal(got, h.sum) {
		return fmt.Errorf("%w: its %s is %x and should be %x; copy it again", ErrDamaged, h.checksum(), got, h.sum)
	}
	return nil
}
