package rpc

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"primespark/shared/oip"
	"primespark/shared/problem"
)

func modelInfer(c *call, ctx context.Context, request []byte) (message, http.Header, error) {
	i, err := readInference(request, int(c.server.cfg.MaxMessage))
	if err != nil {
		return nil, nil, err
	}
	return c.infer(ctx, i)
}

// infer has the REST handler run an inference. Inputs and outputs are binary data
// on the way, whatever they are in the messages.
func (c *call) infer(ctx context.Context, i *inference) (message, http.Header, error) {
	path, err := modelPath(i.model, i.version)
	if err != nil {
		return nil, nil, err
	}
	asTyped := i.typed
	switch raw, err := i.request.Params.Bool(oip.ParamBinaryOutput); {
	case err != nil:
		return nil, nil, err
	case raw != nil:
		asTyped = !*raw
	}
	if i.request.Params == nil {
		i.request.Params = oip.Params{}
	}
	i.request.Params[oip.ParamBinaryOutput] = true
	for _, o := range i.request.Outputs {
		delete(o.Params, oip.ParamBinary) // of the REST body, and of no meaning here
	}
	head, data, err := i.request.Parts(func(string) bool { return true })
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{}
	oip.Body{JSON: len(head)}.SetHeaders(header)
	if err := c.deadline(header); err != nil {
		return nil, nil, err
	}
	a := c.pass(ctx, http.MethodPost, path+"/infer", header, append([][]byte{head}, data...)...)
	if err := a.err(); err != nil {
		return nil, a.header, err
	}
	response, err := oip.DecodeResponse(a.header, a.body.Bytes(), oip.Limits{})
	if err != nil {
		return nil, a.header, &problem.Error{
			Code: problem.Unreachable, Err: err, Detail: "The answer is not one of the protocol.", Remedy: "Try again; another node may answer.",
		}
	}
	m, err := inferResponse(response, asTyped)
	return m, a.header, err
}

// headerDeadline is the REST request's word for the time that it has, in ms.
const headerDeadline = "X-Deadline-Ms"

// deadline tells the REST handler of grpc-timeout, unless x-deadline-ms is nearer.
func (c *call) deadline(h http.Header) error {
	if c.until.IsZero() {
		return nil
	}
	left := time.Until(c.until)
	if left <= 0 {
		return problem.New(problem.Deadline, "Give more time.", "The deadline passed before the request had arrived.")
	}
	ms := max(1, int64(math.Ceil(float64(left)/float64(time.Millisecond))))
	asked, err := strconv.ParseInt(c.r.Header.Get(headerDeadline), 10, 64)
	if err != nil && c.r.Header.Get(headerDeadline) != "" || err == nil && asked < ms {
		return nil // it is the nearer one, or nonsense, of which REST knows the words
	}
	h.Set(headerDeadline, strconv.FormatInt(ms, 10))
	return nil
}

// stream answers a ModelStreamInfer until the client has sent its last request.
func (c *call) stream(ctx context.Context) error {
	// A stream may wait for as long as it likes, but not hold up the end.
	ended := context.AfterFunc(c.server.cfg.Until, func() { _ = c.out.SetReadDeadline(time.Unix(1, 0)) })
	defer ended()
	for first := true; ; first = false {
		if c.server.cfg.Until.Err() == nil {
			_ = c.out.SetReadDeadline(time.Time{}) // where there is none, there is nothing to lift
		}
		request, err := c.in.next(func() { _ = c.out.SetReadDeadline(time.Now().Add(c.server.cfg.Read)) })
		switch {
		case errors.Is(err, errEnd):
			return nil
		case c.server.cfg.Until.Err() != nil:
			return &problem.Error{Code: problem.NotReady, Err: err, Detail: "This node is shutting down.", Remedy: "Use another node.", RetryAfter: time.Second}
		case err != nil:
			return err
		}
		m, err := c.one(ctx, request, first)
		if err != nil {
			return err
		}
		if err := c.send(m); err != nil {
			return err
		}
		if err := c.out.Flush(); err != nil {
			return errors.Join(http.ErrAbortHandler, err)
		}
	}
}

// one answers one request of a stream. Its error is that of the stream: a message
// that cannot be read, or nobody who reads the answer.
func (c *call) one(ctx context.Context, request []byte, first bool) (message, error) {
	i, err := readInference(request, int(c.server.cfg.MaxMessage))
	if err == nil {
		var m message
		var header http.Header
		if m, header, err = c.infer(ctx, i); err == nil {
			if first {
				c.tell(header)
			}
			return m.in(2), nil
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	e := problem.Of(err)
	if e.Code == problem.Unexpected {
		c.server.cfg.Log.Error("request of a stream failed", "model", i.model, "err", err)
	}
	return streamError(text(e), i), nil
}
