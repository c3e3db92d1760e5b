package rpc

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/sync/semaphore"

	"primespark/shared/problem"
)

// firstRead is a message buffer's first size, at most.
const firstRead = 64 << 10

// A frames reads the messages of one call, each a byte that tells whether it is
// compressed, four bytes of length, and so many bytes.
type frames struct {
	from io.Reader
	gzip bool
	most int64               // bytes of one message
	room *semaphore.Weighted // bytes of all messages of all calls
	held int64               // bytes of it that this call has
	buf  []byte              // the memory of the last message
}

// errEnd means that the client has sent its last message.
var errEnd = errors.New("no more messages")

// next returns the next message, or errEnd. Its memory is that of the one before. arrive
// is called when a message has begun, and may set a time for the rest of it.
func (f *frames) next(arrive func()) ([]byte, error) {
	var head [5]byte
	switch n, err := io.ReadFull(f.from, head[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, errEnd
	case err != nil:
		return nil, broken(err)
	}
	if arrive != nil {
		arrive()
	}
	size := int64(binary.BigEndian.Uint32(head[1:]))
	if size > f.most {
		return nil, tooLarge(f.most)
	}
	compressed := head[0] == 1
	if head[0] > 1 || compressed && !f.gzip {
		return nil, problem.New(problem.Invalid, "Name the compression in grpc-encoding; gzip is understood.", "A message has the flag %d, and grpc-encoding names nothing for it.", head[0])
	}
	if !compressed {
		return f.fill(f.from, size, false)
	}
	limited := &io.LimitedReader{R: f.from, N: size}
	z, err := gzip.NewReader(limited)
	if err != nil {
		return nil, broken(err)
	}
	message, err := f.fill(z, f.most+1, true)
	switch {
	case err != nil:
		return nil, err
	case int64(len(message)) > f.most:
		return nil, tooLarge(f.most)
	case limited.N > 0:
		return nil, broken(errors.New("something follows the compressed message"))
	}
	return message, nil
}

// fill reads exactly size bytes, or with upTo at most so many. The buffer grows
// with what arrives, not with what a header announces.
func (f *frames) fill(from io.Reader, size int64, upTo bool) ([]byte, error) {
	f.buf = f.buf[:0]
	for int64(len(f.buf)) < size {
		if len(f.buf) == cap(f.buf) {
			if err := f.grow(min(size, max(firstRead, 2*int64(cap(f.buf))))); err != nil {
				return nil, err
			}
		}
		end := min(size, int64(cap(f.buf)))
		n, err := from.Read(f.buf[len(f.buf):end])
		f.buf = f.buf[:len(f.buf)+n]
		if errors.Is(err, io.EOF) {
			if upTo || int64(len(f.buf)) == size {
				return f.buf, nil
			}
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, broken(err)
		}
	}
	return f.buf, nil
}

func (f *frames) grow(size int64) error {
	if !f.room.TryAcquire(size - f.held) {
		return &problem.Error{
			Code: problem.Busy, Detail: "This node is taking in as many messages as it has memory for.",
			Remedy: "Try again in a second, or ask another node.",
		}
	}
	f.held = size
	f.buf = append(make([]byte, 0, size), f.buf...)
	return nil
}

// finish checks that nothing follows the one message of a unary call.
func (f *frames) finish() error {
	switch n, err := io.ReadFull(f.from, make([]byte, 1)); {
	case n > 0:
		return problem.New(problem.Invalid, "Send one, or use ModelStreamInfer.", "The call takes one message, and more of them came.")
	case !errors.Is(err, io.EOF):
		return broken(err)
	}
	return nil
}

// close gives the memory back.
func (f *frames) close() {
	f.room.Release(f.held)
	f.held, f.buf = 0, nil
}

func tooLarge(most int64) error {
	return problem.New(problem.TooLarge, "Send a smaller one; for images, a JPEG instead of raw tensors.",
		"A message is larger than %d bytes.", most)
}

func broken(err error) error {
	e := &problem.Error{
		Code: problem.Invalid, Err: err, Detail: "A message did not arrive whole.",
		Remedy: "Send it again.",
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e.Detail, e.Remedy = "A message did not arrive in time.", "Send it faster, or send less."
	}
	return e
}

// send writes one message, uncompressed.
func send(w io.Writer, m message) error {
	var head [5]byte
	binary.BigEndian.PutUint32(head[1:], uint32(m.size()))
	for _, part := range append(message{head[:]}, m...) {
		if len(part) == 0 {
			continue
		}
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("%w: %w", http.ErrAbortHandler, err)
		}
	}
	return nil
}
