// Package envelope is the outer form of a backup file: a header that anybody may
// read, a body that is nobody's business here (it is encrypted), and a checksum
// over both, so that a damaged file is told from a whole one without any key.
//
// The header is one line of JSON. The file ends with a line of fixed length:
//
//	{"prime_spark_backup":1,"cluster":"home","at":"...",...}\n
//	body
//	\nsha256 64 hexadecimal digits\n
//
// The checksum is no signature: it finds what a disk or a copy did to the file.
// What a person did to it, decrypting the body finds.
package envelope

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Format is the one that is written; it is raised when an older program could
// not read the file any more.
const Format = 1

// A Header says of a backup what is no secret.
type Header struct {
	Format   int       `json:"prime_spark_backup"`
	Cluster  string    `json:"cluster"`
	At       time.Time `json:"at"`             // when it was made
	Index    uint64    `json:"index"`          // of the last command in the state
	Checksum string    `json:"state_checksum"` // of the state, as GET /v1/status shows it
	Version  string    `json:"version"`        // of the program that made it
}

// ErrDamaged is the kind of an error that lies in the bytes of the file.
var ErrDamaged = errors.New("the backup is damaged")

// ErrFormat tells that a newer program wrote the file.
var ErrFormat = errors.New("the backup is of a newer format; update this program")

const (
	maxHeader = 4 << 10
	mark      = "\nsha256 "
	tailSize  = int64(len(mark) + 2*sha256.Size + 1)
)

// A Writer writes one file. What was written is whole only after Close.
type Writer struct {
	to  io.Writer
	sum hash.Hash
}

// NewWriter writes the header; its Format is set here.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Format, h.At = Format, h.At.UTC()
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the backup's header: %w", err)
	}
	if len(line) >= maxHeader {
		return nil, fmt.Errorf("the backup's header has %d bytes, at most %d are allowed", len(line), maxHeader-1)
	}
	e := &Writer{w, sha256.New()}
	_, err = e.Write(append(line, '\n'))
	return e, err
}

// Write appends to the body.
func (e *Writer) Write(b []byte) (int, error) {
	n, err := e.to.Write(b)
	e.sum.Write(b[:n]) // never fails, by its documentation
	return n, err
}

// Close writes the checksum. It does not close what is written to.
func (e *Writer) Close() error {
	_, err := io.WriteString(e.to, mark+hex.EncodeToString(e.sum.Sum(nil))+"\n")
	return err
}

// Open checks the whole file and returns its header and its body. The error is
// ErrDamaged if a single byte is not as it was written, and ErrFormat for a file
// of the future.
func Open(r io.ReadSeeker) (Header, io.Reader, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return Header{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	if size <= tailSize {
		return Header{}, nil, fmt.Errorf("%w: it has %d bytes only", ErrDamaged, size)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Header{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, r, size-tailSize); err != nil {
		return Header{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	tail := make([]byte, tailSize)
	if _, err := io.ReadFull(r, tail); err != nil {
		return Header{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	if want := mark + hex.EncodeToString(sum.Sum(nil)) + "\n"; string(tail) != want {
		return Header{}, nil, fmt.Errorf("%w: it is cut off, or its checksum differs", ErrDamaged)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Header{}, nil, fmt.Errorf("read the backup: %w", err)
	}
	body := bufio.NewReaderSize(io.LimitReader(r, size-tailSize), maxHeader)
	line, err := body.ReadSlice('\n')
	if err != nil {
		return Header{}, nil, fmt.Errorf("%w: it has no header", ErrDamaged)
	}
	h, err := parse(line)
	return h, body, err
}

// parse reads the header. Fields that this program does not know are of a newer
// one, and of no harm.
func parse(line []byte) (Header, error) {
	var h Header
	if err := json.Unmarshal(bytes.TrimSpace(line), &h); err != nil || h.Format < 1 {
		return Header{}, fmt.Errorf("%w: its header is not one of a backup", ErrDamaged)
	}
	if h.Format > Format {
		return Header{}, fmt.Errorf("%w (it is of format %d, this program reads up to %d)", ErrFormat, h.Format, Format)
	}
	return h, nil
}
