package consensus

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/bbolt"
)

// A sum says which log records there are, all of them together. bbolt never
// writes over a page but makes a new one, and the old ones stay in the file as
// free: a damaged reference from page to page can lead to an older version of a
// page, whose every record is in order. Their number and the sum of their
// checksums tell. The sum is written in each transaction, into a page that is
// written anyway, and referred to by the meta pages, which have a checksum.
type sum struct {
	count uint64
	crcs  uint64 // sum of the records' CRCs, modulo 2^64
}

// keySum is where the sum is, in the stable bucket.
var keySum = []byte("prime-spark/sum")

// errNoSum tells that the sum itself is not there.
var errNoSum = errors.New("it has no sum of its log entries")

func (s *sum) add(record []byte) {
	s.count++
	s.crcs += uint64(binary.BigEndian.Uint32(record))
}

func (s *sum) drop(record []byte) {
	s.count--
	s.crcs -= uint64(binary.BigEndian.Uint32(record))
}

// write puts s into the store in place of the one before.
func (s sum) write(tx *bbolt.Tx) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 4), s.count)
	return tx.Bucket(bucketStable).Put(keySum, seal(keySum, binary.BigEndian.AppendUint64(b, s.crcs)))
}

func readSum(tx *bbolt.Tx) sum { return decodeSum(tx.Bucket(bucketStable).Get(keySum)) }

// decodeSum reads a sealed sum; the zero one from what is none.
func decodeSum(sealed []byte) sum {
	if len(sealed) != 20 {
		return sum{}
	}
	return sum{binary.BigEndian.Uint64(sealed[4:]), binary.BigEndian.Uint64(sealed[12:])}
}
