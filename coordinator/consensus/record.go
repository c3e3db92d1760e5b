package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// A log record is, in big endian:
//
//	crc   uint32  CRC-32C of the key (the index) and of all that follows
//	term  uint64
//	at    int64   when the leader appended it, Unix ns; 0 if unknown
//	type  uint8
//	ext   uint32  length of the extensions, which come first
//	...           extensions, then data
//
// and a record of the stable store the same CRC, then the value.
const recordHead = 4 + 8 + 8 + 1 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRecord tells that bytes are not those that were written.
var errRecord = errors.New("checksum differs")

// logKey is the key of a log record; it sorts as the index does.
func logKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func encodeLog(key []byte, l *raft.Log) []byte {
	b := make([]byte, recordHead, recordHead+len(l.Extensions)+len(l.Data))
	binary.BigEndian.PutUint64(b[4:], l.Term)
	if !l.AppendedAt.IsZero() {
		binary.BigEndian.PutUint64(b[12:], uint64(l.AppendedAt.UnixNano()))
	}
	b[20] = byte(l.Type)
	binary.BigEndian.PutUint32(b[21:], uint32(len(l.Extensions)))
	b = append(append(b, l.Extensions...), l.Data...)
	return seal(key, b)
}

// decodeLog reads a record into l. It copies: value is the database's memory.
func decodeLog(key, value []byte, l *raft.Log) error {
	if len(key) != 8 {
		return fmt.Errorf("its key has %d bytes, want 8", len(key))
	}
	if len(value) < recordHead {
		return fmt.Errorf("it has %d bytes, at least %d are needed", len(value), recordHead)
	}
	if err := unseal(key, value); err != nil {
		return err
	}
	body := value[recordHead:]
	ext := binary.BigEndian.Uint32(value[21:])
	if uint64(ext) > uint64(len(body)) {
		return errors.New("its extensions are longer than itself")
	}
	*l = raft.Log{
		Index: binary.BigEndian.Uint64(key),
		Term:  binary.BigEndian.Uint64(value[4:]),
		Type:  raft.LogType(value[20]),
		Data:  append([]byte(nil), body[ext:]...),
	}
	if at := int64(binary.BigEndian.Uint64(value[12:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	if ext > 0 {
		l.Extensions = append([]byte(nil), body[:ext]...)
	}
	return nil
}

// seal writes the checksum of key and b[4:] into the first four bytes of b.
func seal(key, b []byte) []byte {
	binary.BigEndian.PutUint32(b, checksum(key, b[4:]))
	return b
}

func unseal(key, value []byte) error {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return errRecord
	}
	return nil
}

func checksum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
}
