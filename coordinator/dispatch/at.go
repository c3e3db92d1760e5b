package dispatch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// maxTold bounds what an agent may say of itself, in bytes.
const maxTold = 4 << 20

// maxAt is the longest that an agent is waited for: it may load a model.
const maxAt = 6 * time.Minute

// At sends in, whose body has been read, to one agent and to no other, for what is
// its own affair: its models, its counts. The time it has is that of in's context,
// or maxAt. It returns the body of the answer; a refusal is the agent's
// *problem.Error, and silence problem.Unreachable. Nothing follows from either for
// where inferences go.
func (d *Dispatcher) At(in *http.Request, node string, body []byte) ([]byte, error) {
	n, ok := d.cfg.Views.Get().Find(node)
	if !ok || n.Role != fleet.Agent {
		return nil, problem.New(problem.NotFound, "prime-spark nodes lists them.", "There is no agent %q.", node)
	}
	ctx, cancel := context.WithTimeout(in.Context(), maxAt)
	defer cancel()
	end, _ := ctx.Deadline()
	req, err := d.request(ctx, Request{Method: in.Method, Path: in.URL.EscapedPath(), Header: in.Header, Body: body},
		route.Candidate{Node: n.Name, API: n.API}, time.Until(end))
	if err != nil {
		return nil, silent(node, err)
	}
	res, err := d.cfg.Transport.RoundTrip(req)
	if err != nil {
		return nil, silent(node, err)
	}
	defer res.Body.Close()
	told, err := io.ReadAll(io.LimitReader(res.Body, maxTold))
	switch {
	case err != nil:
		return nil, silent(node, err)
	case res.StatusCode != http.StatusOK:
		return nil, problem.Read(res.StatusCode, res.Header, told)
	}
	return told, nil
}

func silent(node string, err error) error {
	return &problem.Error{
		Code: problem.Unreachable, Err: err, Detail: fmt.Sprintf("The agent %s did not answer.", node),
		Remedy: "Try again; prime-spark node " + node + " shows how it fares.",
	}
}
