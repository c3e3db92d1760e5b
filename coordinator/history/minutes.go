package history

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// A cell is one field of a stream within one minute.
type cell struct {
	minute byte   // of the hour
	field  string // empty for a value that is one number
	unit   string
}

// A figure sums the samples of a cell up.
type figure struct {
	min, max, sum float64
	count         uint64
	unsynced      uint64 // of them, by a clock that was not set
}

// figure is that of one number of a row.
func (r Row) figure(x float64) figure {
	f := figure{x, x, x, 1, 0}
	if r.Unsynced != 0 {
		f.unsynced = 1
	}
	return f
}

// addMinutes adds rows of one hour of a stream to its minutes. Those that are damaged
// begin anew.
func (s *Store) addMinutes(tx *bbolt.Tx, k streamHour, rows []Row) error {
	b := tx.Bucket([]byte(bucketMinutes))
	all, err := readMinutes(get(b, k.bytes()))
	if err != nil {
		s.leaveOut(bucketMinutes, k.bytes(), err)
		all = map[cell]figure{}
	}
	for _, r := range rows {
		if r.Gap != nil {
			continue
		}
		minute := byte(r.At.Unix() / 60 % 60)
		if r.Value.All() == nil {
			c := cell{minute, "", r.Value.Unit()}
			all[c] = all[c].join(r.figure(r.Value.Number()))
		}
		for field, x := range r.Value.All() {
			c := cell{minute, field, ""}
			all[c] = all[c].join(r.figure(x))
		}
	}
	if len(all) == 0 {
		return nil
	}
	body, err := deflate(appendMinutes(all))
	if err != nil {
		return err
	}
	return put(b, k.bytes(), body)
}

func (c cell) compare(other cell) int {
	if n := int(c.minute) - int(other.minute); n != 0 {
		return n
	}
	if n := strings.Compare(c.field, other.field); n != 0 {
		return n
	}
	return strings.Compare(c.unit, other.unit)
}

// unsure is added to the minute of a cell that has samples by a clock that was not set.
const unsure = 0x80

// appendMinutes writes of each cell: the minute u8, field and unit as texts of up
// to 255 bytes, min, max and sum f64 little endian, the count uvarint; if the minute is
// marked unsure, how many of them are by a clock that was not set, uvarint.
func appendMinutes(all map[cell]figure) []byte {
	var b []byte
	for _, c := range slices.SortedFunc(maps.Keys(all), cell.compare) {
		f := all[c]
		marked := c.minute
		if f.unsynced > 0 {
			marked |= unsure
		}
		b = append(b, marked, byte(len(c.field)))
		b = append(b, c.field...)
		b = append(b, byte(len(c.unit)))
		b = append(b, c.unit...)
		for _, x := range []float64{f.min, f.max, f.sum} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		b = binary.AppendUvarint(b, f.count)
		if f.unsynced > 0 {
			b = binary.AppendUvarint(b, f.unsynced)
		}
	}
	return b
}

// readMinutes reads the deflated minutes of an hour; none if there are no bytes.
func readMinutes(deflated []byte) (map[cell]figure, error) {
	all := map[cell]figure{}
	if len(deflated) == 0 {
		return all, nil
	}
	return all, eachMinute(deflated, func(c cell, f figure) { all[c] = f })
}

// eachMinute gives the deflated minutes of an hour as they were written, by time.
func eachMinute(deflated []byte, give func(cell, figure)) error {
	b, err := inflate(deflated)
	if err != nil {
		return err
	}
	known := map[string]string{} // the same few fields and units come again each minute
	for len(b) > 0 {
		c, marked := cell{minute: b[0] &^ unsure}, b[0]&unsure != 0
		var ok bool
		if c.field, b, ok = shortText(known, b[1:]); !ok {
			return errBlock
		}
		if c.unit, b, ok = shortText(known, b); !ok || len(b) < 24 || c.minute > 59 {
			return errBlock
		}
		var f figure
		for _, x := range []*float64{&f.min, &f.max, &f.sum} {
			*x = math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
		}
		count, n := binary.Uvarint(b)
		if n <= 0 || count == 0 {
			return fmt.Errorf("%w: a minute of nothing", errBlock)
		}
		f.count, b = count, b[n:]
		if marked {
			if f.unsynced, n = binary.Uvarint(b); n <= 0 || f.unsynced == 0 || f.unsynced > f.count {
				return fmt.Errorf("%w: a minute with more of a clock that was not set than there is", errBlock)
			}
			b = b[n:]
		}
		give(c, f)
	}
	return nil
}

func shortText(known map[string]string, b []byte) (text string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	text, there := known[string(b[1:n])]
	if !there {
		text = string(b[1:n])
		known[text] = text
	}
	return text, b[n:], true
}
