package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// Check reads a bbolt file of the given size page by page, from the file and not through a
// memory map, and reports the first thing that cannot be: bbolt itself has no
// checksum outside of its two meta pages and ends the process on what it does
// not expect. Each record is shown to record in the order of its key.
//
// The format (bbolt v1.5, internal/common: page.go, meta.go, inode.go), in
// the machine's byte order, little endian on all that we build for:
//
//	page     id u64, flags u16, count u16, overflow u32, then count elements
//	branch   pos u32, key size u32, page u64
//	leaf     flags u32 (1 = bucket), pos u32, key size u32, value size u32
//	bucket   root u64 (0: its page follows, inline), sequence u64
//	meta     magic, version, page size, flags u32; root page, sequence, free
//	         list, pages, transaction u64; FNV-1a of those 56 bytes
//
// pos counts from the element's own beginning.
func Check(f io.ReaderAt, size int64, record Record) (where string, err error) {
	c := &checker{f: f, size: size, record: record, seen: map[uint64]bool{}}
	root, err := c.metas()
	if err != nil {
		return "meta pages", err
	}
	if err := c.page(root, "", nil, nil, 0); err != nil {
		return c.where, err
	}
	return "", nil
}

// A Record is shown each record of a file. Its error refuses the file, and where
// says which record that is. The bytes are its own to keep.
type Record func(bucket string, key, value []byte) (where string, err error)

type checker struct {
	f      io.ReaderAt
	size   int64
	pages  uint64 // that are in use or free; none beyond
	seen   map[uint64]bool
	record Record
	where  string // of the error
}

// Constants of the file format.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageHead    = 16
	elementHead = 16
	flagBranch  = 1
	flagLeaf    = 2
	flagMeta    = 4
	flagBucket  = 1  // of a leaf element
	maxDepth    = 32 // of the tree; four levels hold a billion entries
	maxPages    = 16384
)

var le = binary.LittleEndian

// metas reads both meta pages. bbolt would take the older one for the newer if
// that were damaged, and so forget the last transaction, a vote or an
// acknowledged entry: both have to be whole. That refuses a file, too, whose
// storage tore 80 bytes apart in a power cut; it is not to be trusted anyway.
func (c *checker) metas() (root uint64, err error) {
	var newest uint64
	for i := range uint64(2) {
		b := make([]byte, PageSize)
		if _, err := c.f.ReadAt(b, int64(i)*PageSize); err != nil {
			return 0, c.short(err)
		}
		m := b[pageHead:]
		sum := fnv.New64a()
		sum.Write(m[:56])
		switch {
		case le.Uint64(b) != i || le.Uint16(b[8:]) != flagMeta:
			return 0, fmt.Errorf("page %d is no meta page", i)
		case le.Uint32(m) != boltMagic || le.Uint32(m[4:]) != boltVersion || le.Uint32(m[8:]) != PageSize:
			return 0, fmt.Errorf("page %d is not of this format", i)
		case sum.Sum64() != le.Uint64(m[56:]):
			return 0, fmt.Errorf("page %d: %w", i, errSum)
		}
		if tx := le.Uint64(m[48:]); i == 0 || tx > newest {
			newest, root, c.pages = tx, le.Uint64(m[16:]), le.Uint64(m[40:])
		}
	}
	if c.pages > uint64(c.size)/PageSize {
		return 0, fmt.Errorf("the file has %d bytes, %d pages are in use: it is cut off", c.size, c.pages)
	}
	return root, nil
}

func (c *checker) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file has %d bytes only: it is cut off", c.size)
	}
	return err
}

// fail remembers where and returns err.
func (c *checker) fail(where string, err error) error {
	c.where = where
	return err
}

// page checks the tree under one page, whose keys are from low up to but not
// including high (nil: no bound). bucket is "" at the root.
func (c *checker) page(id uint64, bucket string, low, high []byte, depth int) error {
	where := fmt.Sprintf("page %d", id)
	if id < 2 || id >= c.pages || c.seen[id] || depth > maxDepth {
		return c.fail(where, errors.New("it does not belong where it is referred to"))
	}
	head := make([]byte, pageHead)
	if _, err := c.f.ReadAt(head, int64(id)*PageSize); err != nil {
		return c.fail(where, c.short(err))
	}
	overflow := uint64(le.Uint32(head[12:]))
	if le.Uint64(head) != id || overflow >= c.pages-id || overflow >= maxPages {
		return c.fail(where, errors.New("its head is not its own"))
	}
	for i := range overflow + 1 {
		if c.seen[id+i] {
			return c.fail(where, errors.New("it overlaps with another"))
		}
		c.seen[id+i] = true
	}
	b := make([]byte, (overflow+1)*PageSize)
	if _, err := c.f.ReadAt(b, int64(id)*PageSize); err != nil {
		return c.fail(where, c.short(err))
	}
	return c.elements(where, b, bucket, low, high, depth)
}

// elements checks the elements of a page that has been read.
func (c *checker) elements(where string, b []byte, bucket string, low, high []byte, depth int) error {
	flags, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	if flags != flagBranch && flags != flagLeaf || pageHead+count*elementHead > len(b) {
		return c.fail(where, errors.New("its head is wrong"))
	}
	type element struct {
		key, value []byte
		flags      uint32
		child      uint64
	}
	var all []element
	used := pageHead + count*elementHead // where keys and values begin
	for i := range count {
		at := pageHead + i*elementHead
		e := b[at:]
		var one element
		var pos, ksize, vsize uint32
		if flags == flagBranch {
			pos, ksize, one.child = le.Uint32(e), le.Uint32(e[4:]), le.Uint64(e[8:])
		} else {
			one.flags, pos, ksize, vsize = le.Uint32(e), le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
		}
		start := uint64(at) + uint64(pos)
		end := start + uint64(ksize) + uint64(vsize)
		// Elements lie one after the other without a gap.
		if start != uint64(used) || end > uint64(len(b)) {
			return c.fail(where, fmt.Errorf("element %d lies outside", i))
		}
		used = int(end)
		one.key, one.value = b[start:start+uint64(ksize)], b[start+uint64(ksize):end]
		if i > 0 && bytes.Compare(all[i-1].key, one.key) >= 0 ||
			low != nil && bytes.Compare(one.key, low) < 0 || high != nil && bytes.Compare(one.key, high) >= 0 {
			return c.fail(where, fmt.Errorf("the key of element %d is out of order", i))
		}
		all = append(all, one)
	}
	if flags == flagBranch && count == 0 {
		return c.fail(where, errors.New("a branch without elements"))
	}
	for i, e := range all {
		var err error
		switch {
		case flags == flagBranch:
			next := high
			if i+1 < count {
				next = all[i+1].key
			}
			err = c.page(e.child, bucket, e.key, next, depth+1)
		case bucket == "":
			err = c.bucket(where, string(e.key), e.flags, e.value, depth)
		case e.flags != 0:
			err = c.fail(where, errors.New("a bucket within a bucket"))
		default:
			var place string
			if place, err = c.record(bucket, e.key, e.value); err != nil {
				err = c.fail(place, err)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks one bucket, a record at the root.
func (c *checker) bucket(where, name string, flags uint32, value []byte, depth int) error {
	if flags != flagBucket || len(value) < 16 || name == "" {
		return c.fail(where, errors.New("a record that is no bucket"))
	}
	root, inline := le.Uint64(value), value[16:]
	if root != 0 && len(inline) == 0 {
		return c.page(root, name, nil, nil, depth+1)
	}
	if root != 0 || len(inline) < pageHead {
		return c.fail(where, errors.New("a bucket that is neither here nor elsewhere"))
	}
	return c.elements(where+", bucket "+name, inline, name, nil, nil, depth+1)
}
