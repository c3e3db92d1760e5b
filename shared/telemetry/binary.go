package telemetry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// The kinds of a sample on a disk. They are there for good.
const (
	kindNumber = 1
	kindFields = 2
	kindGap    = 3

	kindUnsynced = 0x10 // added to one of these: by a clock that was not set
)

var errBinary = errors.New("no sample")

// AppendBinary appends a sample as it lies on disks, without a checksum:
//
//	kind u8, boot varint, seq uvarint, at varint (Unix ns), unsynced uvarint if the kind says so, stream text
//	number: the number f64, unit text; fields: their count uvarint, then of each name text, f64
//	gap:    from uvarint, reason text
//
// where a text is its length, uvarint, and its bytes, and an f64 little endian.
func AppendBinary(b []byte, s Sample) []byte {
	kind := byte(kindNumber)
	switch {
	case s.Gap != nil:
		kind = kindGap
	case s.Value.fields != nil:
		kind = kindFields
	}
	unsynced := byte(0)
	if s.Unsynced != 0 {
		unsynced = kindUnsynced
	}
	b = append(b, kind|unsynced)
	b = binary.AppendVarint(b, s.Boot)
	b = binary.AppendUvarint(b, s.Seq)
	b = binary.AppendVarint(b, s.At.UnixNano())
	if s.Unsynced != 0 {
		b = binary.AppendUvarint(b, uint64(s.Unsynced))
	}
	b = appendText(b, string(s.Stream))
	switch kind {
	case kindNumber:
		return appendText(appendFloat(b, s.Value.number), s.Value.unit)
	case kindGap:
		return appendText(binary.AppendUvarint(b, s.Gap.From), s.Gap.Reason)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Value.fields)))
	for _, name := range slices.Sorted(maps.Keys(s.Value.fields)) {
		b = appendFloat(appendText(b, name), s.Value.fields[name])
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFloat(b []byte, x float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
}

// ReadBinary reads one sample that AppendBinary wrote, and returns what follows it.
func ReadBinary(b []byte) (s Sample, rest []byte, err error) {
	r := reader{b: b}
	kind := r.byte()
	s.Boot, s.Seq = r.varint(), r.uvarint()
	s.At = time.Unix(0, r.varint()).UTC()
	if kind&kindUnsynced != 0 {
		n := r.uvarint()
		r.bad = r.bad || n == 0 || n > math.MaxUint32
		s.Unsynced = uint32(n)
		kind &^= kindUnsynced
	}
	s.Stream = Stream(r.text())
	switch kind {
	case kindNumber:
		s.Value.number = r.float()
		s.Value.unit = r.text()
	case kindFields:
		n := r.uvarint()
		if n > fieldsMost {
			return Sample{}, nil, fmt.Errorf("%w: of %d fields", errBinary, n)
		}
		s.Value.fields = make(map[string]float64, n)
		for range n {
			name := r.text()
			s.Value.fields[name] = r.float()
		}
	case kindGap:
		s.Gap = &Gap{From: r.uvarint(), Reason: r.text()}
	default:
		r.bad = true
	}
	if r.bad {
		return Sample{}, nil, errBinary
	}
	return s, r.b, s.check()
}

// A reader reads from b until it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.b)
	return take(r, x, n)
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	return take(r, x, n)
}

func take[T int64 | uint64](r *reader, x T, n int) T {
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.bad = true
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return x
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > 64 || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
