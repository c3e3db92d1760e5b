package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/shared/oip"
	"primespark/shared/problem"
)

// An answer is what the REST handler wrote. It is a ResponseWriter in memory.
type answer struct {
	header  http.Header
	status  int // 0 if the handler broke off
	body    bytes.Buffer
	outside *http.ResponseController // of the call
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if n, err := strconv.Atoi(a.header.Get("Content-Length")); err == nil && n > 0 && n < maxKnown {
		a.body.Grow(n)
	}
}

// maxKnown bounds what is reserved on the word of a header.
const maxKnown = 64 << 20

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// SetReadDeadline and SetWriteDeadline are the call's, by http.ResponseController:
// a handler that works for longer than the connection allows says so.
func (a *answer) SetReadDeadline(t time.Time) error  { return a.outside.SetReadDeadline(t) }
func (a *answer) SetWriteDeadline(t time.Time) error { return a.outside.SetWriteDeadline(t) }

// err is the problem that the answer is, or nil.
func (a *answer) err() error {
	switch {
	case a.status == 0:
		return &problem.Error{
			Code: problem.Unreachable, Err: errors.New("the REST handler broke off"),
			Detail: "The answer broke off.", Remedy: "Try again.",
		}
	case a.status != http.StatusOK:
		return problem.Read(a.status, a.header, a.body.Bytes())
	}
	return nil
}

// ask has the REST handler answer a request with a small body in JSON.
func (c *call) ask(ctx context.Context, method, path string, body []byte) *answer {
	if !c.until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.until)
		defer cancel()
	}
	header := http.Header{}
	if body != nil {
		header.Set("Content-Type", oip.TypeJSON)
	}
	return c.pass(ctx, method, path, header, body)
}

// own are the headers of a call that are HTTP's or gRPC's own affair.
var own = map[string]bool{
	"Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Accept-Encoding": true,
	"Te": true, "Trailer": true, "Idempotency-Key": true, http.CanonicalHeaderKey(oip.HeaderLength): true,
}

// pass has the REST handler answer a request that the caller makes, with header
// and with what else the call has.
func (c *call) pass(ctx context.Context, method, path string, header http.Header, body ...[]byte) (a *answer) {
	for name, v := range c.r.Header {
		if !own[name] && !strings.HasPrefix(name, "Grpc-") && header[name] == nil {
			header[name] = v
		}
	}
	var readers []io.Reader
	size := int64(0)
	for _, part := range body {
		readers = append(readers, bytes.NewReader(part))
		size += int64(len(part))
	}
	a = &answer{header: http.Header{}, outside: c.out}
	r, err := http.NewRequestWithContext(ctx, method, path, io.NopCloser(io.MultiReader(readers...)))
	if err != nil { // a path that cannot be: names are checked before
		oip.WriteError(a, problem.New(problem.NotFound, "RepositoryIndex lists the models there are.", "There is no such model."))
		return a
	}
	r.Header, r.ContentLength = header, size
	r.Proto, r.ProtoMajor, r.ProtoMinor = c.r.Proto, c.r.ProtoMajor, c.r.ProtoMinor
	r.Host, r.RemoteAddr, r.TLS, r.RequestURI = c.r.Host, c.r.RemoteAddr, c.r.TLS, path
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.status = 0 // the way to say that half an answer is none
		}
	}()
	c.rest.ServeHTTP(a, r)
	if a.status == 0 && ctx.Err() == nil {
		a.status = http.StatusOK // as net/http has it
	}
	return a
}
