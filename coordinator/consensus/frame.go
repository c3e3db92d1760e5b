package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A journal is a row of batches, each of which begins a block and was on the disk
// before the next one was written. A batch lies in sectors, the least that a disk
// writes whole:
//
//	start  uint8  startMark
//	body   510 bytes
//	end    uint8  endMark
//
// and its bodies hold one after another, in big endian:
//
//	generation  uint64  which filling of the journal this is
//	number      uint64  of the batch in it, from 0
//	size        uint32  bytes of the payload
//	payload     uint32  CRC-32C of the payload
//	head        uint32  CRC-32C of the four above
//	...                 the payload, and zeros up to the end of the sector
//
// Where nothing was written yet, there are zeros. So a power cut leaves a batch of
// which sectors, or the ends of sectors, are zero, and a mark there is missing. A
// batch with all of its marks whose checksum differs was whole once: it is damage.
const (
	sectorSize = 512
	blockSize  = 4096 // what the kernel and most disks write at a time
	bodySize   = sectorSize - 2
	batchHead  = 8 + 8 + 4 + 4 + 4

	startMark = 0xa5
	endMark   = 0x5a
)

// batchSize is the room that a batch takes in a journal, in bytes.
func batchSize(payload int) int {
	n := (batchHead+payload+bodySize-1)/bodySize*sectorSize + blockSize - 1
	return n - n%blockSize
}

// encodeBatch makes the bytes of a batch, whole blocks.
func encodeBatch(generation, number uint64, payload []byte) []byte {
	content := make([]byte, 0, batchHead+len(payload))
	content = binary.BigEndian.AppendUint64(content, generation)
	content = binary.BigEndian.AppendUint64(content, number)
	content = binary.BigEndian.AppendUint32(content, uint32(len(payload)))
	content = binary.BigEndian.AppendUint32(content, crc32.Checksum(payload, castagnoli))
	content = binary.BigEndian.AppendUint32(content, crc32.Checksum(content, castagnoli))
	content = append(content, payload...)
	b := make([]byte, batchSize(len(payload)))
	for sector := b; len(content) > 0; sector = sector[sectorSize:] {
		sector[0], sector[sectorSize-1] = startMark, endMark
		content = content[copy(sector[1:sectorSize-1], content):]
	}
	return b
}

// readJournal returns the payloads of a generation in the order in which they
// were written. What a power cut left of the last one, or of an older generation
// that was being wiped, is passed over. The error says at which byte something is
// damaged that was on the disk.
func readJournal(file []byte, generation uint64) (payloads [][]byte, err error) {
	for at := 0; at+blockSize <= len(file); {
		h, err := readHead(file[at:])
		number := uint64(len(payloads))
		switch {
		case errors.Is(err, errTorn):
			return payloads, endsAt(file, at, generation, number)
		case err != nil:
			return nil, fmt.Errorf("batch at byte %d: %w", at, err)
		case at == 0 && h.generation < generation:
			return nil, nil // it was not wiped yet: no other is of the new one
		case h.generation != generation || h.number != number:
			return nil, fmt.Errorf("batch at byte %d: it is batch %d of generation %d, want batch %d of %d", at, h.number, h.generation, number, generation)
		case batchSize(int(h.size)) > len(file)-at:
			return nil, fmt.Errorf("batch at byte %d: its %d bytes do not fit into the file", at, h.size)
		}
		payload, err := h.payload(file[at:])
		if errors.Is(err, errTorn) {
			return payloads, endsAt(file, at, generation, number)
		}
		if err != nil {
			return nil, fmt.Errorf("batch at byte %d: %w", at, err)
		}
		payloads = append(payloads, payload)
		at += batchSize(int(h.size))
	}
	return payloads, nil
}

// endsAt refuses a journal that goes on behind what looks like its end: a batch is
// begun when all before it are on the disk.
func endsAt(file []byte, at int, generation, number uint64) error {
	for next := at + blockSize; next+blockSize <= len(file); next += blockSize {
		if h, err := readHead(file[next:]); err == nil && h.generation == generation && h.number > number {
			return fmt.Errorf("batch at byte %d: it is not whole, and batch %d comes after it", at, h.number)
		}
	}
	return nil
}

// errTorn tells that a batch was never written to its end.
var errTorn = errors.New("it was not written to its end")

// A head is what a batch says of itself.
type head struct {
	generation, number uint64
	size, crc          uint32
}

// readHead reads the head of the batch whose first sector b begins with. The error
// is errTorn where there is none, or the beginning of one.
func readHead(b []byte) (head, error) {
	c := b[1:]
	if binary.BigEndian.Uint32(c[24:]) == crc32.Checksum(c[:24], castagnoli) {
		return head{binary.BigEndian.Uint64(c), binary.BigEndian.Uint64(c[8:]), binary.BigEndian.Uint32(c[16:]), binary.BigEndian.Uint32(c[20:])}, nil
	}
	if torn(b[:sectorSize]) {
		return head{}, errTorn
	}
	return head{}, errRecord
}

// payload reads the payload of the batch that b begins with, which is as long as
// the head says.
func (h head) payload(b []byte) ([]byte, error) {
	left := batchHead + int(h.size)
	content := make([]byte, 0, left)
	isTorn := false
	for ; left > 0; b = b[sectorSize:] {
		n := min(left, bodySize)
		content = append(content, b[1:1+n]...)
		isTorn = isTorn || torn(b[:sectorSize])
		left -= n
	}
	payload := content[batchHead:]
	switch {
	case crc32.Checksum(payload, castagnoli) == h.crc:
		return payload, nil
	case isTorn:
		return nil, errTorn
	}
	return nil, errRecord
}

// torn tells that a sector lacks a mark.
func torn(sector []byte) bool { return sector[0] == 0 || sector[sectorSize-1] == 0 }
