package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"primespark/shared/problem"
)

const (
	firstRead = 64 << 10 // a buffer's first size
	keep      = 4        // buffers that wait for the next request
	keepable  = 1 << 20  // bytes of one; larger ones wait only until the collector comes by
	front     = 4        // bytes before a body, by which it becomes an element of a tensor where it is
)

// bodies reads request bodies into memory, of which there is a bounded amount
// for all of them. A buffer grows with what arrives, not with what a header
// announces, so that a slow sender holds no more than it has sent.
type bodies struct {
	mu   sync.Mutex
	free int64 // bytes that buffers may still take
	idle [][]byte

	large sync.Pool // of *[]byte, for tensors that are sent raw; not counted while they wait
}

// A body is the bytes of one request until they are given back.
type body struct {
	buf   []byte // the bytes, and some to spare in front of them
	most  int64  // bytes that it may have
	owner *bodies
}

func (g *body) bytes() []byte { return g.buf[front:] }

// read returns the whole body of r, of at most so many bytes. The caller gives
// it back with release.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, most int64) (*body, error) {
	if r.ContentLength > most {
		return nil, &http.MaxBytesError{Limit: most} // problem.Of has the words
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, problem.New(problem.BadMedia, "Send the body uncompressed; images are compressed already.",
			"The content encoding %s is not understood.", clip(e))
	}
	got := &body{owner: b, most: most}
	if err := got.grow(firstRead); err != nil {
		return nil, err
	}
	from := http.MaxBytesReader(w, r.Body, most)
	for {
		n, err := from.Read(got.buf[len(got.buf):cap(got.buf)])
		got.buf = got.buf[:len(got.buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return got, nil
		case err != nil:
			got.release()
			return nil, unread(err)
		case len(got.buf) == cap(got.buf):
			if err := got.grow(wanted(cap(got.buf), r.ContentLength)); err != nil {
				got.release()
				return nil, err
			}
		}
	}
}

// wanted is how large a full buffer is to become: four times as large, or large enough
// for what was announced, and one more byte in which the end shows.
func wanted(size int, announced int64) int {
	if all := front + announced + 1; announced >= 0 && all > int64(size) {
		return int(min(int64(4*size), all))
	}
	return 4 * size
}

// unread says why a body did not arrive.
func unread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err // problem.Of has the words
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &problem.Error{
			Code: problem.Invalid, Detail: "The body did not arrive in " + readTime.String() + ".",
			Remedy: "Send it faster, or send less.", Err: err,
		}
	}
	return &problem.Error{
		Code: problem.Invalid, Detail: "The body ended before its announced length, or is not framed as HTTP says.",
		Remedy: "Send as many bytes as Content-Length says.", Err: err,
	}
}

// grow makes room for size bytes in all, or as many as a body may have and one
// more, by which the reader finds out that there are too many.
func (g *body) grow(size int) error {
	b := g.owner
	size = int(min(int64(size), front+g.most+1))
	b.mu.Lock()
	var next []byte
	for i, buf := range b.idle {
		if cap(buf) >= size {
			next = buf[:0]
			b.idle = append(b.idle[:i], b.idle[i+1:]...)
			b.free += int64(cap(buf))
			break
		}
	}
	want := int64(max(size, cap(next)))
	if b.free < want { // the idle ones are the first to go
		for _, buf := range b.idle {
			b.free += int64(cap(buf))
		}
		b.idle = nil
	}
	if b.free < want {
		b.mu.Unlock()
		return &problem.Error{
			Code: problem.Busy, Detail: "This node is taking in as much as it has memory for.",
			Remedy: "Try again in a second, or ask another node.", RetryAfter: time.Second,
		}
	}
	b.free -= want
	b.mu.Unlock()
	if next == nil {
		next = b.another(size)
	}
	old := g.buf
	g.buf = append(next[:front], old[min(front, len(old)):]...)
	b.give(old)
	return nil
}

// release gives the buffer back; nothing may look at it afterwards.
func (g *body) release() {
	g.owner.give(g.buf)
	g.buf = nil
}

// another returns a buffer of that size, which may be one that the collector has left.
func (b *bodies) another(size int) []byte {
	if size > keepable {
		if p, ok := b.large.Get().(*[]byte); ok && cap(*p) >= size {
			return (*p)[:0:size]
		}
	}
	return make([]byte, 0, size)
}

func (b *bodies) give(buf []byte) {
	if cap(buf) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.idle) < keep && cap(buf) <= keepable {
		b.idle = append(b.idle, buf) // and still counted
		return
	}
	b.free += int64(cap(buf))
	if cap(buf) > keepable {
		b.large.Put(&buf)
	}
}
