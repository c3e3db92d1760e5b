package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"primespark/coordinator/route"
	"primespark/shared/problem"
)

// held is how much of an answer is read before it counts as one, in bytes: an
// agent that dies while it sends an ordinary answer costs a try, not the request.
const held = 1 << 20

// An Answer is what an agent answered. Close it.
type Answer struct {
	Status   int
	Header   http.Header
	Body     io.Reader
	Node     string
	Attempts int // agents asked, this one included

	onClose []func()
}

// Close frees the connection and ends the request.
func (a *Answer) Close() {
	for _, f := range a.onClose {
		f()
	}
}

// A failure is a try that another agent may make good.
type failure struct {
	problem *problem.Error
	suspect bool // the agent, and not the request, is to blame
	sent    bool // the agent may have got the request
}

// try asks one agent and gives it share of the time to begin its answer.
func (d *Dispatcher) try(ctx context.Context, r Request, c route.Candidate, share time.Duration) (*Answer, *failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	landed := d.flights.start(c.Node, cancel)
	timer := time.AfterFunc(share, func() { cancel(errSlow) })
	end := func() { timer.Stop(); landed(); cancel(nil) }

	req, err := d.request(ctx, r, c, share)
	if err != nil {
		end()
		return nil, unreachable(ctx, c.Node, err)
	}
	res, err := d.cfg.Transport.RoundTrip(req)
	if err != nil {
		f := unreachable(ctx, c.Node, err)
		end()
		return nil, f
	}
	a := &Answer{
		Status: res.StatusCode, Header: res.Header, Node: c.Node,
		onClose: []func(){func() { res.Body.Close() }, end},
	}
	begin, err := io.ReadAll(io.LimitReader(res.Body, held))
	if err != nil {
		f := unreachable(ctx, c.Node, err)
		a.Close()
		return nil, f
	}
	if e := refused(res, c.Node, begin); e != nil {
		a.Close()
		return nil, &failure{problem: e}
	}
	timer.Stop() // from here on the client's pace counts, within the deadline of the whole
	a.Body = bytes.NewReader(begin)
	if len(begin) == held {
		a.Body = io.MultiReader(a.Body, res.Body)
	}
	return a, nil
}

// Why a try is ended from outside.
var (
	errSlow = errors.New("no answer in its share of the time")
	errDead = errors.New("gossip found the agent dead")
)

// unreachable is the failure of a try that ended without an answer.
func unreachable(ctx context.Context, node string, err error) *failure {
	cause := context.Cause(ctx)
	if cause != nil {
		err = cause
	}
	// Only the end of the try's own time is the client's word. A connection that
	// could not be made in time ends with a deadline too, the transport's.
	if errors.Is(cause, errSlow) || errors.Is(cause, context.DeadlineExceeded) {
		// Not suspected for it: it is the client who says how long is too long. An
		// agent that hangs is found out by TCP or by gossip.
		return &failure{sent: true, problem: &problem.Error{
			Code: problem.Deadline, Err: err,
			Detail: fmt.Sprintf("The agent %s did not answer in time.", node),
			Remedy: "Give more time with X-Deadline-Ms, or try again.",
		}}
	}
	op, ok := errors.AsType[*net.OpError](err)
	return &failure{
		problem: &problem.Error{
			Code: problem.Unreachable, Err: err,
			Detail: fmt.Sprintf("The agent %s did not answer.", node),
			Remedy: "Try again; prime-spark node " + node + " shows how it fares.",
		},
		suspect: true,
		sent:    !ok || op.Op != "dial",
	}
}

// refused returns the problem of an answer that another agent may do better:
// this one is busy, not ready, broken, or has just unloaded the model.
func refused(res *http.Response, node string, body []byte) *problem.Error {
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusNotFound,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return problem.Read(res.StatusCode, res.Header, body)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &problem.Error{
			Code: problem.Unreachable, Err: problem.Read(res.StatusCode, res.Header, body),
			Detail: fmt.Sprintf("The agent %s does not take requests from this coordinator.", node),
			Remedy: "Check the clocks of both, and that the agent is of this cluster.",
		}
	}
	return nil
}
