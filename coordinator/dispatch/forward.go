package dispatch

import (
	"io"
	"net/http"
	"strconv"

	"primespark/shared/wire"
)

// Forward is Do in the terms of net/http: it passes on the request in, whose body
// has been read, and returns the agent's response with who answered, who passed
// it on and how many agents were asked in its headers. Its errors are those of Do.
func (d *Dispatcher) Forward(in *http.Request, model string, body []byte) (*http.Response, error) {
	a, err := d.Do(in.Context(), Request{Method: in.Method, Path: in.URL.EscapedPath(), Model: model, Header: in.Header, Body: body})
	if err != nil {
		return nil, err
	}
	h := a.Header
	h.Set(wire.HeaderNode, a.Node)
	h.Set(wire.HeaderGateway, d.cfg.Self)
	h.Set(wire.HeaderAttempts, strconv.Itoa(a.Attempts))
	return &http.Response{StatusCode: a.Status, Header: h, Body: closing{a.Body, a}}, nil
}

type closing struct {
	io.Reader
	answer *Answer
}

func (c closing) Close() error { c.answer.Close(); return nil }
