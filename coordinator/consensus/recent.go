package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// Recent is what was stored last and bbolt has not got yet, in memory.
type recent struct {
	first  uint64            // index of logs[0]
	logs   [][]byte          // records of entries without a gap
	values map[string][]byte // sealed
}

// log is the record of an entry; nil if it is not among these.
func (r *recent) log(index uint64) []byte {
	if index < r.first || index-r.first >= uint64(len(r.logs)) {
		return nil
	}
	return r.logs[index-r.first]
}

func (r *recent) add(c change) {
	if c.key != nil {
		if r.values == nil {
			r.values = map[string][]byte{}
		}
		r.values[string(c.key)] = c.record
		return
	}
	if len(r.logs) == 0 {
		r.first = c.index
	}
	r.logs = append(r.logs, c.record)
}

// A change is a record that is stored: of a log entry, or of a value.
type change struct {
	index  uint64 // of the entry
	key    []byte // of the value; nil for an entry
	record []byte // with its checksum
}

// In a batch of the journal a change is, in big endian:
//
//	key     uint16  length of the value's key; 0 for an entry
//	record  uint32  length of the record
//	...             the value's key, or the entry's index (uint64)
//	...             the record
const changeHead = 2 + 4

func appendChange(b []byte, c change) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.record)))
	if c.key == nil {
		b = binary.BigEndian.AppendUint64(b, c.index)
	}
	return append(append(b, c.key...), c.record...)
}

// readChange reads the first change of b, whose record must be as it was written,
// and returns what follows it.
func readChange(b []byte) (c change, rest []byte, err error) {
	if len(b) < changeHead {
		return c, nil, errors.New("a change is cut off")
	}
	isLog := binary.BigEndian.Uint16(b) == 0
	key, record := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint32(b[2:]))
	if isLog {
		key = 8
	}
	if b = b[changeHead:]; len(b) < key+record {
		return c, nil, fmt.Errorf("a change has %d bytes, want %d", len(b), key+record)
	}
	c.key, c.record = b[:key:key], b[key:key+record:key+record]
	if !isLog {
		if err := unseal(c.key, c.record); err != nil {
			return c, nil, fmt.Errorf("value %q: %w", c.key, err)
		}
		return c, b[key+record:], nil
	}
	c.index, c.key = binary.BigEndian.Uint64(c.key), nil
	var l raft.Log
	if err := decodeLog(logKey(c.index), c.record, &l); err != nil {
		return c, nil, fmt.Errorf("log entry %d: %w", c.index, err)
	}
	return c, b[key+record:], nil
}
